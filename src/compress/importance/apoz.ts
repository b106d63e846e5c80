import { z } from 'zod';
import { ratioOverMaps } from '../seen.js';
import type { Importance } from './types.js';

/**
 * The share of what layers read of the channel that is not zero: 1 − APoZ, the average percentage of zeros. Of channels
 * that no Relu cuts, nearly all is. source: Hu et al. 2016, https://arxiv.org/abs/1607.03250
 */
export const apoz = {
  name: 'apoz',
  doc: 'How often it is not zero on calibration samples (APoZ).',
  options: z.strictObject({}),
  needs: 'inputs',
  score: (context) =>
    ratioOverMaps(context, ({ data }) => {
      let count = 0;
      for (const v of data) if (v !== 0) count++;
      return [count, data.length];
    }),
} satisfies Importance<Record<string, never>>;
