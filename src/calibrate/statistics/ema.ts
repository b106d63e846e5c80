import type { Statistic, TensorStats } from '../types.js';
import { mergeExtremes, noExtremes, pack, unpack, widen } from './extremes.js';

export interface EmaStats extends TensorStats {
  readonly kind: 'ema';
  readonly decay: number;
  batches: number;
  /**
   * Extremes of the first batch, which `merge` needs: they enter the average with weight 1, later ones with 1 − decay.
   */
  readonly firstMin: Float64Array;
  readonly firstMax: Float64Array;
  readonly averageMin: Float64Array;
  readonly averageMax: Float64Array;
}

/**
 * Moving average of the least and greatest value of each batch: average ← decay · average + (1 − decay) · batch.
 * Depends on the order.
 */
export const ema = {
  name: 'ema',
  ordered: true,
  needsValues: false,
  // the observer's options, checked by its schema
  settings: (options) => ({ decay: (options as { decay?: number } | undefined)?.decay ?? 0.99 }),
  empty: (channels, { decay = 0.99 }) => ({
    kind: 'ema',
    ...noExtremes(channels),
    decay,
    batches: 0,
    firstMin: new Float64Array(channels),
    firstMax: new Float64Array(channels),
    averageMin: new Float64Array(channels),
    averageMax: new Float64Array(channels),
  }),
  update(stats, seen) {
    widen(stats, seen);
    const keep = stats.batches === 0 ? 0 : stats.decay;
    for (let c = 0; c < stats.channels; c++) {
      if (stats.batches === 0) {
        stats.firstMin[c] = seen.min[c]!;
        stats.firstMax[c] = seen.max[c]!;
      }
      stats.averageMin[c] = keep * stats.averageMin[c]! + (1 - keep) * seen.min[c]!;
      stats.averageMax[c] = keep * stats.averageMax[c]! + (1 - keep) * seen.max[c]!;
    }
    stats.batches++;
  },
  /**
   * Had b's batches followed a's, b's first would have had weight 1 − decay and a's average the rest: a shift by decayⁿ
   * · (a's average − b's first).
   */
  merge(a, b) {
    const shift = a.batches === 0 || b.batches === 0 ? 0 : a.decay ** b.batches;
    const first = a.batches === 0 ? b : a;
    const last = b.batches === 0 ? a : b;
    return {
      kind: 'ema',
      ...mergeExtremes(a, b),
      decay: a.decay,
      batches: a.batches + b.batches,
      firstMin: first.firstMin.slice(),
      firstMax: first.firstMax.slice(),
      averageMin: last.averageMin.map((x, c) => x + shift * (a.averageMin[c]! - b.firstMin[c]!)),
      averageMax: last.averageMax.map((x, c) => x + shift * (a.averageMax[c]! - b.firstMax[c]!)),
    };
  },
  serialize: (s) => pack(2, s, s.decay, s.batches, s.firstMin, s.firstMax, s.averageMin, s.averageMax),
  deserialize(bytes) {
    const { channels, count, minIsBound, min, max, number, list, end } = unpack(2, bytes);
    const stats: EmaStats = {
      kind: 'ema',
      channels,
      count,
      minIsBound,
      min,
      max,
      decay: number(),
      batches: number(),
      firstMin: list(channels),
      firstMax: list(channels),
      averageMin: list(channels),
      averageMax: list(channels),
    };
    end();
    return stats;
  },
} as const satisfies Statistic<EmaStats>;
