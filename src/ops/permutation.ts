/** Permutations of axes, as Transpose has them: p[i] is the axis of the input that becomes axis i. */
import type { Shape } from '../ir/graph.js';
import { byteLength, dtypeBits } from '../ir/dtype.js';
import { Tensor } from '../ir/tensor.js';

export type Permutation = readonly number[];

export const isIdentity = (p: Permutation): boolean => p.every((a, i) => a === i);
export const samePermutation = (p: Permutation, q: Permutation): boolean =>
  p.length === q.length && p.every((a, i) => a === q[i]);
/** The permutation that undoes p. */
export const inverse = (p: Permutation): Permutation => p.map((_, a) => p.indexOf(a));
export const permuteShape = (shape: Shape, p: Permutation): Shape => p.map((a) => shape[a] ?? null);
/** What is left of a permutation where `gone` axes (of the original) are dropped. */
export function without(p: Permutation, gone: ReadonlySet<number>): Permutation {
  const left = p.map((_, a) => a).filter((a) => !gone.has(a));
  return p.filter((a) => !gone.has(a)).map((a) => left.indexOf(a));
}
/**
 * Whether axes longer than 1 stay in their order, so that the elements do too. A size that is not known counts as
 * longer.
 */
export function keepsOrder(shape: Shape, p: Permutation): boolean {
  const long = p.filter((a) => shape[a] !== 1);
  return long.every((a, i) => i === 0 || a > long[i - 1]!); // i - 1 is inside
}

/** Strings, and codes of which several share a byte, stay where they are. */
export const canPermute = (t: Tensor): boolean => dtypeBits(t.dtype) >= 8;
/** Transpose of a tensor whose elements take whole bytes: see {@link canPermute}. */
export function permuteTensor(t: Tensor, p: Permutation): Tensor {
  const dims = p.map((a) => t.dims[a] ?? 1);
  if (keepsOrder(t.dims, p)) return t.reshaped(dims);
  const width = byteLength(t.dtype, 1);
  const from = t.bytes();
  const to = new Uint8Array(from.length);
  const strides = t.dims.map((_, i) => t.dims.slice(i + 1).reduce((n, d) => n * d, width));
  const steps = p.map((a) => strides[a] ?? 0);
  const at = new Array<number>(p.length).fill(0);
  let source = 0;
  for (let target = 0; target < to.length; target += width) {
    for (let k = 0; k < width; k++) to[target + k] = from[source + k] ?? 0;
    for (let axis = p.length - 1; axis >= 0; axis--) {
      at[axis]!++; // at has an entry for each axis
      source += steps[axis]!;
      if (at[axis]! < dims[axis]!) break;
      source -= at[axis]! * steps[axis]!;
      at[axis] = 0;
    }
  }
  return new Tensor(t.dtype, dims, to);
}
