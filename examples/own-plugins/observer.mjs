// @ts-check
import { z } from 'quantbench';

const options = z.strictObject({
  deviations: z.number().positive().default(6).describe('How many standard deviations from the mean are kept.'),
});

/** @type {import('quantbench').ObserverPlugin<import('quantbench').HistogramStats, z.output<typeof options>>} */
const deviations = {
  name: 'deviations',
  doc: 'The mean and some standard deviations around it, within what calibration saw.',
  statistic: 'histogram',
  options,
  chooseRange({ channels, bins, limit, counts, zeros, min, max }, _scheme, { deviations: most }) {
    const low = new Float64Array(channels);
    const high = new Float64Array(channels);
    for (let c = 0; c < channels; c++) {
      let [n, sum, squares] = [zeros[c] ?? 0, 0, 0];
      for (let k = 0; k < 2 * bins; k++) {
        const count = counts[c * 2 * bins + k] ?? 0;
        const x = ((k + 0.5 - bins) * (limit[c] ?? 0)) / bins;
        n += count;
        sum += count * x;
        squares += count * x * x;
      }
      if (n === 0) continue; // nothing was seen: [0, 0]
      const reach = most * Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2));
      low[c] = Math.min(0, Math.max(min[c] ?? 0, sum / n - reach));
      high[c] = Math.max(0, Math.min(max[c] ?? 0, sum / n + reach));
    }
    return { min: low, max: high };
  },
};

export const observers = [deviations];
