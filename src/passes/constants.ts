/** What passes ask of constants: numbers, axes, and how they lie along the axes of what they are combined with. */
import type { Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';

/**
 * The number that a constant of one float32 element holds, undefined for anything else. Beside `x`, it must not have
 * more axes than x, for then it would change the shape of what it is combined with.
 */
export function scalarOf(v: Value | null, x?: Value): number | undefined {
  const data = v?.data;
  if (!v?.isInitializer || data?.dtype !== 'float32' || data.size !== 1) return undefined;
  if (data.dims.length && x && data.dims.length > (x.shape?.length ?? 0)) return undefined;
  return data.f32()[0];
}

/** Whether a number is `target` as float32 arithmetic writes it: within 1e-6 of it, relatively. */
export const isNear = (v: number | undefined, target: number): boolean =>
  v !== undefined && Math.abs(v - target) <= 1e-6 * Math.abs(target);

/**
 * Axes of a reduction, from its attribute or its constant second input, sorted and counted from the front; undefined
 * where computed or absent.
 */
export function reducedAxes(node: Node, rank: number): readonly number[] | undefined {
  const given = node.attrs.has('axes')
    ? node.ints('axes')
    : node.inputs[1]?.isInitializer
      ? node.inputs[1].data?.numbersOrUndefined()
      : undefined;
  return given?.length ? given.map((a) => (a < 0 ? a + rank : a)).sort((a, b) => a - b) : undefined;
}

/**
 * One value per channel from a constant that is combined with a tensor of `rank` axes whose axis `axis` has `channels`
 * elements: [C,1,1] beside [N,C,H,W] gives C values, a scalar gives C equal ones. Undefined where the constant varies
 * along another axis, has more axes than the tensor, or is not float32, and for more channels than {@link canFill}
 * allows.
 */
export function perChannel(v: Value, rank: number, axis: number, channels: number): Float64Array | undefined {
  const data = v.isInitializer ? v.data : undefined;
  if (data?.dtype !== 'float32' || data.dims.length > rank) return undefined;
  const aligned = [...Array<number>(rank - data.dims.length).fill(1), ...data.dims];
  if (!aligned.every((d, i) => d === 1 || (i === axis && d === channels))) return undefined;
  const values = data.f64();
  if (values.length === channels) return values;
  return canFill(channels) === true ? new Float64Array(channels).fill(values[0] ?? 0) : undefined;
}

/** Longest vector that a pass makes out of a declared size alone: a file of 200 bytes may declare 2^32. */
const MOST_FILLED = 1 << 16;
/** Whether a vector as long as a declared size may be made, or why not. */
export const canFill = (size: number): true | string =>
  size <= MOST_FILLED || `a vector of ${size} elements would be made for it`;
/** A float32 vector of n equal numbers: see {@link canFill}. */
export const filled = (n: number, value: number): Tensor => Tensor.f32(new Float32Array(n).fill(value));
