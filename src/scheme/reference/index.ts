/** The reference operators by their ONNX names. */
import { cast, castLike } from './cast.js';
import { convInteger, qLinearConv } from './conv.js';
import { dequantizeLinear, dynamicQuantizeLinear, quantizeLinear } from './linear.js';
import { matMulInteger, qLinearMatMul } from './matmul.js';
import type { ReferenceOperator } from './operator.js';

export const REFERENCE_OPERATORS = {
  Cast: cast,
  CastLike: castLike,
  ConvInteger: convInteger,
  DequantizeLinear: dequantizeLinear,
  DynamicQuantizeLinear: dynamicQuantizeLinear,
  MatMulInteger: matMulInteger,
  QLinearConv: qLinearConv,
  QLinearMatMul: qLinearMatMul,
  QuantizeLinear: quantizeLinear,
} as const satisfies Readonly<Record<string, ReferenceOperator>>;
