import { z } from 'zod';
import { ema as statistic, type EmaStats } from '../statistics/ema.js';
import type { Observer } from '../types.js';

const options = z.strictObject({
  decay: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.99)
    .describe('Weight of the average so far at each batch; the batch itself has the rest. Between 0 and 1.'),
});

/** The average lies within the extremes; a single outlier moves it by 1 − decay of its size. */
export const ema = {
  name: 'ema',
  doc: 'Exponential moving average of the least and greatest value of each batch.',
  statistic,
  options,
  chooseRange: (stats) => ({ min: stats.averageMin.slice(), max: stats.averageMax.slice() }),
} as const satisfies Observer<EmaStats, z.infer<typeof options>>;
