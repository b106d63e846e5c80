import { adamChange, adamOptions, type AdamOptions } from './adam.js';
import type { Optimiser } from './types.js';

/**
 * r = m̂ / (√v̂ + ε) + decay · w; w ← w − rate · (‖w‖ / ‖r‖) · r, norms over the whole weight; the ratio is 1 where one
 * of them is 0, and for weights without decay. source: https://arxiv.org/abs/1904.00962
 */
export const lamb = {
  name: 'lamb',
  doc: "Adam whose step is as long as the weight's own norm says, for large batches.",
  options: adamOptions(0.01),
  state: () => ['mean', 'squares'],
  step(context, options) {
    const { parameter: w, rate, decays, add, number } = context;
    const { change, state } = adamChange(context, options, number(1));
    if (!decays) return { parameter: add('Sub', w, add('Mul', change, rate)), state };
    const r = options.decay ? add('Add', change, add('Mul', w, number(options.decay))) : change;
    const [own, step] = [add('ReduceL2', w), add('ReduceL2', r)];
    const none = add('Equal', add('Mul', own, step), number(0));
    // Where() computes both sides: the norm that divides must not be 0.
    const ratio = add('Where', none, number(1), add('Div', own, add('Where', none, number(1), step)));
    return { parameter: add('Sub', w, add('Mul', r, add('Mul', ratio, rate))), state };
  },
} as const satisfies Optimiser<AdamOptions>;
