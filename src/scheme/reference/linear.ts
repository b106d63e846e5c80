/** QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, for every type and granularity up to opset 25. */
import { fail } from '../../base/errors.js';
import { dtypeFromCode, integerRange, type DType } from '../../ir/dtype.js';
import { encodeTensor } from '../../ir/encode.js';
import { Tensor } from '../../ir/tensor.js';
import { layoutOf, type ParamLayout } from '../layout.js';
import { roundHalfEven } from '../rounding.js';
import {
  numberOf,
  required,
  saturate,
  scalarOf,
  type ReferenceAttributes,
  type ReferenceOperator,
} from './operator.js';

const { fround } = Math;

/**
 * y = saturate(round(x / y_scale) + y_zero_point). The quotient is rounded to the type of `precision`, or else of the
 * wider of x and y_scale. NaN gives the zero point in integer types.
 * source: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
 */
export const quantizeLinear: ReferenceOperator = (inputs, attributes) => {
  const x = required(inputs, 0, 'x');
  const scale = required(inputs, 1, 'y_scale');
  const zeroPoint = inputs[2];
  const dtype = zeroPoint?.dtype ?? typeOf(attributes, 'output_dtype') ?? 'uint8';
  const declared = typeOf(attributes, 'output_dtype');
  if (declared && declared !== dtype) fail('MODEL_TENSOR', `output_dtype is ${declared}, but y_zero_point is ${dtype}`);
  const precise = typeOf(attributes, 'precision') ?? (x.dtype === scale.dtype ? x.dtype : 'float32');
  const saturating = numberOf(attributes, 'saturate', 1) !== 0;
  const index = parameterIndex(x, scale, zeroPoint, attributes);
  const values = x.f64();
  const scales = scale.f64();
  const zeros = zeroPoint?.f64();
  const quotients = values.map((v, i) => v / scales[index[i]!]!);
  const rounded = encodeTensor(precise, x.dims, quotients).f64();
  // Zero points of float types are 0; ONNX adds them to float4 alone, where that turns −0 into 0.
  if (dtype === 'float4e2m1' && zeros)
    return [
      encodeTensor(
        dtype,
        x.dims,
        rounded.map((v, i) => v + zeros[index[i]!]!),
      ),
    ];
  if (!integerRange(dtype)) return [encodeTensor(dtype, x.dims, rounded, { saturate: saturating })];
  const codes = rounded.map((v, i) => {
    const z = zeros ? zeros[index[i]!]! : 0;
    return Number.isNaN(v) ? z : saturate(dtype, roundHalfEven(v) + z);
  });
  return [encodeTensor(dtype, x.dims, codes)];
};

/**
 * y = (x − x_zero_point) · x_scale, computed in float32 and stored as output_dtype or the type of x_scale.
 * source: https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
 */
export const dequantizeLinear: ReferenceOperator = (inputs, attributes) => {
  const x = required(inputs, 0, 'x');
  const scale = required(inputs, 1, 'x_scale');
  const zeroPoint = inputs[2];
  if (zeroPoint && zeroPoint.dtype !== x.dtype)
    fail('MODEL_TENSOR', `x is ${x.dtype}, but x_zero_point is ${zeroPoint.dtype}`);
  const index = parameterIndex(x, scale, zeroPoint, attributes);
  const scales = scale.f64();
  const zeros = zeroPoint?.f64();
  const values = x.f64().map((v, i) => fround(fround(v - (zeros ? zeros[index[i]!]! : 0)) * scales[index[i]!]!));
  return [encodeTensor(typeOf(attributes, 'output_dtype') ?? scale.dtype, x.dims, values)];
};

/**
 * uint8 codes of x with the scale and zero point of its own range, in float32: [y, y_scale, y_zero_point]. Where the
 * range is [0, 0] the width counts as 1, as in ONNX's reference.
 * source: https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html
 */
export const dynamicQuantizeLinear: ReferenceOperator = (inputs) => {
  const x = required(inputs, 0, 'x');
  const values = x.f32();
  let min = 0;
  let max = 0;
  for (let i = 0; i < values.length; i++) {
    min = Math.min(min, values[i]!);
    max = Math.max(max, values[i]!);
  }
  const scale = fround((max === min ? 1 : fround(max - min)) / 255);
  const zeroPoint = roundHalfEven(Math.min(255, Math.max(0, fround(0 - fround(min / scale)))));
  const codes = Float64Array.from(values, (v) => saturate('uint8', roundHalfEven(fround(v / scale)) + zeroPoint));
  return [encodeTensor('uint8', x.dims, codes), Tensor.f32([scale], []), Tensor.codes('uint8', [zeroPoint], [])];
};

/** Index of the scale of each element. */
function parameterIndex(
  x: Tensor,
  scale: Tensor,
  zeroPoint: Tensor | undefined,
  attributes: ReferenceAttributes,
): Uint32Array {
  const block = numberOf(attributes, 'block_size', 0);
  const axis = numberOf(attributes, 'axis', 1);
  if (zeroPoint && zeroPoint.size !== scale.size)
    fail('MODEL_TENSOR', `the zero point has ${zeroPoint.size} elements, but the scale has ${scale.size}`);
  const index = new Uint32Array(x.size);
  if (scale.dims.length === 0 || (scale.size === 1 && block === 0)) {
    scalarOf(scale, 1);
    return index;
  }
  const layout: ParamLayout = layoutOf(
    x.dims,
    block > 0 ? { kind: 'block', axis, size: block } : { kind: 'axis', axis },
  );
  if (scale.size !== layout.count)
    fail('MODEL_TENSOR', `the scale has dims [${scale.dims.join(',')}], but [${layout.shape.join(',')}] is needed`);
  let at = 0;
  for (let o = 0; o < layout.outer; o++) {
    for (let a = 0; a < layout.length; a++) {
      for (let i = 0; i < layout.inner; i++)
        index[at++] =
          o * layout.outerStride + Math.floor(a / layout.group) * layout.groupStride + i * layout.innerStride;
    }
  }
  return index;
}

function typeOf(attributes: ReferenceAttributes, name: string): DType | undefined {
  const code = numberOf(attributes, name, 0);
  if (code === 0) return undefined;
  return dtypeFromCode(code) ?? fail('MODEL_TENSOR', `attribute ${name} is ${code}, which is no element type`);
}
