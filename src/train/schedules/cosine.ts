import { z } from 'zod';
import type { Schedule } from './types.js';

/** Half a wave of the cosine from 1 to `final`. source: https://arxiv.org/abs/1608.03983 */
export const cosine = {
  name: 'cosine',
  doc: 'Falls along half a wave of the cosine, slowly at first and at last.',
  options: z.strictObject({
    final: z.number().min(0).max(1).default(0).describe('Share of the rate at the last step.'),
  }),
  factor: (progress, { final }) => halfWave(1, final, progress),
} as const satisfies Schedule<{ final: number }>;

/** From one number to another along half a wave of the cosine. */
export const halfWave = (from: number, to: number, progress: number): number =>
  to + ((from - to) * (1 + Math.cos(Math.PI * progress))) / 2;
