/** Large constants in another type, made piece by piece, are the same bytes as those made at once. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { largestOf } from '../../../src/calibrate/largest.js';
import { convertedTensor } from '../../../src/ir/converted.js';
import { encodeTensor } from '../../../src/ir/encode.js';
import { Tensor } from '../../../src/ir/tensor.js';

const SIZE = 5e6; // 20 MB, more than what is converted at once
const rng = createRng(3, 'converted');
const values = Float32Array.from({ length: SIZE }, () => rng.normal());
[values[7], values[SIZE - 1]] = [70_000, -(2 ** -26)];
/** In pieces of 12 MB, as files give theirs. */
function inPieces(all: Uint8Array): Tensor {
  return new Tensor('float32', [1000, SIZE / 1000], {
    byteLength: all.length,
    read: () => all,
    *pieces() {
      for (let at = 0; at < all.length; at += 12e6) yield all.subarray(at, at + 12e6);
    },
  });
}
const large = inPieces(new Uint8Array(values.buffer));

describe('convertedTensor', () => {
  it.each(['float16', 'bfloat16'] as const)('to %s, whole and in pieces', (dtype) => {
    const made = convertedTensor(large, dtype);
    const expected = encodeTensor(dtype, [1000, SIZE / 1000], values).bytes();
    expect(made.byteLength).toBe(2 * SIZE);
    const pieces = [...made.pieces()];
    expect(pieces.length).toBe(2);
    expect(Buffer.concat(pieces).equals(expected)).toBe(true);
    expect(Buffer.from(made.bytes()).equals(expected)).toBe(true);
  });
});

describe('largestOf', () => {
  const of = (...list: number[]): unknown => largestOf(Tensor.f32(list));
  it('over all pieces', () => expect(largestOf(large)).toEqual({ all: 70_000, finite: 70_000 }));
  it('of both signs', () => expect(of(1, -3, 2)).toEqual({ all: 3, finite: 3 }));
  it('beside infinities and NaN', () => expect(of(1, -Infinity, NaN, -5)).toEqual({ all: Infinity, finite: 5 }));
  it('of NaN alone', () => expect(of(NaN)).toEqual({ all: 0, finite: 0 }));
  it('of nothing', () => expect(of()).toEqual({ all: 0, finite: 0 }));
});
