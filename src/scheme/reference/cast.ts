/** Cast and CastLike between numeric types. */
import { fail } from '../../base/errors.js';
import { dtypeFromCode, integerRange, type DType } from '../../ir/dtype.js';
import { encodeTensor, type PowerRounding } from '../../ir/encode.js';
import { Tensor } from '../../ir/tensor.js';
import { numberOf, required, type ReferenceAttributes, type ReferenceOperator } from './operator.js';

/** source: https://onnx.ai/onnx/operators/onnx__Cast.html */
export const cast: ReferenceOperator = (inputs, attributes) => {
  const code = numberOf(attributes, 'to', 0);
  return [
    convert(
      required(inputs, 0, 'input'),
      dtypeFromCode(code) ?? fail('MODEL_TENSOR', `attribute to is ${code}, which is no element type`),
      attributes,
    ),
  ];
};

/** source: https://onnx.ai/onnx/operators/onnx__CastLike.html */
export const castLike: ReferenceOperator = (inputs, attributes) => [
  convert(required(inputs, 0, 'input'), required(inputs, 1, 'target_type').dtype, attributes),
];

function convert(x: Tensor, to: DType, attributes: ReferenceAttributes): Tensor {
  const rounding = attributes['round_mode'] ?? 'up';
  if (!isPowerRounding(rounding))
    fail('MODEL_TENSOR', `attribute round_mode is ${JSON.stringify(rounding)}`, {}, 'use up, down or nearest');
  if (x.dtype === to) return x;
  const wide = x.dtype === 'int64' || x.dtype === 'uint64';
  // Integers beyond 2^53 would be rounded on their way through float64, so casts among integers go by their low bits.
  if (wide && (to === 'int64' || to === 'uint64')) return new Tensor(to, x.dims, x.source);
  if (wide && integerRange(to))
    return encodeTensor(
      to,
      x.dims,
      x.ints().map((v) => Number(BigInt.asIntN(32, v))),
    );
  return encodeTensor(to, x.dims, x.f64(), {
    saturate: numberOf(attributes, 'saturate', 1) !== 0,
    powerRounding: rounding,
  });
}
function isPowerRounding(value: unknown): value is PowerRounding {
  return value === 'up' || value === 'down' || value === 'nearest';
}
