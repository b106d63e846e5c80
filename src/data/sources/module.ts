import { resolve } from 'node:path';
import { fail, QuantError, type Where } from '../../base/errors.js';
import { DTYPES, isFloat, type DType } from '../../ir/dtype.js';
import type { Feed, FeedTensor, Target, TargetBox, TypedArray, ValueInfo } from '../../ir/feed.js';
import { arrayOf, fitFeed } from '../feeds.js';
import { sha256 } from '../files.js';
import { numberToFloat16 } from '../../ir/convert.js';
import type { Loaded, OpenSource } from '../source.js';
import { importModule, kindName, messageOf, property } from '../user-module.js';

/** A tensor of a user's own: flat data take the shape of the input, numbers its type. */
export type GivenTensor =
  | TypedArray
  | readonly unknown[]
  | { readonly dims: readonly number[]; readonly data: TypedArray | readonly unknown[]; readonly dtype?: DType };
/** Tensors by name of the input. */
export type GivenFeed = Readonly<Record<string, GivenTensor>>;
/** What samples() of a data module yields: one feed, or two for pairs. */
export type GivenSample = (
  | { readonly feed: GivenFeed; readonly feeds?: undefined }
  | { readonly feeds: readonly GivenFeed[]; readonly feed?: undefined }
) & {
  /** Class index or score. */
  readonly label?: number | undefined;
  readonly target?: Target | undefined;
  /** A name that a person can find. Default: the file and the number of the sample. */
  readonly id?: string | undefined;
};
/** What a data module exports. */
export interface DataModule<O = unknown> {
  samples(options: O, inputs: readonly ValueInfo[]): AsyncIterable<GivenSample> | Iterable<GivenSample>;
}

/**
 * `module:` — the user's own code. `samples(options, inputs)`, exported by name or as (part of) the default export,
 * gives an iterable or async iterable of `{ feed | feeds, label?, target?, id? }`. A tensor is a typed array, nested
 * arrays of numbers, or `{ dims, data, dtype? }`; flat data take the shape of the input. Throws DATA_MODULE,
 * DATA_SHAPE.
 */
export const openModule: OpenSource = async (spec, inputs, context) => {
  const file = resolve(context.baseDir, spec.module ?? '.');
  const where = { file };
  const loaded = await importModule(file);
  const start =
    property(loaded, 'samples') ?? property(property(loaded, 'default'), 'samples') ?? property(loaded, 'default');
  if (typeof start !== 'function')
    return fail(
      'DATA_MODULE',
      `${file} exports no function samples`,
      where,
      'export async function* samples(options, inputs) { yield { feed, label }; }',
    );
  return {
    kind: 'streamed',
    details: { options: spec.options ?? {} },
    stream: async function* () {
      let index = 0;
      try {
        // What a user's function returns is unknown; it is checked for an iterator before use.
        const iterable: unknown = await (start as (options: unknown, inputs: readonly ValueInfo[]) => unknown)(
          spec.options ?? {},
          inputs,
        );
        if (!isIterable(iterable))
          return fail(
            'DATA_MODULE',
            `samples() of ${file} returned ${kindName(iterable)}, not an iterable`,
            where,
            'make it a generator: async function*',
          );
        for await (const item of iterable) {
          const given = property(item, 'id');
          const id = typeof given === 'string' && given !== '' ? given : `${file.split(/[\\/]/).at(-1) ?? ''}#${index}`;
          index++;
          const at = { ...where, sample: id };
          let sample: (Loaded & { readonly id: string }) | { readonly id: string; readonly error: unknown };
          try {
            sample = { id, ...readSample(item, inputs, at) };
          } catch (error) {
            sample = { id, error };
          }
          yield sample;
        }
      } catch (cause) {
        if (cause instanceof QuantError) throw cause;
        fail(
          'DATA_MODULE',
          `samples() of ${file} threw after ${index} samples: ${messageOf(cause)}`,
          where,
          undefined,
          cause,
        );
      }
    },
  };
};

function readSample(item: unknown, inputs: readonly ValueInfo[], where: Where): Loaded {
  const feed = property(item, 'feed');
  const several = property(item, 'feeds');
  const list = feed !== undefined ? [feed] : Array.isArray(several) ? several : several !== undefined ? [several] : [];
  if (!list.length)
    fail(
      'DATA_MODULE',
      `sample '${where.sample}' is ${kindName(item)} without feed or feeds`,
      where,
      'yield { feed: { inputName: data }, label }',
    );
  const feeds = list.map((f: unknown) => fitFeed(readFeed(f, inputs, where), inputs, where, true));
  const label = property(item, 'label');
  if (label !== undefined && (typeof label !== 'number' || !Number.isFinite(label)))
    fail('DATA_LABEL', `the label of '${where.sample}' is ${String(label)}; expected a finite number`, where);
  const parts = feeds.flatMap((f) =>
    Object.entries(f).flatMap(([name, t]) => [
      name,
      t.dims.join(','),
      ArrayBuffer.isView(t.data)
        ? new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength)
        : JSON.stringify(t.data),
    ]),
  );
  const target = readTarget(property(item, 'target'), where);
  return {
    feeds,
    hash: sha256(...parts),
    ...(typeof label === 'number' ? { label } : {}),
    ...(target ? { target } : {}),
  };
}

