/** Encoding of JavaScript numbers as raw little-endian bytes of any numeric ONNX element type, as Cast converts. */
import { fail } from '../base/errors.js';
import { float8Table, halfBits, numberToFloat16 } from './convert.js';
import { byteLength, dtypeBits, type DType } from './dtype.js';
import { Tensor } from './tensor.js';

/** How float8e8m0, which holds powers of two only, rounds. */
export type PowerRounding = 'up' | 'down' | 'nearest';
export interface EncodeOptions {
  /** float8: values beyond the range become the largest finite one (true, the default), or NaN or infinity. */
  readonly saturate?: boolean;
  readonly powerRounding?: PowerRounding;
}

/**
 * A tensor of `values` converted as ONNX Cast does. Floats round half to even; float4 saturates. Floats to integers
 * truncate toward zero and then keep the low bits, so that out-of-range values wrap; NaN and infinity give 0.
 * Throws MODEL_TENSOR for string and complex types, or where values do not fill dims.
 */
export function encodeTensor(
  dtype: DType,
  dims: readonly number[],
  values: ArrayLike<number>,
  options: EncodeOptions = {},
): Tensor {
  return new Tensor(dtype, dims, encodeNumbers(dtype, values, options));
}

function encodeNumbers(
  dtype: DType,
  values: ArrayLike<number>,
  { saturate = true, powerRounding = 'up' }: EncodeOptions,
): Uint8Array {
  const n = values.length;
  const out = new Uint8Array(byteLength(dtype, n));
  const view = new DataView(out.buffer);
  switch (dtype) {
    case 'float32':
      for (let i = 0; i < n; i++) view.setFloat32(i * 4, values[i]!, true);
      return out;
    case 'float64':
      for (let i = 0; i < n; i++) view.setFloat64(i * 8, values[i]!, true);
      return out;
    case 'float16':
      if (values instanceof Float32Array) {
        out.set(new Uint8Array(halfBits(values).buffer));
        return out;
      }
      for (let i = 0; i < n; i++) view.setUint16(i * 2, numberToFloat16(values[i]!), true);
      return out;
    case 'bfloat16':
      for (let i = 0; i < n; i++) view.setUint16(i * 2, numberToBfloat16(values[i]!), true);
      return out;
    case 'float8e4m3fn':
    case 'float8e4m3fnuz':
    case 'float8e5m2':
    case 'float8e5m2fnuz':
      for (let i = 0; i < n; i++) out[i] = numberToFloat8(dtype, values[i]!, saturate);
      return out;
    case 'float8e8m0':
      for (let i = 0; i < n; i++) out[i] = numberToFloat8e8m0(values[i]!, saturate, powerRounding);
      return out;
    case 'float4e2m1':
      for (let i = 0; i < n; i++) out[i >> 1]! |= numberToFloat4(values[i]!) << ((i & 1) * 4);
      return out;
    case 'bool':
      for (let i = 0; i < n; i++) out[i] = values[i] === 0 ? 0 : 1;
      return out;
    case 'int64':
    case 'uint64':
      for (let i = 0; i < n; i++)
        view.setBigUint64(
          i * 8,
          BigInt.asUintN(64, BigInt(Number.isFinite(values[i]!) ? Math.trunc(values[i]!) : 0)),
          true,
        );
      return out;
    case 'int32':
    case 'uint32':
      for (let i = 0; i < n; i++) view.setInt32(i * 4, values[i]!, true);
      return out;
    case 'int16':
    case 'uint16':
      for (let i = 0; i < n; i++) view.setInt16(i * 2, values[i]!, true);
      return out;
    case 'int8':
    case 'uint8':
      for (let i = 0; i < n; i++) view.setInt8(i, values[i]!);
      return out;
    case 'int4':
    case 'uint4':
    case 'int2':
    case 'uint2': {
      const bits = dtypeBits(dtype);
      const perByte = 8 / bits;
      for (let i = 0; i < n; i++)
        out[Math.floor(i / perByte)]! |= (values[i]! & (2 ** bits - 1)) << ((i % perByte) * bits);
      return out;
    }
    case 'string':
    case 'complex64':
    case 'complex128':
      return fail('MODEL_TENSOR', `numbers cannot be stored as ${dtype}`);
    default:
      return dtype satisfies never;
  }
}

