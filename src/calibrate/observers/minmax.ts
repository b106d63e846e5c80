import { z } from 'zod';
import { extremeRange } from '../statistics/extremes.js';
import { range, type RangeStats } from '../statistics/range.js';
import type { Observer } from '../types.js';

const options = z.strictObject({});

/** Clips nothing that calibration saw. */
export const minmax = {
  name: 'minmax',
  doc: 'The exact least and greatest value seen.',
  statistic: range,
  options,
  chooseRange: extremeRange,
} as const satisfies Observer<RangeStats, z.infer<typeof options>>;
