import { z } from 'zod';
import { histogram, type HistogramStats } from '../statistics/histogram.js';
import type { Observer } from '../types.js';
import { around, magnitudeBins, perChannel, signedBins, type Bins } from './bins.js';

const options = z.strictObject({
  percentile: z
    .number()
    .gt(50)
    .max(100)
    .default(99.99)
    .describe('Share of the values, in percent, that stays inside of the range; 100 keeps all.'),
});

/**
 * Symmetric schemes cut the largest magnitudes; others cut half of the share at each end, or all of it at the far end
 * where the data lie on one side of zero. Within a bin, values count as evenly spread.
 */
export const percentile = {
  name: 'percentile',
  doc: 'Leaves out the outermost values: the top (100 − percentile) % of magnitudes, or half of that at each end.',
  statistic: histogram,
  options,
  chooseRange: (stats, scheme, { percentile: inside }) =>
    perChannel(stats, (c) => {
      const cut = (100 - inside) / 100;
      if (scheme.symmetric) return around(quantile(magnitudeBins(stats, c), 1 - cut));
      const bins = signedBins(stats, c);
      if (bins.min >= 0) return [bins.min, quantile(bins, 1 - cut)];
      if (bins.max <= 0) return [quantile(bins, cut), bins.max];
      return [quantile(bins, cut / 2), quantile(bins, 1 - cut / 2)];
    }),
} as const satisfies Observer<HistogramStats, z.infer<typeof options>>;

/**
 * The value below which the share `p` of the counts lies; exact zeros lie at 0. Beyond the last count: the extremes.
 */
function quantile(bins: Bins, p: number): number {
  const { counts, start, width, zeros } = bins;
  const total = counts.reduce((a, b) => a + b, zeros);
  const rank = p * total;
  if (total === 0 || rank >= total) return bins.max;
  if (rank <= 0) return bins.min;
  const zeroBin = Math.round(-start / width); // its left edge is zero
  let below = 0;
  for (let k = 0; k < counts.length; k++) {
    if (k === zeroBin) {
      if (rank <= below + zeros) return 0;
      below += zeros;
    }
    if (rank <= below + counts[k]!) return start + width * (k + (rank - below) / counts[k]!);
    below += counts[k]!;
  }
  return zeroBin >= counts.length ? 0 : bins.max; // all data negative: the zeros come last
}
