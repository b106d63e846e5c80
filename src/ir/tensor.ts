import { fail, invariant } from '../base/errors.js';
import { decodeFloats, decodeInts } from './convert.js';
import { byteLength, type DType } from './dtype.js';

/** Where a tensor's raw little-endian bytes come from: memory, or a range of a file that is read when asked for. */
export interface ByteSource {
  readonly byteLength: number;
  /** The bytes; may be a view of a larger buffer, so never write into them. */
  read(): Uint8Array;
  /**
   * `count` runs of `length` bytes, `stride` apart, one behind the other, in `into` where it is given; without this
   * method they are cut from all bytes.
   */
  range?(offset: number, length: number, count?: number, stride?: number, into?: Uint8Array): Uint8Array;
  /** All bytes in order, some megabytes at a time, never whole in memory; without it they come in one piece. */
  pieces?(): Iterable<Uint8Array>;
  /** The matrix that this is the transpose of, where it is turned each time it is read. */
  readonly turned?: Tensor;
  /** Set where the bytes lie in a file beside the model. */
  readonly file?: { readonly path: string; readonly offset: number };
}

/**
 * An immutable n-dimensional constant. Data stay where they are (a view of the model file, a range of an external
 * file) until asked for. A pass never writes into a tensor; it makes a new one and replaces `value.data`.
 */
