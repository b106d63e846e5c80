/** Checks arrays against model inputs and converts their element type where no value changes. */
import { fail, type Where } from '../base/errors.js';
import { numberToFloat16, float16ToNumber } from '../ir/convert.js';
import { integerRange, type DType } from '../ir/dtype.js';
import type { Feed, FeedTensor, TypedArray, ValueInfo } from '../ir/feed.js';

/**
 * The tensor as `input` takes it. Conversions: float widths (rounding), integers to floats, integers to integers where
 * every value fits; never floats to integers. With `perSample`, a missing batch axis is added and a fixed batch in the
 * model is left to batching. Throws DATA_SHAPE.
 */
export function fitTensor(tensor: FeedTensor, input: ValueInfo, where: Where, perSample: boolean): FeedTensor {
  const at = { ...where, tensor: input.name };
  const dims = fitDims(tensor.dims, input, where, perSample);
  const shown = `[${dims.join(',')}]`;
  const elements = dims.reduce((n, d) => n * d, 1);
  if (tensor.data.length !== elements)
    fail(
      'DATA_SHAPE',
      `${where.sample ?? 'the data'} has ${tensor.data.length} values for shape ${shown}, which needs ${elements}`,
      at,
    );
  const dtype = input.dtype ?? tensor.dtype;
  return { dtype, dims, data: dtype === tensor.dtype ? tensor.data : convert(tensor.data, tensor.dtype, dtype, at) };
}

/** Whether an array of a type and dims may be a sample of an input, as far as that shows without its values. */
export function mayFit(dtype: DType, dims: readonly number[], input: ValueInfo, where: Where): boolean {
  fitDims(dims, input, where, true);
  const wanted = input.dtype ?? dtype;
  const none = arrayOf(dtype, 0);
  if (wanted !== dtype && none) convert(none, dtype, wanted, where);
  return true;
}

/** The dims with the batch axis that a sample may lack. Throws DATA_SHAPE. */
function fitDims(given: readonly number[], input: ValueInfo, where: Where, perSample: boolean): readonly number[] {
  const at = { ...where, tensor: input.name };
  const rank = input.shape?.length;
  const dims = perSample && (rank === undefined ? true : given.length === rank - 1) ? [1, ...given] : given;
  const shown = `[${dims.join(',')}]`;
  if (input.shape) {
    const wanted = `[${input.shape.map((d) => d ?? '?').join(',')}]`;
    const fits =
      dims.length === rank &&
      input.shape.every(
        (d, axis) => typeof d !== 'number' || d === dims[axis] || (perSample && axis === 0 && dims[0] === 1),
      );
    if (!fits)
      fail(
        'DATA_SHAPE',
        `${where.sample ?? where.file ?? 'the data'} has shape ${shown}, but '${input.name}' takes ${wanted}`,
        at,
        'check the axis order and whether the first axis counts samples (batched)',
      );
  }
  return dims;
}

/** A feed for all inputs. Throws DATA_SHAPE for inputs without data and data without an input. */
export function fitFeed(feed: Feed, inputs: readonly ValueInfo[], where: Where, perSample: boolean): Feed {
  const out: Record<string, FeedTensor> = {};
  for (const input of inputs) {
    const tensor = Object.hasOwn(feed, input.name) ? feed[input.name] : undefined;
    if (!tensor)
      return fail(
        'DATA_SHAPE',
        `${where.sample ?? where.file ?? 'a sample'} has no data for input '${input.name}'; it has ` +
          `${list(Object.keys(feed))}`,
        { ...where, tensor: input.name },
        'keys must be the names of the model inputs',
      );
    out[input.name] = fitTensor(tensor, input, where, perSample);
  }
  const extra = Object.keys(feed).find((name) => !inputs.some((i) => i.name === name));
  if (extra !== undefined)
    fail(
      'DATA_SHAPE',
      `${where.sample ?? where.file ?? 'a sample'} has data for '${extra}', which is not an input; the model ` +
        `has ${list(inputs.map((i) => i.name))}`,
      { ...where, tensor: extra },
    );
  return out;
}

/** A typed array of n elements of a type, as onnxruntime takes it, or undefined for types without one. */
export function arrayOf(dtype: DType, n: number): TypedArray | undefined {
  switch (dtype) {
    case 'float32':
      return new Float32Array(n);
    case 'float64':
      return new Float64Array(n);
    case 'float16':
    case 'bfloat16':
    case 'uint16':
      return new Uint16Array(n);
    case 'uint8':
    case 'bool':
      return new Uint8Array(n);
    case 'int8':
      return new Int8Array(n);
    case 'int16':
      return new Int16Array(n);
    case 'int32':
      return new Int32Array(n);
    case 'uint32':
      return new Uint32Array(n);
    case 'int64':
      return new BigInt64Array(n);
    case 'uint64':
      return new BigUint64Array(n);
    default:
      return undefined;
  }
}

const FLOATS: ReadonlySet<DType> = new Set(['float32', 'float64', 'float16']);

function convert(data: FeedTensor['data'], from: DType, to: DType, where: Where): FeedTensor['data'] {
  const out = arrayOf(to, data.length);
  const refuse = (why: string): never =>
    fail(
      'DATA_SHAPE',
      `${where.sample ?? where.file ?? 'the data'} holds ${from}, but '${where.tensor ?? ''}' takes ${to}${why}`,
      where,
      `store the data as ${to}`,
    );
  if (
    !out ||
    from === 'string' ||
    from === 'bfloat16' ||
    to === 'bfloat16' ||
    to === 'bool' ||
    (FLOATS.has(from) && !FLOATS.has(to))
  )
    return refuse('');
  const read = from === 'float16' ? (i: number) => float16ToNumber(Number(data[i])) : (i: number) => Number(data[i]);
  if (out instanceof BigInt64Array || out instanceof BigUint64Array) {
    for (let i = 0; i < out.length; i++) {
      const v = BigInt(data[i]!);
      out[i] = v;
      if (out[i] !== v) refuse(`, which cannot hold ${v}`);
    }
    return out;
  }
  if (to === 'float16') {
    for (let i = 0; i < out.length; i++) out[i] = numberToFloat16(read(i));
    return out;
  }
  const range = integerRange(to);
  for (let i = 0; i < out.length; i++) {
    const v = read(i);
    if (range && (v < range[0] || v > range[1])) refuse(`, which cannot hold ${v}`);
    out[i] = v;
  }
  return out;
}
const list = (names: readonly string[]): string => (names.length ? names.map((n) => `'${n}'`).join(', ') : 'none');