/** `{ boxes?, size?, text?, tensors? }`, as {@link Target} has them. */
function readTarget(given: unknown, where: Where): Target | undefined {
  if (given === undefined) return undefined;
  const wrong = (what: string): never =>
    fail(
      'DATA_MODULE',
      `the target of '${where.sample}' ${what}`,
      where,
      'expected { boxes: [{ box: [left, top, right, bottom], label }], size: { width, height }, text, tensors }',
    );
  if (typeof given !== 'object' || given === null) return wrong(`is ${kindName(given)}`);
  const extra = Object.keys(given).find((key) => !['boxes', 'size', 'text', 'tensors'].includes(key));
  if (extra !== undefined) wrong(`has the unknown key ${extra}`);
  const [boxes, size, text, tensors] = ['boxes', 'size', 'text', 'tensors'].map((key) => property(given, key));
  if (text !== undefined && typeof text !== 'string') return wrong(`has ${kindName(text)} as text`);
  if (boxes !== undefined && !Array.isArray(boxes)) return wrong(`has ${kindName(boxes)} as boxes`);
  const [width, height] = [property(size, 'width'), property(size, 'height')];
  const sides =
    typeof width === 'number' && typeof height === 'number' && width > 0 && height > 0 ? { width, height } : undefined;
  if (size !== undefined && !sides) return wrong('has a size without width and height above 0');
  if (tensors !== undefined && (typeof tensors !== 'object' || tensors === null))
    return wrong(`has ${kindName(tensors)} as tensors`);
  return {
    ...(Array.isArray(boxes)
      ? { boxes: boxes.map((b: unknown, i) => readBox(b, (what) => wrong(`has boxes[${i}] ${what}`))) }
      : {}),
    ...(sides ? { size: sides } : {}),
    ...(text === undefined ? {} : { text }),
    ...(tensors
      ? {
          tensors: Object.fromEntries(
            Object.entries(tensors).map(([name, value]) => [
              name,
              readTensor(value, undefined, { ...where, tensor: name }),
            ]),
          ),
        }
      : {}),
  };
}

function readBox(given: unknown, wrong: (what: string) => never): TargetBox {
  const [box, label, crowd, difficult] = ['box', 'label', 'crowd', 'difficult'].map((key) => property(given, key));
  if (!isCorners(box))
    return wrong(`whose box is ${JSON.stringify(box)}, not four finite numbers with left ≤ right and top ≤ bottom`);
  if (typeof label !== 'number' || !Number.isSafeInteger(label) || label < 0)
    return wrong(`whose label is ${String(label)}, not a class index`);
  return { box, label, ...(crowd === true ? { crowd } : {}), ...(difficult === true ? { difficult } : {}) };
}

function readFeed(feed: unknown, inputs: readonly ValueInfo[], where: Where): Feed {
  if (typeof feed !== 'object' || feed === null)
    return fail('DATA_MODULE', `a feed of '${where.sample}' is ${kindName(feed)}; expected { inputName: data }`, where);
  return Object.fromEntries(
    Object.entries(feed).map(([name, value]) => [
      name,
      readTensor(
        value,
        inputs.find((i) => i.name === name),
        { ...where, tensor: name },
      ),
    ]),
  );
}

function readTensor(value: unknown, input: ValueInfo | undefined, where: Where): FeedTensor {
  const data = property(value, 'data') ?? value;
  const dims = property(value, 'dims');
  const named = property(value, 'dtype') ?? property(value, 'type');
  const dtype = DTYPES.find((d) => d === named);
  if (named !== undefined && !dtype)
    fail(
      'DATA_MODULE',
      `'${where.tensor}' of '${where.sample}' has unknown dtype ${String(named)}`,
      where,
      `expected one of ${DTYPES.join(', ')}`,
    );
  if (dims !== undefined && !(Array.isArray(dims) && dims.every((d) => Number.isSafeInteger(d) && d >= 0)))
    fail('DATA_MODULE', `dims of '${where.tensor}' of '${where.sample}' are not whole numbers`, where);
  const declared = Array.isArray(dims) ? dims.map(Number) : undefined;
  if (ArrayBuffer.isView(data) && !(data instanceof DataView)) {
    // every other view is one of TypedArray
    const array = data instanceof Uint8ClampedArray ? new Uint8Array(data) : (data as TypedArray);
    const own = dtype ?? dtypeOf(array, input?.dtype);
    return { dtype: own, dims: declared ?? shapeFor(array.length, input), data: array };
  }
  const flat: unknown[] = [];
  const nested = Array.isArray(data) ? flatten(data, flat, where) : undefined;
  if (!nested)
    return fail(
      'DATA_MODULE',
      `'${where.tensor}' of '${where.sample}' is ${kindName(data)}; expected a typed array, arrays of numbers, ` +
        'or { dims, data }',
      where,
    );
  const as = dtype ?? input?.dtype ?? 'float32';
  const shape = declared ?? (nested.length === 1 ? shapeFor(flat.length, input) : nested);
  if (as === 'string') return { dtype: as, dims: shape, data: flat.map(String) };
  return { dtype: as, dims: shape, data: numbers(flat, as, where) };
}