export class Tensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  /** Number of elements: the product of dims, 1 for a scalar. */
  readonly size: number;
  /** Kept from the file for round trips; the tensor itself is always dense. */
  readonly sparse:
    | { readonly values: Tensor; readonly indices: Tensor; readonly valuesName: string; readonly indicesName: string }
    | undefined;
  /** Fields that this version does not know, preserved on save; opaque outside onnx/. */
  extra: unknown;
  /** TensorProto.name where it matters (attributes) and doc_string. */
  name = '';
  doc = '';
  readonly #source: ByteSource | readonly (string | Uint8Array)[];

  constructor(
    dtype: DType,
    dims: readonly number[],
    source: Uint8Array | ByteSource | readonly (string | Uint8Array)[],
    sparse?: Tensor['sparse'],
  ) {
    this.dtype = dtype;
    this.dims = dims;
    this.size = elementCount(dims);
    this.sparse = sparse;
    if (source instanceof Uint8Array) this.#source = { byteLength: source.byteLength, read: () => source };
    else this.#source = source;
    if (dtype === 'string') {
      if (!Array.isArray(this.#source) || this.#source.length !== this.size)
        fail('MODEL_TENSOR', `a string tensor of dims [${dims.join(',')}] needs ${this.size} strings`);
    } else {
      invariant(!Array.isArray(this.#source), 'only string tensors hold strings');
      const have = this.source.byteLength;
      const need = byteLength(dtype, this.size);
      if (have !== need)
        fail('MODEL_TENSOR', `a ${dtype} tensor of dims [${dims.join(',')}] needs ${need} bytes, but has ${have}`);
    }
  }

  /** The byte source. Throws MODEL_TENSOR for strings: a model may hold them where an operator takes numbers. */
  get source(): ByteSource {
    if (Array.isArray(this.#source)) fail('MODEL_TENSOR', `a string tensor${this.#called} stands where numbers must`);
    return this.#source as ByteSource; // the only other case is the array, refused above
  }
  get #called(): string {
    return this.name && ` '${this.name}'`;
  }
  /** Raw little-endian bytes, possibly a view: do not write. */
  bytes(): Uint8Array {
    return this.source.read();
  }
  /**
   * `count` runs of `length` bytes, `stride` apart, in `into` where it is given: the others are not read where the
   * source can do so.
   */
  range(offset: number, length: number, count = 1, stride = length, into?: Uint8Array): Uint8Array {
    const { source } = this;
    if (source.range) return source.range(offset, length, count, stride, into);
    const all = source.read();
    if (count === 1 && !into) return all.subarray(offset, offset + length);
    const out = into ?? new Uint8Array(length * count);
    for (let i = 0; i < count; i++)
      out.set(all.subarray(offset + i * stride, offset + i * stride + length), i * length);
    return out;
  }
  /** All bytes in order, piece by piece where the source can do so. */
  pieces(): Iterable<Uint8Array> {
    return this.source.pieces?.() ?? [this.source.read()];
  }
  get byteLength(): number {
    return this.dtype === 'string' ? this.strings().reduce((n, s) => n + s.length, 0) : this.source.byteLength;
  }
  /** Values as float32 (exact for float16, bfloat16 and the small formats; rounded for float64 and wide integers). */
  f32(): Float32Array {
    return decodeFloats(this.dtype, this.bytes(), this.size, Float32Array);
  }
  /** Values as float64. */
  f64(): Float64Array {
    return decodeFloats(this.dtype, this.bytes(), this.size, Float64Array);
  }
  /** Values of an integer or bool tensor as bigints. */
  ints(): bigint[] {
    return decodeInts(this.dtype, this.bytes(), this.size);
  }
  /** Values of an integer tensor as numbers; throws MODEL_TENSOR beyond 2^53. */
  numbers(): number[] {
    return this.ints().map((v) => {
      if (v > BigInt(Number.MAX_SAFE_INTEGER) || v < BigInt(Number.MIN_SAFE_INTEGER))
        fail('MODEL_TENSOR', `integer ${v} is beyond 2^53`);
      return Number(v);
    });
  }
  /** As {@link numbers}, but undefined beyond 2^53 instead of an error. */
  numbersOrUndefined(): number[] | undefined {
    const out = this.ints().map(Number);
    return out.every(Number.isSafeInteger) ? out : undefined;
  }
  /** Strings of a string tensor (decoded as UTF-8). Throws MODEL_TENSOR for others. */
  strings(): readonly string[] {
    return this.rawStrings().map((s) => (typeof s === 'string' ? s : new TextDecoder().decode(s)));
  }
  /** Strings as kept: bytes where they are not valid UTF-8. */
  rawStrings(): readonly (string | Uint8Array)[] {
    if (!Array.isArray(this.#source))
      fail('MODEL_TENSOR', `a ${this.dtype} tensor${this.#called} stands where strings must`);
    return this.#source as readonly (string | Uint8Array)[]; // checked above
  }
  /** The same data under other dims of equal element count. */
  reshaped(dims: readonly number[]): Tensor {
    return new Tensor(this.dtype, dims, this.#source);
  }

  static f32(values: ArrayLike<number>, dims: readonly number[] = [values.length]): Tensor {
    const data = values instanceof Float32Array ? values : Float32Array.from(values);
    return new Tensor('float32', dims, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  static i64(values: readonly (number | bigint)[], dims: readonly number[] = [values.length]): Tensor {
    return new Tensor('int64', dims, new Uint8Array(BigInt64Array.from(values, BigInt).buffer));
  }
  static i32(values: ArrayLike<number>, dims: readonly number[] = [values.length]): Tensor {
    const data = values instanceof Int32Array ? values : Int32Array.from(values);
    return new Tensor('int32', dims, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  /** Codes of an integer type of up to 32 bits, packed as ONNX stores them. */
  static codes(dtype: DType, codes: ArrayLike<number>, dims: readonly number[] = [codes.length]): Tensor {
    return new Tensor(dtype, dims, packCodes(dtype, codes));
  }
}

export function elementCount(dims: readonly number[]): number {
  let n = 1;
  for (const d of dims) {
    if (!Number.isSafeInteger(d) || d < 0)
      fail('MODEL_TENSOR', `dims [${dims.join(',')}] hold a negative or unsafe size`);
    n *= d;
  }
  if (!Number.isSafeInteger(n)) fail('MODEL_LIMIT', `dims [${dims.join(',')}] overflow the element count`);
  return n;
}

function packCodes(dtype: DType, codes: ArrayLike<number>): Uint8Array {
  const n = codes.length;
  switch (dtype) {
    case 'int8':
    case 'uint8':
    case 'bool': {
      const out = new Uint8Array(n);
      for (let i = 0; i < n; i++) out[i] = codes[i]!;
      return out;
    }
    case 'int16':
    case 'uint16':
      return new Uint8Array(Uint16Array.from(codes).buffer);
    case 'int32':
    case 'uint32':
      return new Uint8Array(Int32Array.from(codes).buffer);
    case 'int4':
    case 'uint4': {
      const out = new Uint8Array(Math.ceil(n / 2));
      for (let i = 0; i < n; i++) out[i >> 1]! |= (codes[i]! & 15) << ((i & 1) * 4);
      return out;
    }
    case 'int2':
    case 'uint2': {
      const out = new Uint8Array(Math.ceil(n / 4));
      for (let i = 0; i < n; i++) out[i >> 2]! |= (codes[i]! & 3) << ((i & 3) * 2);
      return out;
    }
    default:
      return invariantFail(`no integer codes for ${dtype}`);
  }
}
function invariantFail(message: string): never {
  throw new Error(message);
}
