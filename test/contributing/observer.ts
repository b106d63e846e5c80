import { z } from 'zod';
import { extremeRange } from '../../src/calibrate/statistics/extremes.js';
import { range, type RangeStats } from '../../src/calibrate/statistics/range.js';
import type { Observer } from '../../src/calibrate/types.js';

const options = z.strictObject({
  limit: z.number().positive().default(6).describe('No range goes further from zero than this.'),
});

/** Clips what lies beyond a limit that is known beforehand. */
export const bounded = {
  name: 'bounded',
  doc: 'The least and greatest value seen, but none beyond a limit.',
  statistic: range,
  options,
  chooseRange(stats, _scheme, { limit }) {
    const { min, max } = extremeRange(stats);
    return { min: min.map((x) => Math.max(x, -limit)), max: max.map((x) => Math.min(x, limit)) };
  },
} as const satisfies Observer<RangeStats, z.infer<typeof options>>;