/** Appends all leaves to `out` and returns the dims. Throws DATA_MODULE for ragged arrays. */
function flatten(value: readonly unknown[], out: unknown[], where: Where, depth = 0): number[] {
  if (depth > 8) fail('DATA_MODULE', `'${where.tensor}' of '${where.sample}' nests deeper than 8 axes`, where);
  if (!Array.isArray(value[0])) {
    for (const v of value) {
      if (Array.isArray(v)) fail('DATA_MODULE', `'${where.tensor}' of '${where.sample}' is ragged`, where);
      out.push(v);
    }
    return [value.length];
  }
  let inner: number[] | undefined;
  for (const part of value) {
    const dims = Array.isArray(part) ? flatten(part, out, where, depth + 1) : [];
    if (inner && inner.join() !== dims.join())
      fail(
        'DATA_MODULE',
        `'${where.tensor}' of '${where.sample}' is ragged: [${inner.join(',')}] beside [${dims.join(',')}]`,
        where,
      );
    inner ??= dims;
  }
  return [value.length, ...(inner ?? [])];
}

function numbers(flat: readonly unknown[], dtype: DType, where: Where): TypedArray {
  const out = arrayOf(dtype, flat.length);
  if (!out) return fail('DATA_MODULE', `'${where.tensor}' takes ${dtype}, which arrays of numbers cannot give`, where);
  for (let i = 0; i < flat.length; i++) {
    const v = flat[i];
    if (typeof v !== 'number' && typeof v !== 'bigint' && typeof v !== 'boolean')
      fail(
        'DATA_MODULE',
        `value ${i} of '${where.tensor}' of '${where.sample}' is ${kindName(v)}, not a number`,
        where,
      );
    const n = Number(v);
    if (!isFloat(dtype) && !Number.isInteger(n))
      fail(
        'DATA_MODULE',
        `value ${i} of '${where.tensor}' of '${where.sample}' is ${n}, but the input takes ${dtype}`,
        where,
      );
    if (out instanceof BigInt64Array || out instanceof BigUint64Array) out[i] = BigInt(typeof v === 'bigint' ? v : n);
    else out[i] = dtype === 'float16' ? numberToFloat16(n) : n;
    if (!isFloat(dtype) && Number(out[i]) !== n)
      fail(
        'DATA_MODULE',
        `value ${i} of '${where.tensor}' of '${where.sample}' is ${n}, out of range for ${dtype}`,
        where,
      );
  }
  return out;
}

/** Shape of flat data: that of the input where one unknown axis (the batch) completes it, else one axis. */
function shapeFor(length: number, input: ValueInfo | undefined): number[] {
  const shape = input?.shape;
  if (!shape) return [length];
  const known = shape.reduce<number>((n, d) => (typeof d === 'number' ? n * d : n), 1);
  const open = shape.filter((d) => typeof d !== 'number').length;
  if (open === 0) return known === length ? shape.map(Number) : [length];
  if (open === 1 && known > 0 && length % known === 0)
    return shape.map((d) => (typeof d === 'number' ? d : length / known));
  return shape.length === 2 ? [1, length] : [length];
}

function dtypeOf(array: TypedArray, wanted: DType | undefined): DType {
  if (array instanceof Float32Array) return 'float32';
  if (array instanceof Float64Array) return 'float64';
  if (array instanceof Uint8Array) return wanted === 'bool' ? 'bool' : 'uint8';
  if (array instanceof Int8Array) return 'int8';
  if (array instanceof Uint16Array) return wanted === 'float16' || wanted === 'bfloat16' ? wanted : 'uint16';
  if (array instanceof Int16Array) return 'int16';
  if (array instanceof Int32Array) return 'int32';
  if (array instanceof Uint32Array) return 'uint32';
  return array instanceof BigInt64Array ? 'int64' : 'uint64';
}

const isIterable = (v: unknown): v is AsyncIterable<unknown> | Iterable<unknown> =>
  typeof v === 'object' && v !== null && (Symbol.asyncIterator in v || Symbol.iterator in v);
const isCorners = (v: unknown): v is [number, number, number, number] =>
  Array.isArray(v) && v.length === 4 && v.every(Number.isFinite) && v[0] <= v[2] && v[1] <= v[3];
