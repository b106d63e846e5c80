/**
 * Quantize, dequantize, and both at once, per tensor, axis or block: the arithmetic of ONNX QuantizeLinear and
 * DequantizeLinear.
 */
import { fail } from '../base/errors.js';
import { createRng, type Rng } from '../base/rng.js';
import { Tensor } from '../ir/tensor.js';
import { layoutOf, type ParamLayout } from './layout.js';
import { clipRange } from './params.js';
import { roundHalfEven, roundingFunction } from './rounding.js';
import type { QuantParams } from './types.js';

type Codes = Int8Array | Uint8Array | Int32Array;
const { fround } = Math;

/**
 * The codes of float32 `values` of shape `dims`: clip(round(x / scale) + zeroPoint).
 *
 * The quotient is rounded to float32, as runtimes and numpy do (float64 for int32 codes, which float32 cannot hold).
 * Rounding follows `params.scheme.rounding`, half-even by default. ±Infinity saturates; NaN gives the zero point, that
 * is, 0.
 * `rng` serves stochastic rounding only.
 *
 * Throws MODEL_TENSOR where the number of scales does not fit dims.
 */
export function quantize(
  values: Float32Array,
  dims: readonly number[],
  params: QuantParams,
  rng: Rng = createRng(0, 'rounding'),
): Tensor {
  const layout = checkedLayout(values.length, dims, params);
  const { dtype } = params.scheme;
  const codes = /^int[248]$/.test(dtype)
    ? new Int8Array(values.length)
    : /^uint[248]$/.test(dtype)
      ? new Uint8Array(values.length)
      : new Int32Array(values.length);
  writeCodes(values, layout, params, codes, rng);
  return Tensor.codes(dtype, codes, dims);
}

/**
 * The codes of a constant: those that were chosen for it, else each value rounded. Throws what {@link quantize} throws.
 */
export const weightCodes = (data: Tensor, params: QuantParams, rng?: Rng): Tensor =>
  params.codes ?? quantize(data.f32(), data.dims, params, rng);

/**
 * float32 values of codes: (q − zeroPoint) · scale, rounded to float32. Throws MODEL_TENSOR where types or sizes do not
 * fit.
 */
export function dequantize(codes: Tensor, params: QuantParams): Float32Array {
  if (codes.dtype !== params.scheme.dtype)
    fail('MODEL_TENSOR', `${codes.dtype} codes cannot be read with ${params.scheme.dtype} parameters`);
  const values = codes.f64();
  const out = new Float32Array(codes.size);
  writeValues(values, checkedLayout(codes.size, codes.dims, params), params, out);
  return out;
}

/** dequantize(quantize(values)), without packing the codes. */
export function fakeQuantize(
  values: Float32Array,
  dims: readonly number[],
  params: QuantParams,
  rng: Rng = createRng(0, 'rounding'),
): Float32Array {
  const layout = checkedLayout(values.length, dims, params);
  const codes = new Int32Array(values.length);
  const out = new Float32Array(values.length);
  writeCodes(values, layout, params, codes, rng);
  writeValues(codes, layout, params, out);
  return out;
}

function checkedLayout(size: number, dims: readonly number[], params: QuantParams): ParamLayout {
  const layout = layoutOf(dims, params.scheme.granularity);
  const need = layout.outer * layout.length * layout.inner;
  if (size !== need) fail('MODEL_TENSOR', `${size} values do not fill dims [${dims.join(',')}]`);
  if (params.scale.length !== layout.count || params.zeroPoint.length !== layout.count) {
    fail(
      'MODEL_TENSOR',
      `dims [${dims.join(',')}] need ${layout.count} scales and zero points per ` +
        `${params.scheme.granularity.kind}, but there are ${params.scale.length} and ${params.zeroPoint.length}`,
    );
  }
  return layout;
}

function writeCodes(values: Float32Array, layout: ParamLayout, params: QuantParams, codes: Codes, rng: Rng): void {
  const { outer, length, inner, group, outerStride, groupStride, innerStride } = layout;
  const { scale, zeroPoint, scheme } = params;
  const [low, high] = clipRange(scheme);
  const rule = scheme.rounding ?? 'half-even';
  const round = roundingFunction(rule, rng);
  const plain = rule === 'half-even' && scheme.dtype !== 'int32';
  const wide = scheme.dtype === 'int32';
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (let a = 0; a < length; a++) {
      let p = o * outerStride + Math.floor(a / group) * groupStride;
      for (let i = 0; i < inner; i++, at++, p += innerStride) {
        const z = zeroPoint[p]!;
        const quotient = values[at]! / scale[p]!;
        const q = (plain ? roundHalfEven(fround(quotient)) : round(wide ? quotient : fround(quotient))) + z;
        codes[at] = q >= high ? high : q > low ? q : Number.isNaN(q) ? z : low;
      }
    }
  }
}

function writeValues(codes: ArrayLike<number>, layout: ParamLayout, params: QuantParams, out: Float32Array): void {
  const { outer, length, inner, group, outerStride, groupStride, innerStride } = layout;
  const { scale, zeroPoint } = params;
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (let a = 0; a < length; a++) {
      let p = o * outerStride + Math.floor(a / group) * groupStride;
      for (let i = 0; i < inner; i++, at++, p += innerStride) out[at] = fround(codes[at]! - zeroPoint[p]!) * scale[p]!;
    }
  }
}
