import { z } from 'zod';
import type { Optimiser } from './types.js';

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
  step({ parameter: w, gradient, state: [before], rate, decays, add, number }, { momentum, nesterov, decay }) {
    const g = decays && decay ? add('Add', gradient, add('Mul', w, number(decay))) : gradient;
    const v = before ? add('Add', add('Mul', before, number(momentum)), g) : g;
    const along = before && nesterov ? add('Add', g, add('Mul', v, number(momentum))) : v;
    return { parameter: add('Sub', w, add('Mul', along, rate)), state: before ? [v] : [] };
  },
} as const satisfies Optimiser<{ momentum: number; nesterov: boolean; decay: number }>;
