import { z } from 'zod';
import { item } from '../../base/lists.js';
import { eachMap } from '../seen.js';
import type { Importance } from './types.js';

/**
 * The mean magnitude of what layers read of the channel. source: Polyak and Wolf 2015,
 * https://doi.org/10.1109/ACCESS.2015.2494536; compared in Molchanov et al. 2016, https://arxiv.org/abs/1611.06440
 */
export const meanActivation = {
  name: 'mean-activation',
  doc: 'Its mean magnitude on calibration samples.',
  options: z.strictObject({}),
  needs: 'inputs',
  async score(context) {
    const [sums, all] = [new Float64Array(context.units.length), new Float64Array(context.units.length)];
    await eachMap(context, (unit, { data }) => {
      let sum = 0;
      for (const v of data) sum += Math.abs(v);
      sums[unit] = item(sums, unit) + sum;
      all[unit] = item(all, unit) + data.length;
    });
    return sums.map((n, unit) => n / Math.max(1, item(all, unit)));
  },
} satisfies Importance<Record<string, never>>;
