import type { Observer, TensorStats } from '../types.js';
import { ema } from './ema.js';
import { kl } from './kl.js';
import { minmax } from './minmax.js';
import { mse } from './mse.js';
import { percentile } from './percentile.js';

/**
 * Every observer. A new one is a file beside these and a line here. An observer reads only the statistics and the
 * options that its own `statistic` and `options` describe; the list forgets those types, and callers keep the pairs
 * together.
 */
export const observers: readonly Observer<TensorStats, unknown>[] = [
  minmax,
  ema,
  percentile,
  kl,
  mse,
] as readonly unknown[] as readonly Observer<TensorStats, unknown>[]; // existential types: see above
