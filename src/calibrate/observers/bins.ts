/** One channel of a histogram, seen from zero outwards or from end to end. */
import type { Range } from '../../scheme/types.js';
import type { HistogramStats } from '../statistics/histogram.js';

export interface Bins {
  /** Bin k holds [start + k · width, start + (k + 1) · width). First and last bin are not empty. */
  readonly counts: Float64Array;
  readonly start: number;
  readonly width: number;
  /** Exact zeros, which no bin holds. */
  readonly zeros: number;
  readonly min: number;
  readonly max: number;
}

/** The channel's bins from end to end, always including zero as an edge or inside. */
export function signedBins(stats: HistogramStats, channel: number): Bins {
  const { bins } = stats;
  const all = stats.counts.subarray(channel * 2 * bins, (channel + 1) * 2 * bins);
  let first = 0;
  let end = 2 * bins;
  while (first < bins && all[first] === 0) first++;
  while (end > bins && all[end - 1] === 0) end--;
  const width = stats.limit[channel]! / bins;
  return {
    counts: all.subarray(first, end),
    start: (first - bins) * width,
    width,
    zeros: stats.zeros[channel]!,
    min: stats.min[channel]!,
    max: stats.max[channel]!,
  };
}

/** The channel's magnitudes: both sides folded together. */
export function magnitudeBins(stats: HistogramStats, channel: number): Bins {
  const { bins } = stats;
  const all = stats.counts.subarray(channel * 2 * bins, (channel + 1) * 2 * bins);
  const folded = new Float64Array(bins);
  let end = 0;
  for (let k = 0; k < bins; k++) {
    folded[k] = all[bins + k]! + all[bins - 1 - k]!;
    if (folded[k]! > 0) end = k + 1;
  }
  const max = Math.max(-stats.min[channel]!, stats.max[channel]!);
  return {
    counts: folded.subarray(0, end),
    start: 0,
    width: stats.limit[channel]! / bins,
    zeros: stats.zeros[channel]!,
    min: 0,
    max,
  };
}

/** Applies `choose` to each channel that holds more than zeros, and keeps what it gives within the exact extremes. */
export function perChannel(stats: HistogramStats, choose: (channel: number) => readonly [number, number]): Range {
  const min = new Float64Array(stats.channels);
  const max = new Float64Array(stats.channels);
  for (let c = 0; c < stats.channels; c++) {
    const low = stats.min[c]!;
    const high = stats.max[c]!;
    if (!(low <= high)) continue;
    // Equal extremes need no search, and neither do values below the resolution of every histogram.
    const [a, b] = low === high || Math.max(-low, high) < 2 ** -100 ? [low, high] : choose(c);
    min[c] = Math.min(high, Math.max(low, a));
    max[c] = Math.min(high, Math.max(low, b));
  }
  return { min, max };
}

/** Both ends at ±limit, cut to the side that has data. */
export const around = (limit: number): readonly [number, number] => [-limit, limit];
