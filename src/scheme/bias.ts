/**
 * int32 biases: scale = scale of the activation × scale of the weight, and the guard that keeps their codes in range.
 */
import { fail } from '../base/errors.js';
import { Tensor } from '../ir/tensor.js';
import { roundHalfEven } from './rounding.js';
import type { QuantParams, QuantScheme } from './types.js';

const INT32_MAX = 2 ** 31 - 1;
const TINY = 2 ** -126;
const FLOAT32_MAX = 3.4028234663852886e38;
const { fround } = Math;

export interface BiasParams {
  /** int32, zero point 0; one scale per weight scale. */
  readonly params: QuantParams;
  /** The weight scales to use from now on: a copy, larger where the bias would have overflowed. */
  readonly weightScale: Float32Array;
  /** Channels whose weight scale was raised. */
  readonly raised: readonly number[];
}

/**
 * Bias scales for `bias` [C], given the activation's scale and the weight's (1 or C of them).
 *
 * Where |bias| / (activation scale · weight scale) would leave int32, the weight scale is raised until it fits with a
 * margin of 1e-4; the caller must then quantize the weight with the raised scale. Beyond onnxruntime: it is also raised
 * where the product is not a normal float32, so a bias scale is never 0.
 *
 * Throws MODEL_TENSOR where the lengths do not fit, the activation's scale is not a normal positive float32, or the
 * bias holds NaN or infinity.
 * source: onnxruntime/quantization/qdq_quantizer.py, _adjust_weight_scale_for_int32_bias; base_quantizer.py,
 * quantize_bias_static_impl
 */
export function biasParams(bias: Float32Array, activationScale: number, weightScale: Float32Array): BiasParams {
  const count = weightScale.length;
  if (count !== 1 && count !== bias.length)
    fail(
      'MODEL_TENSOR',
      `a bias of ${bias.length} channels cannot use ${count} weight scales`,
      {},
      'give one weight scale, or one per channel',
    );
  const adjusted = weightScale.slice();
  const scale = new Float32Array(count);
  const raised: number[] = [];
  const input = fround(activationScale);
  if (!(input >= TINY && input <= FLOAT32_MAX))
    fail('MODEL_TENSOR', `activation scale ${activationScale} is not a normal positive float32`);
  const broken = bias.findIndex((b) => !Number.isFinite(b));
  if (broken >= 0) fail('MODEL_TENSOR', `bias element ${broken} is ${bias[broken]}`, {}, 'biases must be finite');
  for (let c = 0; c < count; c++) {
    const candidate = input * weightScale[c]!;
    let ratio = 1;
    const smallest =
      count === 1
        ? (1.0001 * (2 * largest(bias))) / (2 * INT32_MAX)
        : // numpy multiplies the scalars of this branch in float32
          fround(fround(1.0001) * fround(2 * Math.abs(bias[c]!))) / (2 * INT32_MAX);
    if (candidate < smallest && candidate > 0) ratio = smallest / candidate;
    // both scales stay finite
    if (ratio > 1) adjusted[c] = Math.min(weightScale[c]! * ratio, FLOAT32_MAX / Math.max(1, input));
    // a little more, so that rounding cannot fall back below
    if (!(fround(input * adjusted[c]!) >= TINY)) adjusted[c] = (TINY / input) * (1 + 2 ** -20);
    if (adjusted[c] !== weightScale[c]) raised.push(c);
    scale[c] = fround(input * adjusted[c]!);
  }
  const granularity: QuantScheme['granularity'] = count === 1 ? { kind: 'tensor' } : { kind: 'axis', axis: 0 };
  const scheme: QuantScheme = { dtype: 'int32', symmetric: true, granularity };
  return { params: { scheme, scale, zeroPoint: new Int32Array(count) }, weightScale: adjusted, raised };
}

/** int32 codes of a bias [C], divided in float64 and clipped. NaN gives 0. */
export function quantizeBias(bias: Float32Array, params: QuantParams): Tensor {
  const codes = new Int32Array(bias.length);
  for (let c = 0; c < bias.length; c++) {
    const code = roundHalfEven(bias[c]! / params.scale[params.scale.length === 1 ? 0 : c]!);
    codes[c] = Math.min(INT32_MAX, Math.max(-INT32_MAX - 1, code)); // storing NaN into an Int32Array gives 0
  }
  return Tensor.i32(codes);
}

function largest(values: Float32Array): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]!));
  return most;
}
