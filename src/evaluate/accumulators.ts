/** The two common forms of accumulators. */
import type { Accumulator } from './types.js';

/** A metric that is the mean of a score per sample: `score` gives it, or undefined for a sample to pass over. */
export function meanOf(
  score: (...sample: Parameters<Accumulator['add']>) => number | undefined,
  factor = 1,
): Accumulator {
  const scores: number[] = [];
  return {
    scores,
    add(sample, outputs, float) {
      const found = score(sample, outputs, float);
      if (found !== undefined) scores.push(found * factor);
    },
    value: () => (scores.length ? scores.reduce((sum, s) => sum + s, 0) / scores.length : undefined),
  };
}

/** A metric that is no mean: `valueOf` gives it over samples by index, `count` tells how many there are. */
export function resampling(
  add: Accumulator['add'],
  count: () => number,
  valueOf: (indices: Uint32Array) => number | undefined,
): Accumulator {
  return {
    add,
    value: () => (count() ? valueOf(Uint32Array.from({ length: count() }, (_, i) => i)) : undefined),
    get count() {
      return count();
    },
    resampled: valueOf,
  };
}

/** How often each of `n` samples is among `indices`. */
export function multiplicities(indices: Uint32Array, n: number): Uint32Array {
  const out = new Uint32Array(n);
  for (let i = 0; i < indices.length; i++) out[indices[i]!]!++;
  return out;
}
