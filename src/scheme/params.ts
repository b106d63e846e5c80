/** Scale and zero point from a range, bit-equal to onnxruntime.quantization 1.30 where that is defined. */
import { fail, invariant } from '../base/errors.js';
import { integerRange } from '../ir/dtype.js';
import { roundHalfEven } from './rounding.js';
import type { QuantParams, QuantScheme, Range } from './types.js';

/** The smallest normal float32. Smaller scales are not used: 1/scale may overflow, and runtimes flush them to zero. */
const TINY = 2 ** -126;
const FLOAT32_MAX = 3.4028234663852886e38;
const { fround } = Math;

/**
 * Lowest and highest code that the type can store, without the lowest where the scheme is narrow. Codes are clipped to
 * it.
 */
export function clipRange(scheme: QuantScheme): readonly [number, number] {
  const whole = integerRange(scheme.dtype);
  invariant(whole, `${scheme.dtype} is no integer type`);
  const { bits } = scheme;
  const range =
    bits === undefined
      ? whole
      : whole[0] < 0
        ? ([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] as const)
        : ([0, 2 ** bits - 1] as const);
  return scheme.narrow ? [range[0] + 1, range[1]] : range;
}

/**
 * Lowest and highest code that a range is spread over. As {@link clipRange}, but symmetric int8, int16 and int32 leave
 * the lowest code out, so that the grid is symmetric; int4 and int2 cannot afford that and keep all codes.
 * source: onnxruntime/quantization/quant_utils.py, ONNX_INT_TYPE_SYMMETRIC_RANGE
 */
export function codeRange(scheme: QuantScheme): readonly [number, number] {
  const [low, high] = clipRange(scheme);
  return scheme.symmetric && low < -8 ? [-high, high] : [low, high];
}

/**
 * Parameters for one range per tensor, channel or block. Ranges are rounded to float32 and widened to include zero; the
 * scale is always a normal float32, and zero is always on the grid.
 *
 * Symmetric: scale = 2·max|x| / (high − low), zeroPoint = round((low + high) / 2), so 128 for uint8.
 * Asymmetric: scale = (max − min) / (high − low), zeroPoint = round(low − min / scale) with the float64 scale.
 * Symmetric with signedScale: scale = x / −2^(bits−1) for the value x furthest from zero, the same zeroPoint: codes
 * reach from −8 to 7 and the largest magnitude is exact. source: block_q4_0 of llama.cpp, MlasBlockwiseQuantizer of
 * onnxruntime Where the scale would be below the smallest normal float32 (all-zero or denormal data): scale 1,
 * zeroPoint 0. With powerOfTwo, the scale is the least power of two that is not smaller.
 * Beyond onnxruntime: infinite bounds count as ±3.4e38, and NaN bounds or empty ranges (min > max around zero) as zero.
 *
 * Throws MODEL_TENSOR where min and max differ in length.
 * source: onnxruntime/quantization/quant_utils.py, compute_scale_zp
 */
export function chooseParams(range: Range, scheme: QuantScheme): QuantParams {
  const count = range.min.length;
  if (range.max.length !== count) fail('MODEL_TENSOR', `a range has ${count} minima, but ${range.max.length} maxima`);
  const [low, high] = codeRange(scheme);
  const levels = high - low;
  const scale = new Float32Array(count);
  const zeroPoint = new Int32Array(count);
  for (let c = 0; c < count; c++) {
    let min = Math.min(bounded(range.min[c]!), 0);
    let max = Math.max(bounded(range.max[c]!), 0);
    if (scheme.symmetric && scheme.signedScale) {
      const middle = roundHalfEven((low + high) / 2);
      const step = (max > -min ? max : min) / (low - middle);
      const usable = Math.abs(step) >= TINY;
      scale[c] = usable ? step : 1;
      zeroPoint[c] = usable || low >= 0 ? middle : 0;
      continue;
    }
    if (scheme.symmetric) {
      max = Math.max(-min, max);
      min = -max;
    }
    // onnxruntime subtracts in float32; where that overflows we stay in float64 and so keep the scale finite.
    const narrowWidth = fround(max - min);
    const exact = (Number.isFinite(narrowWidth) ? narrowWidth : max - min) / levels;
    if (exact < TINY) {
      scale[c] = 1;
      zeroPoint[c] = 0;
      continue;
    }
    const step = scheme.powerOfTwo ? powerOfTwo(exact) : exact;
    scale[c] = step;
    const zero = scheme.symmetric ? roundHalfEven((low + high) / 2) : roundHalfEven(low - min / step);
    zeroPoint[c] = Math.min(high, Math.max(low, zero));
  }
  return { scheme, scale, zeroPoint };
}

/** The least power of two that is at least a positive scale; at most 2^127, the largest in float32. */
export const powerOfTwo = (scale: number): number => {
  const exponent = Math.min(127, Math.ceil(Math.log2(scale)));
  const found = 2 ** exponent; // log2 may be off by one in the last digit
  return found / 2 >= scale ? found / 2 : found < scale && exponent < 127 ? found * 2 : found;
};

function bounded(x: number): number {
  if (Number.isNaN(x)) return 0;
  return fround(Math.min(FLOAT32_MAX, Math.max(-FLOAT32_MAX, x)));
}

/**
 * Scale and zero point that give every code of a type of 8 bits a place in [low, high): [0, 1] has scale 1/256, as
 * onnxruntime wants of Softmax and Sigmoid.
 */
export function fixedCodes(
  [low, high]: readonly [number, number],
  { dtype }: QuantScheme,
): { readonly scale: number; readonly zeroPoint: number } {
  const whole = integerRange(dtype);
  invariant(whole, `${dtype} is no integer type`);
  const scale = (high - low) / (whole[1] - whole[0] + 1);
  return { scale, zeroPoint: whole[0] - low / scale };
}

/** The parameters of one known scale and zero point. Throws MODEL_TENSOR where they cannot work. */
export function fixedParams(scheme: QuantScheme, scale: number, zeroPoint: number): QuantParams {
  const rounded = fround(scale);
  if (!(rounded >= TINY) || !Number.isFinite(rounded))
    fail('MODEL_TENSOR', `scale ${scale} is not a normal positive float32`);
  const [low, high] = clipRange(scheme);
  if (!Number.isInteger(zeroPoint) || zeroPoint < low || zeroPoint > high)
    fail(
      'MODEL_TENSOR',
      `zero point ${zeroPoint} is not a ${scheme.dtype} code`,
      {},
      `use an integer from ${low} to ${high}`,
    );
  return { scheme, scale: Float32Array.of(rounded), zeroPoint: Int32Array.of(zeroPoint) };
}
