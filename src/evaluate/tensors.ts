/** Reading run-time tensors as numbers, and rows of batches as tensors of one sample. */
import { fail, nearest } from '../base/errors.js';
import { decodeFloats } from '../ir/convert.js';
import type { Feed, FeedTensor, ValueInfo } from '../ir/feed.js';

/**
 * The elements as numbers: a view where the type allows it, float16 and 64-bit integers decoded. Undefined for strings
 * and outputs that are no tensors.
 */
export function numbersOf(t: FeedTensor): ArrayLike<number> | undefined {
  const { data } = t;
  if (!ArrayBuffer.isView(data) || !isArray(data)) return undefined;
  switch (t.dtype) {
    case 'float32':
    case 'float64':
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'bool':
      return data as Exclude<typeof data, BigInt64Array | BigUint64Array>; // these types lie in number arrays
    case 'float16':
    case 'bfloat16':
    case 'int64':
    case 'uint64':
      return decodeFloats(
        t.dtype,
        new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
        data.length,
        Float64Array,
      );
    default:
      return undefined;
  }
}

/** Rows [start, start + length) along axis 0: [N, …] → [length, …], a view. */
export function sliceRows(t: FeedTensor, start: number, length: number): FeedTensor {
  const total = t.dims[0] ?? 1;
  if (start === 0 && length === total) return t;
  const each = t.data.length / Math.max(1, total);
  const data = ArrayBuffer.isView(t.data)
    ? t.data.subarray(start * each, (start + length) * each)
    : t.data.slice(start * each, (start + length) * each);
  return { dtype: t.dtype, dims: [length, ...t.dims.slice(1)], data };
}

/** Index of the largest number; the first of equal ones, as numpy.argmax. -1 where one is NaN or there is none. */
export function argmax(values: ArrayLike<number>): number {
  let best = -1;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    if (Number.isNaN(v)) return -1;
    if (v > high || best < 0) {
      high = v;
      best = i;
    }
  }
  return best;
}

/** The name of the output that a metric reads: the one asked for, else the first. Throws RECIPE_UNKNOWN_NAME. */
export function outputName(metric: string, asked: string | undefined, outputs: readonly ValueInfo[]): string {
  const names = outputs.map((o) => o.name);
  if (asked === undefined)
    return names[0] ?? fail('MODEL_EMPTY', `metric ${metric} needs an output, but the model has none`);
  if (names.includes(asked)) return asked;
  const near = nearest(asked, names);
  return fail(
    'RECIPE_UNKNOWN_NAME',
    `metric ${metric} reads output "${asked}", which the model does not have.${near ? ` Did you mean "${near}"?` : ''}`,
    { tensor: asked },
    `outputs: ${names.join(', ')}`,
  );
}

export interface OutputValues {
  readonly values: ArrayLike<number>;
  readonly dims: readonly number[];
}

/** The numbers of one output of one feed. Throws DATA_SHAPE where it is missing or holds no numbers. */
export function outputOf(metric: string, outputs: Feed | undefined, name: string, sample: string): OutputValues {
  const t = outputs?.[name];
  const values = t && numbersOf(t);
  if (!t || !values)
    return fail(
      'DATA_SHAPE',
      `metric ${metric} needs numbers in output '${name}', but it holds ${t ? t.dtype : 'nothing'}`,
      { tensor: name, sample },
      'name another output with the option output',
    );
  return { values, dims: t.dims };
}

const isArray = (view: ArrayBufferView): view is Exclude<FeedTensor['data'], readonly string[]> =>
  !(view instanceof DataView);
