/** How sure a difference between two models is, when both saw the same samples. */
import { item } from '../base/lists.js';
import { createRng } from '../base/rng.js';

/** 97.5 % quantile of the standard normal distribution. */
const Z95 = 1.959963984540054;

/**
 * Two-sided exact p of McNemar's test: how likely flips at least as lopsided are where both directions are equally
 * likely.
 * Source: McNemar 1947; the exact binomial form, as statsmodels mcnemar(exact=True).
 */
export function mcnemarExact(rightToWrong: number, wrongToRight: number): number {
  const n = rightToWrong + wrongToRight;
  const fewer = Math.min(rightToWrong, wrongToRight);
  if (n - 2 * fewer <= 1) return 1; // both tails together cover everything
  // log C(n, k) 2^-n, term by term: exact enough (1e-12) for a million flips, and no overflow.
  let logTerm = -n * Math.LN2;
  let tail = Math.exp(logTerm);
  for (let k = 1; k <= fewer; k++) {
    logTerm += Math.log((n - k + 1) / k);
    tail += Math.exp(logTerm);
  }
  return Math.min(1, 2 * tail);
}

/**
 * quantized − float over paired resamples of n samples, ascending: percentiles of it are the percentile-bootstrap
 * interval (Efron 1979). Fixed seed. Undefined below 10 samples, or where most resamples have no value.
 */
export function bootstrapChanges(
  n: number,
  float: (indices: Uint32Array) => number | undefined,
  quantized: (indices: Uint32Array) => number | undefined,
): number[] | undefined {
  if (n < 10) return undefined; // too few samples to resample
  const rounds = Math.max(200, Math.min(1000, Math.floor(2e6 / n)));
  const rng = createRng(0, 'bootstrap');
  const indices = new Uint32Array(n);
  const changes: number[] = [];
  for (let r = 0; r < rounds; r++) {
    for (let i = 0; i < n; i++) indices[i] = rng.int(n);
    const a = float(indices);
    const b = quantized(indices);
    if (a !== undefined && b !== undefined) changes.push(b - a);
  }
  return changes.length < rounds / 2 ? undefined : changes.sort((x, y) => x - y);
}

/** The percentile p (0…1) of ascending values by nearest rank: always a value that was seen. NaN for none. */
export function nearestRank(sorted: ArrayLike<number>, p: number): number {
  return sorted[Math.min(sorted.length, Math.max(1, Math.ceil(p * sorted.length))) - 1] ?? NaN;
}

/**
 * 95 % percentile-bootstrap intervals of percentiles (0…1, by nearest rank) of ascending values, with a fixed seed.
 * Undefined below 10 values. A resample of sorted values is drawn as ranks, and only the ranks asked for are looked at.
 */
export function bootstrapPercentiles(
  sorted: Float64Array,
  at: readonly number[],
): [low: number, high: number][] | undefined {
  const n = sorted.length;
  if (n < 10) return undefined;
  const rounds = Math.max(200, Math.min(1000, Math.floor(2e6 / n)));
  const rng = createRng(0, 'bootstrap percentiles');
  const ranksDrawn = new Uint32Array(n);
  const found = at.map(() => new Float64Array(rounds));
  for (let r = 0; r < rounds; r++) {
    for (let i = 0; i < n; i++) ranksDrawn[i] = rng.int(n);
    ranksDrawn.sort();
    at.forEach((p, k) => {
      item(found, k)[r] = sorted[nearestRank(ranksDrawn, p)]!;
    }); // a rank below n
  }
  return found.map((values) => {
    values.sort();
    return [nearestRank(values, 0.025), nearestRank(values, 0.975)];
  });
}

/**
 * 95 % interval of the median of ascending values, free of any distribution: order statistics (David & Nagaraja 2003,
 * 7.1).
 */
export function medianInterval(sorted: ArrayLike<number>): [low: number, high: number] | undefined {
  const n = sorted.length;
  const half = (Z95 * Math.sqrt(n)) / 2;
  const low = Math.floor(n / 2 - half);
  const high = Math.ceil(n / 2 + half);
  return low < 1 || high >= n ? undefined : [sorted[low - 1]!, sorted[high]!];
}

/** Ranks from 1, equal values sharing the mean of their ranks (fractional ranking). */
export function ranks(values: Float64Array): Float64Array {
  const order = Uint32Array.from(values, (_, i) => i).sort((i, j) => values[i]! - values[j]! || i - j);
  const out = new Float64Array(values.length);
  for (let i = 0; i < order.length;) {
    let end = i + 1;
    while (end < order.length && values[order[end]!] === values[order[i]!]) end++;
    for (let j = i; j < end; j++) out[order[j]!] = (i + end + 1) / 2;
    i = end;
  }
  return out;
}

/** Pearson's correlation in two passes; undefined where a side does not vary. */
export function pearsonOf(a: Float64Array, b: Float64Array): number | undefined {
  const n = a.length;
  let meanA = 0;
  let meanB = 0;
  for (let i = 0; i < n; i++) {
    meanA += a[i]! / n;
    meanB += b[i]! / n;
  }
  let aa = 0;
  let bb = 0;
  let ab = 0;
  for (let i = 0; i < n; i++) {
    const x = a[i]! - meanA;
    const y = b[i]! - meanB;
    aa += x * x;
    bb += y * y;
    ab += x * y;
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : undefined;
}
