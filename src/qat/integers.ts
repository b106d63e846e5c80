/** Fake quantization to integers: the tensor that codes would mean, with gradients by it, its step size and zero. */
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import type { Steps } from './step-size.js';

/**
 * (clip(⌊x / s⌉ + z) − z) · s. With straight-through rounding, x has the gradient of what is not clipped, and s that of
 * LSQ: ⌊x/s⌉ − x/s within the range, the bound beyond it. With a learned zero point, that of LSQ+.
 * source: https://arxiv.org/abs/1902.08153; https://arxiv.org/abs/2004.09576
 */
export function fakeQuantize(b: GraphBuilder, x: Value, steps: Steps, name: string): Value {
  const { size, zero, range } = steps;
  const op = (kind: string, ...inputs: Value[]): Value => b.op(kind, inputs, { name: `${name}_${kind}` });
  const ratio = op('Div', x, size);
  if (steps.learns.zero !== undefined && zero) {
    const [low, high] = range.map((code) => b.constant(code)) as [Value, Value]; // a range has two ends
    return op('Mul', op('Sub', op('Clip', op('Add', op('Round', ratio), zero), low, high), zero), size);
  }
  const codes = op('Round', clipped(b, ratio, steps, name));
  return op('Mul', codes, size);
}

/** Without the zero point, which is a constant and shifts the bounds. */
function clipped(b: GraphBuilder, ratio: Value, { given, zero, range: [low, high] }: Steps, name: string): Value {
  const [first = 0, ...others] = new Set(given.zeroPoint);
  if (!zero || !others.length)
    return b.op('Clip', [ratio, b.constant(low - first), b.constant(high - first)], { name: `${name}_Clip` });
  // Clip takes one bound for all.
  const bound = (code: number): Value => b.op('Sub', [b.constant(code), zero], { name: `${name}_bound` });
  return b.op('Min', [b.op('Max', [ratio, bound(low)]), bound(high)], { name: `${name}_Clip` });
}

/**
 * PACT: the bounds are learned by the elements beyond them, and rounding tells them nothing.
 * source: https://arxiv.org/abs/1805.06085
 */
export function clipAndRound(b: GraphBuilder, x: Value, steps: Steps, name: string): { value: Value; fixed: string[] } {
  const op = (kind: string, ...inputs: Value[]): Value => b.op(kind, inputs, { name: `${name}_${kind}` });
  const [z] = steps.given.zeroPoint;
  const bound = (code: number): Value => op('Mul', steps.size, b.constant(code - (z ?? 0)));
  const [low, high] = [bound(steps.range[0]), bound(steps.range[1])];
  const within = op('Clip', x, low, high);
  const still = b.op('Identity', [steps.size], { name: `${name}_still` });
  const codes = op('Round', op('Div', within, still));
  return { value: op('Mul', codes, still), fixed: [still.name] };
}

/** An int32 bias: a multiple of the product of the step sizes of activation and weight. */
export function roundBias(b: GraphBuilder, bias: Value, activation: Steps, weight: Steps, name: string): Value {
  const flat = weight.given.scale.length === 1 ? [] : [-1];
  const sizes = b.op('Reshape', [weight.size, b.constant(Tensor.i64(flat))], { name: `${name}_sizes` });
  const size = b.op('Mul', [activation.size, sizes], { name: `${name}_size` });
  const codes = b.op('Round', [b.op('Div', [bias, size])], { name: `${name}_codes` });
  return b.op('Mul', [codes, size], { name: `${name}_rounded` });
}
