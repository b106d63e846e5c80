import { item } from '../../base/lists.js';
import { z } from 'zod';
import type { Value } from '../../ir/graph.js';
import type { Optimiser, StepContext } from './types.js';

export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly decay: number;
}
export const adamOptions = (decay: number) =>
  z.strictObject({
    beta1: z.number().min(0).lt(1).default(0.9).describe('Share of the mean of gradients that is kept.'),
    beta2: z.number().min(0).lt(1).default(0.999).describe('Share of the mean of their squares that is kept.'),
    epsilon: z.number().positive().default(1e-8).describe('Added to the root of the squares.'),
    decay: z.number().min(0).default(decay).describe('Weight decay.'),
  });

/**
 * w − rate · m̂ / (√v̂ + ε), with means corrected for their start at zero.
 * source: https://arxiv.org/abs/1412.6980
 */
export function adamStep(context: StepContext, w: Value, options: AdamOptions): ReturnType<Optimiser['step']> {
  const { change, state } = adamChange(context, options, context.rate);
  return { parameter: context.add('Sub', w, change), state };
}

/** factor · m̂ / (√v̂ + ε), and the means. */
export function adamChange(
  { gradient: g, state, step, add, number }: StepContext,
  { beta1, beta2, epsilon }: AdamOptions,
  factor: Value,
): { readonly change: Value; readonly state: readonly [mean: Value, squares: Value] } {
  const [m0, v0] = [item(state, 0), item(state, 1)]; // two are named
  const follow = (mean: Value, beta: number, x: Value): Value =>
    add('Add', add('Mul', mean, number(beta)), add('Mul', x, number(1 - beta)));
  const m = follow(m0, beta1, g);
  const v = follow(v0, beta2, add('Mul', g, g));
  const rest = (beta: number): Value => add('Sub', number(1), add('Pow', number(beta), step));
  const deviation = add('Add', add('Sqrt', add('Div', v, rest(beta2))), number(epsilon));
  return { change: add('Div', add('Mul', m, add('Div', factor, rest(beta1))), deviation), state: [m, v] };
}

/** w − rate · decay · w: decay that passes by the gradient. source: https://arxiv.org/abs/1711.05101 */
export function decayed({ parameter: w, rate, decays, add, number }: StepContext, decay: number): Value {
  return decays && decay ? add('Mul', w, add('Sub', number(1), add('Mul', rate, number(decay)))) : w;
}

/** Decay joins the gradient, as in PyTorch's Adam. */
export const adam = {
  name: 'adam',
  doc: 'Steps by the mean of gradients over the root of the mean of their squares.',
  options: adamOptions(0),
  state: () => ['mean', 'squares'],
  step(context, options) {
    const { parameter: w, gradient, decays, add, number } = context;
    const g = decays && options.decay ? add('Add', gradient, add('Mul', w, number(options.decay))) : gradient;
    return adamStep({ ...context, gradient: g }, w, options);
  },
} as const satisfies Optimiser<AdamOptions>;
