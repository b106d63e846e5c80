import { z } from 'zod';
import { ratioOverMaps } from '../seen.js';
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
  score: (context) =>
    ratioOverMaps(context, ({ data }) => {
      let sum = 0;
      for (const v of data) sum += Math.abs(v);
      return [sum, data.length];
    }),
} satisfies Importance<Record<string, never>>;
