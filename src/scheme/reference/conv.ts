/** ConvInteger and QLinearConv, for any number of spatial axes. */
import { fail } from '../../base/errors.js';
import { encodeTensor } from '../../ir/encode.js';
import { Tensor, elementCount } from '../../ir/tensor.js';
import { roundHalfEven } from '../rounding.js';
import {
  numberOf,
  numbersOf,
  required,
  saturate,
  scalarOf,
  type ReferenceAttributes,
  type ReferenceOperator,
} from './operator.js';

const { fround } = Math;

/**
 * int32 convolution of (x − x_zero_point) with (w − w_zero_point); padding adds x_zero_point, that is, nothing.
 * source: https://onnx.ai/onnx/operators/onnx__ConvInteger.html
 */
export const convInteger: ReferenceOperator = (inputs, attributes) => {
  const { sums, dims } = convolve(
    required(inputs, 0, 'x'),
    required(inputs, 1, 'w'),
    inputs[2],
    inputs[3],
    undefined,
    attributes,
  );
  return [Tensor.i32(sums, dims)];
};

/**
 * y = saturate(round((sums + B) · (x_scale · w_scale / y_scale)) + y_zero_point), with the multiplier in float32, as
 * onnxruntime requantizes. w_scale and w_zero_point are one value, or one per output channel; B is int32.
 * source: https://onnx.ai/onnx/operators/onnx__QLinearConv.html
 */
export const qLinearConv = (
  inputs: Parameters<ReferenceOperator>[0],
  attributes: ReferenceAttributes,
  sum?: SumOf,
): Tensor[] => {
  const w = required(inputs, 3, 'w');
  const yZero = required(inputs, 7, 'y_zero_point');
  const { sums, dims } = convolve(required(inputs, 0, 'x'), w, inputs[2], inputs[5], inputs[8], attributes, sum);
  const xScale = scalarOf(required(inputs, 1, 'x_scale'), 1);
  const wScale = perChannel(required(inputs, 4, 'w_scale'), w.dims[0]!);
  const yScale = scalarOf(required(inputs, 6, 'y_scale'), 1);
  const zero = scalarOf(yZero, 0);
  const channels = dims[1]!;
  const inner = elementCount(dims.slice(2));
  const codes = Float64Array.from(sums, (sum, i) => {
    const multiplier = fround(fround(xScale * wScale[Math.floor(i / inner) % channels]!) / yScale);
    return saturate(yZero.dtype, roundHalfEven(fround(fround(sum) * multiplier)) + zero);
  });
  return [encodeTensor(yZero.dtype, dims, codes)];
};

/**
 * Σ (input − its zero point) · (weight − weightZero) over `length` codes, in the order [position, channel]. Padding is
 * the zero point of the input.
 */
export type SumOf = (
  length: number,
  input: (i: number) => number,
  weight: (i: number) => number,
  weightZero: number,
) => number;