const scratch = new DataView(new ArrayBuffer(4));

/** bfloat16 bits, rounded half to even from float32. */
export function numberToBfloat16(x: number): number {
  if (Number.isNaN(x)) return 0x7fc0;
  scratch.setFloat32(0, x);
  const bits = scratch.getUint32(0);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

export type Float8 = 'float8e4m3fn' | 'float8e4m3fnuz' | 'float8e5m2' | 'float8e5m2fnuz';
/**
 * Largest finite code, code of overflow without saturation, and whether −0 exists. source:
 * https://onnx.ai/onnx/technical/float8.html
 */
const FLOAT8 = {
  float8e4m3fn: { top: 0x7e, overflow: 0x7f, nan: 0x7f, signed: true },
  float8e5m2: { top: 0x7b, overflow: 0x7c, nan: 0x7e, signed: true },
  float8e4m3fnuz: { top: 0x7f, overflow: 0x80, nan: 0x80, signed: false },
  float8e5m2fnuz: { top: 0x7f, overflow: 0x80, nan: 0x80, signed: false },
} as const;

/** float8 code of a number, rounded half to even. Infinity saturates as any large value does. */
export function numberToFloat8(dtype: Float8, x: number, saturate = true): number {
  const { top, overflow, nan, signed } = FLOAT8[dtype];
  if (Number.isNaN(x)) return nan;
  const table = float8Table(dtype);
  const sign = x < 0 || Object.is(x, -0) ? 0x80 : 0;
  const code = nearestCode(table, top, Math.abs(x));
  if (code > top) return saturate ? sign | top : sign | overflow;
  return code === 0 && !signed ? 0 : sign | code;
}

/**
 * float4e2m1 code of a number, rounded half to even and saturated. NaN, which the type lacks, gives −0, as ml_dtypes
 * does.
 */
export function numberToFloat4(x: number): number {
  if (Number.isNaN(x)) return 8;
  const sign = x < 0 || Object.is(x, -0) ? 8 : 0;
  return sign | Math.min(7, nearestCode(FLOAT4, 7, Math.abs(x)));
}
const FLOAT4 = Float64Array.of(0, 0.5, 1, 1.5, 2, 3, 4, 6);

/**
 * float8e8m0 code (the exponent + 127) of a number; the sign is lost, 0 gives the least power, NaN and infinity give
 * NaN.
 * `nearest` rounds halves up. Unlike ONNX's helper, 2^-127 itself stays what it is.
 * source: onnx/numpy_helper.py, to_float8e8m0
 */
export function numberToFloat8e8m0(x: number, saturate = true, rounding: PowerRounding = 'up'): number {
  scratch.setFloat32(0, x);
  const bits = scratch.getUint32(0);
  const exponent = (bits >>> 23) & 255;
  if (exponent === 255) return 255;
  // A float32 below 2^-126 has no leading one: 2^-127, the least power, is fraction 0x400000 there.
  const [exact, half] = exponent === 0 ? [0x400000, 0x600000] : [0, 0x400000];
  const fraction = bits & 0x7fffff;
  const up = rounding === 'up' ? fraction > exact : rounding === 'nearest' && fraction >= half;
  if (!up || (saturate && exponent === 254)) return exponent;
  return exponent + 1;
}

/**
 * Index of the value nearest to x ≥ 0 in the ascending table[0..top], ties to the even index; top + 1 where x rounds
 * beyond it.
 */
function nearestCode(table: Float64Array, top: number, x: number): number {
  let low = 0;
  let high = top + 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (table[middle]! <= x) low = middle;
    else high = middle;
  }
  const next = low === top ? 2 * table[top]! - table[top - 1]! : table[low + 1]!;
  const middle = (table[low]! + next) / 2;
  return x > middle || (x === middle && low % 2 === 1) ? low + 1 : low;
}
