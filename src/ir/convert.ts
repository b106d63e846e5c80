/** Decoding of raw little-endian tensor bytes into JavaScript numbers, for every ONNX element type. */
import { fail } from '../base/errors.js';
import { dtypeBits, type DType } from './dtype.js';

type FloatArray = Float32Array | Float64Array;
interface FloatArrayType<A extends FloatArray> {
  new (n: number): A;
  new (buffer: ArrayBufferLike, offset: number, n: number): A;
  BYTES_PER_ELEMENT: number;
}

/** Values as floats. A view where type and alignment allow it, else a copy. */
export function decodeFloats<A extends FloatArray>(
  dtype: DType,
  bytes: Uint8Array,
  n: number,
  Type: FloatArrayType<A>,
): A {
  if ((dtype === 'float32' && Type.BYTES_PER_ELEMENT === 4) || (dtype === 'float64' && Type.BYTES_PER_ELEMENT === 8)) {
    if (bytes.byteOffset % Type.BYTES_PER_ELEMENT === 0) return new Type(bytes.buffer, bytes.byteOffset, n);
    const copy = new Uint8Array(n * Type.BYTES_PER_ELEMENT);
    copy.set(bytes.subarray(0, copy.length));
    return new Type(copy.buffer, 0, n);
  }
  const out = new Type(n);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (dtype) {
    case 'float32':
      for (let i = 0; i < n; i++) out[i] = view.getFloat32(i * 4, true);
      return out;
    case 'float64':
      for (let i = 0; i < n; i++) out[i] = view.getFloat64(i * 8, true);
      return out;
    case 'float16':
      for (let i = 0; i < n; i++) out[i] = float16ToNumber(view.getUint16(i * 2, true));
      return out;
    case 'bfloat16':
      for (let i = 0; i < n; i++) out[i] = bfloat16ToNumber(view.getUint16(i * 2, true));
      return out;
    case 'int64':
      for (let i = 0; i < n; i++) out[i] = Number(view.getBigInt64(i * 8, true));
      return out;
    case 'uint64':
      for (let i = 0; i < n; i++) out[i] = Number(view.getBigUint64(i * 8, true));
      return out;
    case 'float8e4m3fn':
    case 'float8e4m3fnuz':
    case 'float8e5m2':
    case 'float8e5m2fnuz':
    case 'float8e8m0': {
      const table = float8Table(dtype);
      for (let i = 0; i < n; i++) out[i] = table[bytes[i]!]!;
      return out;
    }
    case 'float4e2m1':
      for (let i = 0; i < n; i++) out[i] = FLOAT4[(bytes[i >> 1]! >> ((i & 1) * 4)) & 15]!;
      return out;
    case 'string':
    case 'complex64':
    case 'complex128':
      return fail('MODEL_TENSOR', `a ${dtype} tensor cannot be read as floats`);
    default: {
      const read = codeReader(dtype, bytes);
      for (let i = 0; i < n; i++) out[i] = read(i);
      return out;
    }
  }
}

/** Values of an integer or bool tensor as bigints. */
export function decodeInts(dtype: DType, bytes: Uint8Array, n: number): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Array<bigint>(n);
  if (dtype === 'int64') for (let i = 0; i < n; i++) out[i] = view.getBigInt64(i * 8, true);
  else if (dtype === 'uint64') for (let i = 0; i < n; i++) out[i] = view.getBigUint64(i * 8, true);
  else {
    const read = codeReader(dtype, bytes);
    for (let i = 0; i < n; i++) out[i] = BigInt(read(i));
  }
  return out;
}

