import { z } from 'zod';
import type { Schedule } from './types.js';

export const step = {
  name: 'step',
  doc: 'Falls by a factor at given points of the course.',
  options: z.strictObject({
    at: z
      .array(z.number().gt(0).lt(1))
      .min(1)
      .default([0.5, 0.75])
      .describe('Points of the course, as shares of its steps.'),
    factor: z.number().gt(0).max(1).default(0.1).describe('What the rate is multiplied by at each.'),
  }),
  factor: (progress, { at, factor }) => factor ** at.filter((point) => progress >= point).length,
} as const satisfies Schedule<{ at: number[]; factor: number }>;
