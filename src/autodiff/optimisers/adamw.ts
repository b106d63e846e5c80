import { adamOptions, adamStep, decayed, type AdamOptions } from './adam.js';
import type { Optimiser } from './types.js';

/** First w ← w − rate · decay · w, then Adam's step. source: https://arxiv.org/abs/1711.05101 */
export const adamw = {
  name: 'adamw',
  doc: 'Adam whose weight decay does not pass through the squares.',
  options: adamOptions(0.01),
  state: () => ['mean', 'squares'],
  step: (context, options) => adamStep(context, decayed(context, options.decay), options),
} as const satisfies Optimiser<AdamOptions>;
