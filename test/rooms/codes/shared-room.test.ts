/** Memory of sums, layer after layer. */
import { expect, it } from 'vitest';
import { SharedRoom } from '../../../src/codes/shared-room.js';

it('gives zeros in what was taken before, where it is large enough', () => {
  const room = new SharedRoom();
  const [a, b] = [room.take(8), room.copy(Float64Array.of(1, 2, 3))];
  a.fill(7);
  expect([...b]).toEqual([1, 2, 3]);
  expect(b.buffer).not.toBe(a.buffer);
  room.clear();
  const c = room.take(5);
  expect(c.buffer).toBe(a.buffer); // three numbers have no room for five
  expect([...c]).toEqual([0, 0, 0, 0, 0]);
  expect(room.take(2).buffer).toBe(b.buffer);
});

it('never holds more arrays than were taken together', () => {
  const room = new SharedRoom();
  const seen = new Set<ArrayBufferLike>();
  for (let n = 1; n <= 64; n *= 2) {
    room.clear();
    room.take(n);
    room.take(n);
  }
  room.clear();
  for (let i = 0; i < 2; i++) seen.add(room.take(64).buffer);
  room.clear();
  for (let i = 0; i < 2; i++) seen.add(room.take(1).buffer);
  expect(seen.size).toBe(2);
});

it('forgets what is not taken', () => {
  const room = new SharedRoom();
  const { buffer } = room.take(8);
  room.clear();
  room.forget();
  expect(room.take(8).buffer).not.toBe(buffer);
});
