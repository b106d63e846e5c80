/**
 * Parts of tensors, and zeros around and between their elements. onnxruntime's Split and Concat copy faster than its
 * Slice and Pad: several times where runs are long, and where zeros stand between the elements of the last axis.
 */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import type { GradientContext } from '../facets.js';
import { ints, reshape, zeros } from './build.js';

type G = GradientContext;

/** `count` elements from `start` on along an axis. */
export function cut(g: G, x: Value, axis: number, start: number, count: number): Value {
  const size = g.sizes(x)[axis] ?? 0;
  const sizes = [start, count, size - start - count];
  const kept = sizes.flatMap((n, i) => (n > 0 || i === 1 ? [i] : []));
  if (kept.length === 1) return x;
  const all = parts(
    g,
    x,
    axis,
    kept.map((i) => sizes[i] ?? 0),
  );
  return item(all, kept.indexOf(1)); // the middle is always kept
}

/** Parts of so many elements along an axis. */
export const parts = (g: G, x: Value, axis: number, sizes: readonly number[]): readonly Value[] =>
  g.addAll('Split', [x, ints(g, sizes)], sizes.length, { axis });

/** One after the other along an axis. */
export const joined = (g: G, all: readonly Value[], axis: number): Value =>
  all.length === 1 && all[0] ? all[0] : g.add('Concat', all, { axis });

/** Zeros around a tensor: so many before and after each axis. Negative counts cut off. */
export function pad(g: G, x: Value, before: readonly number[], after: readonly number[]): Value {
  let now = x;
  for (let axis = before.length - 1; axis >= 0; axis--) {
    const [first, last] = [before[axis] ?? 0, after[axis] ?? 0];
    const sizes = g.sizes(now);
    const size = sizes[axis] ?? 0;
    const start = Math.max(0, -first);
    const count = size - start - Math.max(0, -last);
    now =
      count > 0 || size === 0
        ? withZeros(g, cut(g, now, axis, start, count), axis, Math.max(0, first), Math.max(0, last))
        : zeros(g, x, sizes.with(axis, size + first + last));
  }
  return now;
}

/** The same for the axes behind samples and channels. */
export const padSpatial = (g: G, x: Value, before: readonly number[], after: readonly number[]): Value =>
  pad(g, x, [0, 0, ...before], [0, 0, ...after]);

function withZeros(g: G, x: Value, axis: number, before: number, after: number): Value {
  const sizes = g.sizes(x);
  const made = new Map<number, Value>();
  const none = (count: number): readonly Value[] => {
    if (!count) return [];
    const value = made.get(count) ?? zeros(g, x, sizes.with(axis, count));
    made.set(count, value);
    return [value];
  };
  return joined(g, [...none(before), x, ...none(after)], axis);
}

/** Each element followed by stride − 1 zeros along its axis. */
export function zeroStuffed(g: G, x: Value, strides: readonly number[]): Value {
  let now = x;
  for (let axis = strides.length - 1; axis >= 0; axis--) {
    const stride = strides[axis] ?? 1;
    if (stride === 1) continue;
    const sizes = g.sizes(now);
    const apart = reshape(g, now, sizes.toSpliced(axis + 1, 0, 1));
    now = reshape(g, withZeros(g, apart, axis + 1, 0, stride - 1), sizes.with(axis, (sizes[axis] ?? 0) * stride));
  }
  return now;
}

/** The elements at each place modulo `stride` along an axis, whose size is a multiple of it. */
export function phases(g: G, x: Value, axis: number, stride: number): readonly Value[] {
  const sizes = g.sizes(x);
  const count = (sizes[axis] ?? 0) / stride;
  const apart = reshape(g, x, [...sizes.slice(0, axis), count, stride, ...sizes.slice(axis + 1)]);
  const all = parts(g, apart, axis + 1, Array<number>(stride).fill(1));
  return all.map((part) => reshape(g, part, sizes.with(axis, count)));
}
