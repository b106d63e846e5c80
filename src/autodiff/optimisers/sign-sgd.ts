import { z } from 'zod';
import type { Optimiser } from './types.js';

/**
 * w ← w − rate · (sign(v) + decay · w), where v is the gradient, or its running mean with momentum (Signum). Steps are
 * of one size, whatever the gradient's. source: https://arxiv.org/abs/1802.04434
 */
export const signSgd = {
  name: 'sign-sgd',
  doc: 'Steps of one size along the sign of the gradient.',
  options: z.strictObject({
    momentum: z.number().min(0).lt(1).default(0).describe('Share of the mean gradient that is kept; 0 keeps no state.'),
    decay: z.number().min(0).default(0).describe('Weight decay, beside the sign.'),
  }),
  state: ({ momentum }) => (momentum ? ['momentum'] : []),
  step({ parameter: w, gradient: g, state: [before], rate, decays, add, number }, { momentum, decay }) {
    const v = before ? add('Add', add('Mul', before, number(momentum)), add('Mul', g, number(1 - momentum))) : g;
    const sign = add('Sign', v);
    const along = decays && decay ? add('Add', sign, add('Mul', w, number(decay))) : sign;
    return { parameter: add('Sub', w, add('Mul', along, rate)), state: before ? [v] : [] };
  },
} as const satisfies Optimiser<{ momentum: number; decay: number }>;
