import { invariant } from '../../base/errors.js';
import { kernels } from '../kernels.js';
import type { Statistic, TensorStats } from '../types.js';
import { mergeExtremes, noExtremes, pack, unpack, widen } from './extremes.js';

/**
 * Per channel: counts of 2 · bins equal bins over (−limit, limit), bin k holding [(k − bins), (k − bins + 1)) · limit /
 * bins. Exact zeros are kept apart: zero is on every quantization grid, and after Relu it would drown the rest.
 */
export interface HistogramStats extends TensorStats {
  readonly kind: 'histogram';
  /** Bins per side. */
  readonly bins: number;
  /** A power of two above every |x| of the channel, at least 2^−100; 0 where nothing but zero was seen. */
  readonly limit: Float64Array;
  readonly zeros: Float64Array;
  /** [channels · 2 · bins]. */
  readonly counts: Float64Array;
}

/** The limit is at most twice the maximum, so at least 2,048 bins lie below it. */
const BINS_PER_TENSOR = 4096;
/** Thousands of channels would fill memory with finer bins: 8 KiB a channel. */
export const BINS_PER_CHANNEL = 512;
/** Keeps bins / limit a normal float32; smaller values share the bins next to zero. */
const LEAST_LIMIT = 2 ** -100;

/**
 * Signed histogram. When a value reaches the limit, it doubles and neighbouring bins are added in pairs, which gives
 * exactly the counts that the wider limit would have given from the start: no order, no rounding, no loss on merge.
 */
export const histogram = {
  name: 'histogram',
  ordered: false,
  needsValues: true,
  settings: () => ({}),
  empty(channels, settings) {
    const bins = settings['bins'] ?? (channels === 1 ? BINS_PER_TENSOR : BINS_PER_CHANNEL);
    return {
      kind: 'histogram',
      ...noExtremes(channels),
      bins,
      limit: new Float64Array(channels),
      zeros: new Float64Array(channels),
      counts: new Float64Array(channels * 2 * bins),
    };
  },
  update(stats, seen) {
    widen(stats, seen);
    const { bins } = stats;
    for (let c = 0; c < stats.channels; c++) raiseLimit(stats, c, limitFor(Math.max(-seen.min[c]!, seen.max[c]!)));
    const { values, layout } = seen;
    if (!values || !layout) return;
    const { count } = kernels();
    for (let o = 0, at = 0; o < layout.outer; o++) {
      for (let c = 0; c < layout.channels; c++, at += layout.inner) {
        const limit = stats.limit[c]!;
        stats.zeros[c]! +=
          limit === 0
            ? layout.inner
            : count(values, at, at + layout.inner, bins / limit, bins, stats.counts, c * 2 * bins);
      }
    }
  },
  merge(a, b) {
    const merged: HistogramStats = {
      kind: 'histogram',
      ...mergeExtremes(a, b),
      bins: a.bins,
      limit: a.limit.slice(),
      zeros: a.zeros.map((z, c) => z + b.zeros[c]!),
      counts: a.counts.slice(),
    };
    const other: HistogramStats = { ...b, limit: b.limit.slice(), counts: b.counts.slice() };
    for (let c = 0; c < a.channels; c++) {
      raiseLimit(merged, c, other.limit[c]!);
      raiseLimit(other, c, merged.limit[c]!);
    }
    for (let i = 0; i < merged.counts.length; i++) merged.counts[i]! += other.counts[i]!;
    return merged;
  },
  serialize: (s) => pack(3, s, s.bins, s.limit, s.zeros, s.counts),
  deserialize(bytes) {
    const { channels, count, minIsBound, min, max, number, list, end } = unpack(3, bytes);
    const bins = number();
    const stats: HistogramStats = {
      kind: 'histogram',
      channels,
      count,
      minIsBound,
      min,
      max,
      bins,
      limit: list(channels),
      zeros: list(channels),
      counts: list(channels * 2 * bins),
    };
    end();
    return stats;
  },
} as const satisfies Statistic<HistogramStats>;

/** The power of two strictly above `most`. */
function limitFor(most: number): number {
  if (!(most > 0)) return 0;
  invariant(most < Infinity, 'a histogram was given a value that is not finite');
  let limit = 2 ** Math.floor(Math.log2(most));
  while (limit > most) limit /= 2; // log2 may round up next to a power of two
  while (limit <= most) limit *= 2;
  return Math.max(limit, LEAST_LIMIT);
}

/**
 * Adds bins in pairs until `limit` is reached. Bin k − bins becomes floor((k − bins) / 2^shift), on both sides of zero.
 */
function raiseLimit(stats: HistogramStats, channel: number, limit: number): void {
  const old = stats.limit[channel]!;
  if (limit <= old) return;
  stats.limit[channel] = limit;
  if (old === 0) return;
  const { bins } = stats;
  const shift = Math.min(31, Math.log2(limit / old));
  const counts = stats.counts.subarray(channel * 2 * bins, (channel + 1) * 2 * bins);
  const folded = new Float64Array(2 * bins);
  for (let k = 0; k < 2 * bins; k++) folded[((k - bins) >> shift) + bins]! += counts[k]!;
  counts.set(folded);
}