/** Reader of element i of an integer type of at most 32 bits, sign-extended. */
function codeReader(dtype: DType, bytes: Uint8Array): (i: number) => number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (dtype) {
    case 'int8':
      return (i) => view.getInt8(i);
    case 'uint8':
    case 'bool':
      return (i) => bytes[i]!;
    case 'int16':
      return (i) => view.getInt16(i * 2, true);
    case 'uint16':
      return (i) => view.getUint16(i * 2, true);
    case 'int32':
      return (i) => view.getInt32(i * 4, true);
    case 'uint32':
      return (i) => view.getUint32(i * 4, true);
    case 'int4':
      return (i) => ((bytes[i >> 1]! >> ((i & 1) * 4)) << 28) >> 28;
    case 'uint4':
      return (i) => (bytes[i >> 1]! >> ((i & 1) * 4)) & 15;
    case 'int2':
      return (i) => ((bytes[i >> 2]! >> ((i & 3) * 2)) << 30) >> 30;
    case 'uint2':
      return (i) => (bytes[i >> 2]! >> ((i & 3) * 2)) & 3;
    default:
      return fail('MODEL_TENSOR', `a ${dtype} tensor (${dtypeBits(dtype)} bits) cannot be read as integers`);
  }
}

const FLOAT4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];
const scratch = new DataView(new ArrayBuffer(8));

export function float16ToNumber(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const mantissa = h & 1023;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
export function bfloat16ToNumber(h: number): number {
  scratch.setUint32(0, h << 16);
  return scratch.getFloat32(0);
}
/** The values of all 65,536 codes of a type of 16 bits. */
export function halfValues(dtype: 'float16' | 'bfloat16'): Float32Array {
  const known = halfTables.get(dtype);
  if (known) return known;
  const read = dtype === 'float16' ? float16ToNumber : bfloat16ToNumber;
  const table = Float32Array.from({ length: 65536 }, (_, h) => read(h));
  halfTables.set(dtype, table);
  return table;
}
const halfTables = new Map<DType, Float32Array>();

/** float16 bits of a number, rounded half to even; beyond the range gives infinity. */
export function numberToFloat16(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const a = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  if (a >= 65520) return sign | 0x7c00;
  const exponent = a < 2 ** -14 ? -14 : Math.floor(Math.log2(a));
  const scaled = roundHalfEven(a * 2 ** (10 - exponent));
  if (a < 2 ** -14) return sign | scaled; // subnormal; a carry into the exponent is the right answer
  return sign | (((exponent + 15) << 10) + (scaled - 1024));
}
/** As {@link numberToFloat16} of each of many float32 values. */
export function halfBits(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  const codes = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < out.length; i++) {
    const code = codes[i]!;
    const size = code & 0x7fffffff;
    const half =
      size >= 0x47800000
        ? size > 0x7f800000
          ? 0x7e00
          : 0x7c00
        : size < 0x38800000
          ? roundHalfEven(Math.abs(values[i]!) * 2 ** 24) // subnormal
          : (size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13; // a carry into the exponent is the right answer
    out[i] = size > 0x7f800000 ? half : half | ((code >>> 16) & 0x8000);
  }
  return out;
}
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** The 256 values of an 8-bit float format (https://onnx.ai/onnx/technical/float8.html). */
export function float8Table(dtype: DType): Float64Array {
  const cached = float8Tables.get(dtype);
  if (cached) return cached;
  const table = new Float64Array(256);
  for (let code = 0; code < 256; code++) table[code] = float8Value(dtype, code);
  float8Tables.set(dtype, table);
  return table;
}
const float8Tables = new Map<DType, Float64Array>();

function float8Value(dtype: DType, code: number): number {
  if (dtype === 'float8e8m0') return code === 255 ? NaN : 2 ** (code - 127);
  const e4 = dtype.startsWith('float8e4m3');
  const uz = dtype.endsWith('uz');
  const mantissaBits = e4 ? 3 : 2;
  const bias = (e4 ? 7 : 15) + (uz ? 1 : 0);
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code & 0x7f) >> mantissaBits;
  const mantissa = code & ((1 << mantissaBits) - 1);
  if (uz && code === 0x80) return NaN;
  if (!uz && e4 && (code & 0x7f) === 0x7f) return NaN;
  if (!uz && !e4 && exponent === 31) return mantissa ? NaN : sign * Infinity;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (1 + mantissa / (1 << mantissaBits)) * 2 ** (exponent - bias);
}
