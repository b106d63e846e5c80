import { expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { Arena } from '../../../src/cost/arena.js';

interface Placed {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
  readonly offset: number;
}
/** The definition: the lowest gap between all that live at the same time. */
function plainly(placed: readonly Placed[], bytes: number, from: number, to: number): number {
  let offset = 0;
  for (const p of placed.filter((q) => q.from <= to && from <= q.to).sort((x, y) => x.offset - y.offset)) {
    if (p.offset - offset >= bytes) break;
    offset = Math.max(offset, p.offset + p.bytes);
  }
  return offset;
}

it.each([1, 2, 7, 40, 100])('finds the lowest free place as looking at every buffer does, over %i positions', (n) => {
  const rng = createRng(n, 'arena');
  for (let trial = 0; trial < 20; trial++) {
    const arena = new Arena(n);
    const placed: Placed[] = [];
    for (let i = 0; i < 60; i++) {
      const from = Math.floor(rng.next() * n);
      const to = Math.min(n - 1, from + Math.floor(rng.next() * rng.next() * n));
      const bytes = Math.floor(rng.next() * 50);
      const offset = arena.lowestFree(bytes, from, to);
      expect(offset).toBe(plainly(placed, bytes, from, to));
      arena.take(offset, bytes, from, to);
      placed.push({ bytes, from, to, offset });
    }
  }
});
