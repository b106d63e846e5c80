/**
 * MatMulInteger and QLinearConv of uint8 inputs and int8 weights as x64 CPUs with AVX2 or AVX-512 but without VNNI
 * compute them: the products of two neighbours are added in int16, which saturates (VPMADDUBSW), and these sums in
 * int32.
 * source: onnxruntime/core/mlas/lib/qgemm_kernel_avx2.cpp, onnxruntime/core/providers/cpu/quantization/qlinearconv.cpp
 */
import { fail } from '../../base/errors.js';
import { Tensor, elementCount } from '../../ir/tensor.js';
import { qLinearConv, type SumOf } from './conv.js';
import { required, scalarOf, type ReferenceOperator } from './operator.js';

const saturated = (x: number): number => Math.min(32767, Math.max(-32768, x));

/** Σ of products, two by two. Element i of a list is the one that the kernel takes at its i-th place. */
function sumInPairs(length: number, input: (i: number) => number, weight: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < length; i += 2)
    sum += saturated(input(i) * weight(i) + (i + 1 < length ? input(i + 1) * weight(i + 1) : 0));
  return sum;
}

/** As ONNX MatMulInteger for matrices A [M, K] of uint8 and B [K, N] of int8, with one zero point each. */
export const saturatingMatMulInteger: ReferenceOperator = (inputs) => {
  const [a, b] = [required(inputs, 0, 'A'), required(inputs, 1, 'B')];
  const [rows, depth, columns] = [a.dims[0], a.dims[1], b.dims[1]];
  if (
    a.dims.length !== 2 ||
    b.dims.length !== 2 ||
    rows === undefined ||
    depth !== b.dims[0] ||
    depth === undefined ||
    columns === undefined
  ) {
    fail('MODEL_TENSOR', `matrices of dims [${a.dims.join(',')}] and [${b.dims.join(',')}] cannot be multiplied`);
  }
  const [x, w] = [a.f64(), b.f64()];
  const sum = pairedSum(scalarOf(inputs[2], 0));
  const zero = scalarOf(inputs[3], 0);
  const sums = new Int32Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      sums[r * columns + c] = sum(
        depth,
        (k) => x[r * depth + k]!,
        (k) => w[k * columns + c]!,
        zero,
      ); // places in the matrices
    }
  }
  return [Tensor.i32(sums, [rows, columns])];
};

/** As QLinearConv. Depthwise convolutions of one output a channel have a kernel that does not saturate. */
export const saturatingQLinearConv: ReferenceOperator = (inputs, attributes) => {
  const w = required(inputs, 3, 'w');
  const group = attributes['group'] ?? 1;
  if (w.dims[1] === 1 && w.dims[0] === group && elementCount(w.dims.slice(0, 1)) > 1)
    return qLinearConv(inputs, attributes);
  return qLinearConv(inputs, attributes, pairedSum(scalarOf(required(inputs, 2, 'x_zero_point'), 0)));
};

/** The kernel multiplies the codes themselves and takes the zero points off afterwards. */
const pairedSum =
  (inputZero: number): SumOf =>
  (length, input, weight, weightZero) => {
    let [inputs, weights] = [0, 0];
    for (let i = 0; i < length; i++) {
      inputs += input(i);
      weights += weight(i);
    }
    return (
      sumInPairs(length, input, weight) - inputZero * weights - weightZero * inputs + length * inputZero * weightZero
    );
  };
