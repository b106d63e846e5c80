/** MatMulInteger and QLinearMatMul. */
import { fail } from '../../base/errors.js';
import { encodeTensor } from '../../ir/encode.js';
import { Tensor, elementCount } from '../../ir/tensor.js';
import { roundHalfEven } from '../rounding.js';
import { required, saturate, scalarOf, type ReferenceOperator } from './operator.js';

const { fround } = Math;

/**
 * int32 product (A − a_zero_point) · (B − b_zero_point), with numpy's broadcasting of batches; sums wrap as int32 does.
 * a_zero_point is one value or one per row of A, b_zero_point one value or one per column of B.
 * source: https://onnx.ai/onnx/operators/onnx__MatMulInteger.html
 */
export const matMulInteger: ReferenceOperator = (inputs) => {
  const { sums, dims } = multiply(required(inputs, 0, 'A'), required(inputs, 1, 'B'), inputs[2], inputs[3]);
  return [Tensor.i32(sums, dims)];
};

/**
 * y = saturate(round(sums · (a_scale · b_scale / y_scale)) + y_zero_point), with the multiplier in float32, as
 * onnxruntime requantizes. Scales are one value, or one per row of a and per column of b.
 * source: https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html
 */
export const qLinearMatMul: ReferenceOperator = (inputs) => {
  const a = required(inputs, 0, 'a');
  const b = required(inputs, 3, 'b');
  const yZero = required(inputs, 7, 'y_zero_point');
  const { sums, dims, rows, columns } = multiply(a, b, inputs[2], inputs[5]);
  const aScale = perLine(required(inputs, 1, 'a_scale'), rows);
  const bScale = perLine(required(inputs, 4, 'b_scale'), columns);
  const yScale = scalarOf(required(inputs, 6, 'y_scale'), 1);
  const zero = scalarOf(yZero, 0);
  const codes = Float64Array.from(sums, (sum, i) => {
    const multiplier = fround(fround(aScale(Math.floor(i / columns) % rows) * bScale(i % columns)) / yScale);
    return saturate(yZero.dtype, roundHalfEven(fround(fround(sum) * multiplier)) + zero);
  });
  return [encodeTensor(yZero.dtype, dims, codes)];
};

interface Product {
  readonly sums: Int32Array;
  readonly dims: readonly number[];
  readonly rows: number;
  readonly columns: number;
}

function multiply(a: Tensor, b: Tensor, aZero: Tensor | undefined, bZero: Tensor | undefined): Product {
  const aDims = a.dims.length === 1 ? [1, ...a.dims] : a.dims;
  const bDims = b.dims.length === 1 ? [...b.dims, 1] : b.dims;
  const [rows, depth] = [aDims.at(-2), aDims.at(-1)];
  const columns = bDims.at(-1);
  if (rows === undefined || depth === undefined || columns === undefined || bDims.at(-2) !== depth) {
    fail('MODEL_TENSOR', `matrices of dims [${a.dims.join(',')}] and [${b.dims.join(',')}] cannot be multiplied`);
  }
  const batch = broadcast(aDims.slice(0, -2), bDims.slice(0, -2));
  const aValues = a.f64();
  const bValues = b.f64();
  const aZeroOf = perLine(aZero, rows);
  const bZeroOf = perLine(bZero, columns);
  const sums = new Int32Array(elementCount(batch) * rows * columns);
  let at = 0;
  for (let n = 0; n < elementCount(batch); n++) {
    const aBase = batchOffset(n, batch, aDims.slice(0, -2)) * rows * depth;
    const bBase = batchOffset(n, batch, bDims.slice(0, -2)) * depth * columns;
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        let sum = 0;
        for (let k = 0; k < depth; k++)
          sum += (aValues[aBase + r * depth + k]! - aZeroOf(r)) * (bValues[bBase + k * columns + c]! - bZeroOf(c));
        sums[at++] = sum; // storing wraps to int32; float64 holds the sum exactly
      }
    }
  }
  const dims = [...batch, ...(a.dims.length === 1 ? [] : [rows]), ...(b.dims.length === 1 ? [] : [columns])];
  return { sums, dims, rows, columns };
}

/** Value of line i: the only element, or the i-th of `count`; 0 for a missing zero point. */
function perLine(values: Tensor | undefined, count: number): (line: number) => number {
  if (!values) return () => 0;
  const numbers = values.f64();
  if (numbers.length === 1) return () => numbers[0]!;
  if (numbers.length !== count)
    fail('MODEL_TENSOR', `${numbers.length} scales or zero points do not fit ${count} rows or columns`);
  return (line) => numbers[line]!;
}

function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1)
      fail('MODEL_TENSOR', `batch dims [${a.join(',')}] and [${b.join(',')}] do not broadcast`);
    return x === 1 ? y : x;
  });
}

/** Index of matrix n of the broadcast batch in a tensor of batch dims `own`. */
function batchOffset(n: number, batch: readonly number[], own: readonly number[]): number {
  let offset = 0;
  let stride = 1;
  for (let i = batch.length - 1, rest = n; i >= 0; i--) {
    const size = own[i - batch.length + own.length] ?? 1;
    if (size !== 1) offset += (rest % batch[i]!) * stride;
    stride *= size;
    rest = Math.floor(rest / batch[i]!);
  }
  return offset;
}
