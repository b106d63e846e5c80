/** Which scale belongs to which element, for every granularity. */
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { elementCount } from '../ir/tensor.js';
import type { Granularity, Range } from './types.js';

/**
 * How elements map to parameters. Element (o, a, i) of [outer, length, inner] takes parameter
 * o · outerStride + floor(a / group) · groupStride + i · innerStride.
 */
export interface ParamLayout {
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
  readonly group: number;
  readonly outerStride: number;
  readonly groupStride: number;
  readonly innerStride: 0 | 1;
  /** Dims of the scale: [] per tensor, [C] per axis, dims with the axis divided by the block size per block. */
  readonly shape: readonly number[];
  /** Number of parameters. */
  readonly count: number;
}

/**
 * The layout of a tensor of shape `dims`. For [2,6,3]: `axis` 1 → shape [6]; `block` on axis 1 of size 4 → shape
 * [2,2,3], where the last block is short. A negative axis counts from the end.
 * Throws MODEL_TENSOR where the axis or the block size does not fit.
 */
export function layoutOf(dims: readonly number[], granularity: Granularity): ParamLayout {
  const size = elementCount(dims);
  if (granularity.kind === 'tensor')
    return {
      outer: 1,
      length: 1,
      inner: size,
      group: 1,
      outerStride: 0,
      groupStride: 0,
      innerStride: 0,
      shape: [],
      count: 1,
    };
  const axis = granularity.axis < 0 ? granularity.axis + dims.length : granularity.axis;
  const length = dims[axis];
  if (length === undefined)
    fail(
      'MODEL_TENSOR',
      `quantization axis ${granularity.axis} is outside a tensor of dims [${dims.join(',')}]`,
      {},
      `use an axis from ${-dims.length} to ${dims.length - 1}`,
    );
  const outer = elementCount(dims.slice(0, axis));
  const inner = elementCount(dims.slice(axis + 1));
  if (granularity.kind === 'axis')
    return {
      outer,
      length,
      inner,
      group: 1,
      outerStride: 0,
      groupStride: 1,
      innerStride: 0,
      shape: [length],
      count: length,
    };
  const group = granularity.size;
  if (!Number.isInteger(group) || group < 1) fail('MODEL_TENSOR', `block size ${group} is not a positive integer`);
  const groups = Math.ceil(length / group);
  return {
    outer,
    length,
    inner,
    group,
    outerStride: groups * inner,
    groupStride: inner,
    innerStride: 1,
    shape: dims.map((d, i) => (i === axis ? groups : d)),
    count: outer * groups * inner,
  };
}

/** The number of the parameter that element `at` of the flat array takes. */
export function paramAt(
  { inner, length, group, outerStride, groupStride, innerStride }: ParamLayout,
  at: number,
): number {
  const onAxis = Math.floor(at / inner) % length;
  return (
    Math.floor(at / (inner * length)) * outerStride +
    Math.floor(onAxis / group) * groupStride +
    (at % inner) * innerStride
  );
}

/**
 * Least and greatest value of each tensor, channel or block. NaN is passed over; a part without a number gives [0, 0].
 */
export function dataRange(values: Float32Array, dims: readonly number[], granularity: Granularity): Range {
  const { outer, length, inner, group, outerStride, groupStride, innerStride, count } = layoutOf(dims, granularity);
  const min = new Float64Array(count).fill(Infinity);
  const max = new Float64Array(count).fill(-Infinity);
  let at = 0;
  if (granularity.kind === 'block' && inner === 1) {
    // one part after the other
    const groups = Math.ceil(length / group);
    for (let p = 0; p < count; p++) {
      let low = Infinity;
      let high = -Infinity;
      const end = at + Math.min(group, length - (p % groups) * group);
      for (; at < end; at++) {
        const x = values[at]!;
        if (x < low) low = x;
        if (x > high) high = x;
      }
      const none = low > high;
      min[p] = none ? 0 : low;
      max[p] = none ? 0 : high;
    }
    return { min, max };
  }
  for (let o = 0; o < outer; o++) {
    for (let a = 0; a < length; a++) {
      const base = o * outerStride + Math.floor(a / group) * groupStride;
      for (let i = 0; i < inner; i++) {
        const x = values[at++]!;
        const p = base + i * innerStride;
        if (x < min[p]!) min[p] = x;
        if (x > max[p]!) max[p] = x;
      }
    }
  }
  for (let p = 0; p < count; p++)
    if (min[p]! > max[p]!) {
      min[p] = 0;
      max[p] = 0;
    }
  return { min, max };
}

/** Rows and columns of a matrix [rows, columns] exchanged. */
export function transposed<A extends Float32Array | Int32Array>(values: A, rows: number, columns: number): A {
  const out = values.slice() as A; // of the same kind
  for (let r = 0, i = 0; r < rows; r++) for (let c = 0; c < columns; c++, i++) out[c * rows + r] = item(values, i);
  return out;
}
