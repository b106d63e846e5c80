import { z } from 'zod';
import type { Value } from '../../ir/graph.js';
import type { Optimiser, StepContext } from './types.js';

export interface Momentum {
  readonly momentum: number;
  readonly nesterov: boolean;
}

/** v ← momentum · v + g, and what the step goes along: v, or, with Nesterov, g + momentum · v. */
export function withMomentum(
  { add, number }: StepContext,
  before: Value,
  g: Value,
  { momentum, nesterov }: Momentum,
): { readonly velocity: Value; readonly along: Value } {
  const velocity = add('Add', add('Mul', before, number(momentum)), g);
  return { velocity, along: nesterov ? add('Add', g, add('Mul', velocity, number(momentum))) : velocity };
}

/**
 * g ← g + decay · w; v ← momentum · v + g; w ← w − rate · v, or, with Nesterov, − rate · (g + momentum · v).
 * source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
 */
export const sgd = {
  name: 'sgd',
  doc: 'Gradient descent with momentum.',
  options: z.strictObject({
    momentum: z.number().min(0).lt(1).default(0.9).describe('Share of the velocity that is kept; 0 keeps no state.'),
    nesterov: z.boolean().default(false).describe('Looks one step of the velocity ahead.'),
    decay: z.number().min(0).default(0).describe('Weight decay: the share of a weight that joins its gradient.'),
  }),
  state: ({ momentum }) => (momentum ? ['momentum'] : []),
  step(context, { decay, ...options }) {
    const { parameter: w, gradient, state, rate, decays, add, number } = context;
    const g = decays && decay ? add('Add', gradient, add('Mul', w, number(decay))) : gradient;
    const [before] = state;
    const { velocity, along } = before ? withMomentum(context, before, g, options) : { velocity: undefined, along: g };
    return { parameter: add('Sub', w, add('Mul', along, rate)), state: velocity ? [velocity] : [] };
  },
} as const satisfies Optimiser<Momentum & { decay: number }>;
