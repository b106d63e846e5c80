import type { Statistic, TensorStats } from '../types.js';
import { mergeExtremes, noExtremes, pack, unpack, widen } from './extremes.js';

export interface RangeStats extends TensorStats {
  readonly kind: 'range';
}

/** Exact least and greatest value per channel. */
export const range = {
  name: 'range',
  ordered: false,
  needsValues: false,
  settings: () => ({}),
  empty: (channels) => ({ kind: 'range', ...noExtremes(channels) }),
  update: widen,
  merge: (a, b) => ({ kind: 'range', ...mergeExtremes(a, b) }),
  serialize: (s) => pack(1, s),
  deserialize(bytes) {
    const { channels, count, minIsBound, min, max, end } = unpack(1, bytes);
    end();
    return { kind: 'range', channels, count, minIsBound, min, max };
  },
} as const satisfies Statistic<RangeStats>;