/** x [N,C,…], w [M,C/group,…] → int32 sums [N,M,…]; `sum` adds up in another way than exactly. */
function convolve(
  x: Tensor,
  w: Tensor,
  xZero: Tensor | undefined,
  wZero: Tensor | undefined,
  bias: Tensor | undefined,
  attributes: ReferenceAttributes,
  sumOf?: SumOf,
): { sums: Int32Array; dims: number[] } {
  const group = numberOf(attributes, 'group', 1);
  const [batch, channels, ...size] = x.dims;
  const [outputs, depth, ...kernel] = w.dims;
  if (
    batch === undefined ||
    channels === undefined ||
    outputs === undefined ||
    depth === undefined ||
    size.length !== kernel.length ||
    channels !== depth * group ||
    outputs % group !== 0
  ) {
    fail(
      'MODEL_TENSOR',
      `x of dims [${x.dims.join(',')}] does not fit w of dims [${w.dims.join(',')}] in ${group} groups`,
    );
  }
  const rank = size.length;
  const strides = numbersOf(attributes, 'strides') ?? size.map(() => 1);
  const dilations = numbersOf(attributes, 'dilations') ?? size.map(() => 1);
  const reach = kernel.map((k, i) => (k - 1) * dilations[i]! + 1);
  const { begin, out } = padding(size, reach, strides, attributes);
  const xValues = x.f64();
  const wValues = w.f64();
  const biases = bias?.f64();
  const zero = scalarOf(xZero, 0);
  const wZeros = perChannel(wZero, outputs);
  const dims = [batch, outputs, ...out];
  const sums = new Int32Array(elementCount(dims));
  const [inSize, outSize, kernelSize] = [elementCount(size), elementCount(out), elementCount(kernel)];
  const taps = Array.from({ length: kernelSize }, (_, k) => unravel(k, kernel));
  for (let position = 0; position < outSize; position++) {
    const at = unravel(position, out);
    // Offset into one input plane for every kernel tap, −1 in the padding.
    const offsets = taps.map((tap) => {
      let offset = 0;
      for (let d = 0; d < rank; d++) {
        const p = at[d]! * strides[d]! - begin[d]! + tap[d]! * dilations[d]!;
        if (p < 0 || p >= size[d]!) return -1;
        offset = offset * size[d]! + p;
      }
      return offset;
    });
    for (let n = 0; n < batch; n++) {
      for (let m = 0; m < outputs; m++) {
        const first = Math.floor(m / (outputs / group)) * depth;
        let sum = biases ? biases[m]! : 0;
        if (sumOf) {
          const input = (i: number): number => {
            const offset = offsets[Math.floor(i / depth)]!; // one for each position
            return offset < 0 ? zero : xValues[(n * channels + first + (i % depth)) * inSize + offset]!;
          };
          const weight = (i: number): number =>
            wValues[(m * depth + (i % depth)) * kernelSize + Math.floor(i / depth)]!; // a place in the weight
          sums[(n * outputs + m) * outSize + position] = sum + sumOf(depth * kernelSize, input, weight, wZeros[m]!);
          continue;
        }
        for (let c = 0; c < depth; c++) {
          const plane = (n * channels + first + c) * inSize;
          const weights = (m * depth + c) * kernelSize;
          for (let k = 0; k < kernelSize; k++)
            if (offsets[k]! >= 0) sum += (xValues[plane + offsets[k]!]! - zero) * (wValues[weights + k]! - wZeros[m]!);
        }
        sums[(n * outputs + m) * outSize + position] = sum; // storing wraps to int32
      }
    }
  }
  return { sums, dims };
}

/** Padding before each spatial axis, and the output size. */
function padding(
  size: readonly number[],
  reach: readonly number[],
  strides: readonly number[],
  attributes: ReferenceAttributes,
): { begin: number[]; out: number[] } {
  const auto = attributes['auto_pad'] ?? 'NOTSET';
  const rank = size.length;
  if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') {
    const out = size.map((s, i) => Math.ceil(s / strides[i]!));
    const total = out.map((o, i) => Math.max(0, (o - 1) * strides[i]! + reach[i]! - size[i]!));
    return { begin: total.map((t) => (auto === 'SAME_UPPER' ? Math.floor(t / 2) : Math.ceil(t / 2))), out };
  }
  if (auto !== 'NOTSET' && auto !== 'VALID')
    fail(
      'MODEL_TENSOR',
      `attribute auto_pad is ${JSON.stringify(auto)}`,
      {},
      'use NOTSET, VALID, SAME_UPPER or SAME_LOWER',
    );
  const pads = auto === 'VALID' ? undefined : numbersOf(attributes, 'pads');
  const begin = size.map((_, i) => pads?.[i] ?? 0);
  return {
    begin,
    out: size.map((s, i) =>
      Math.max(0, Math.floor((s + begin[i]! + (pads?.[rank + i] ?? 0) - reach[i]!) / strides[i]!) + 1),
    ),
  };
}

/** The place of element `index` along each axis of a tensor of shape `dims`. */
export function unravel(index: number, dims: readonly number[]): number[] {
  const at = new Array<number>(dims.length);
  for (let d = dims.length - 1, rest = index; d >= 0; d--) {
    at[d] = rest % dims[d]!;
    rest = Math.floor(rest / dims[d]!);
  }
  return at;
}

/** One value for each of `count` channels; zeros where left out. */
function perChannel(values: Tensor | undefined, count: number): Float64Array {
  const numbers = values?.f64() ?? new Float64Array(1);
  if (numbers.length === 1) return new Float64Array(count).fill(numbers[0]!);
  return numbers.length === count
    ? numbers
    : fail('MODEL_TENSOR', `${numbers.length} scales or zero points do not fit ${count} output channels`);
}
