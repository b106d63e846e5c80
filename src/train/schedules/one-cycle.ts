import { z } from 'zod';
import { halfWave } from './cosine.js';
import type { Schedule } from './types.js';

/** Up from `start` to 1 and down to `final`, both along half a wave. source: https://arxiv.org/abs/1708.07120 */
export const oneCycle = {
  name: 'one-cycle',
  doc: 'Rises to the rate, and then falls far below the rate that it began with.',
  options: z.strictObject({
    rise: z.number().gt(0).lt(1).default(0.3).describe('Share of the steps in which it rises.'),
    start: z.number().min(0).max(1).default(0.04).describe('Share of the rate at the first step.'),
    final: z.number().min(0).max(1).default(0.0001).describe('Share of the rate at the last step.'),
  }),
  factor: (progress, { rise, start, final }) =>
    progress < rise ? halfWave(start, 1, progress / rise) : halfWave(1, final, (progress - rise) / (1 - rise)),
} as const satisfies Schedule<{ rise: number; start: number; final: number }>;
