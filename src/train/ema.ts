import type { Feed, FeedTensor } from '../ir/feed.js';

/**
 * Running means of weights: keep · mean + (1 − keep) · weight, with less kept at first, (1 + step) / (10 + step), so
 * that the start is soon forgotten. New arrays: the old ones may be the best so far.
 * source: https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage
 */
export function averaged(means: Feed, weights: Feed, most: number, step: number): Feed {
  const keep = Math.min(most, (1 + step) / (10 + step));
  return Object.fromEntries(Object.entries(weights).map(([name, t]) => [name, blended(means[name] ?? t, t, keep)]));
}

/** keep · old + (1 − keep) · new, rounded once. */
export function blended(old: FeedTensor, { data, dims, dtype }: FeedTensor, keep: number): FeedTensor {
  const out = dtype === 'float64' ? new Float64Array(data.length) : new Float32Array(data.length);
  for (let i = 0; i < out.length; i++) out[i] = keep * Number(old.data[i]) + (1 - keep) * Number(data[i]);
  return { dtype: dtype === 'float64' ? dtype : 'float32', dims, data: out };
}
