import { z } from 'zod';
import { clipRange } from '../../scheme/params.js';
import type { QuantScheme } from '../../scheme/types.js';
import { histogram, type HistogramStats } from '../statistics/histogram.js';
import type { Observer } from '../types.js';
import { around, magnitudeBins, perChannel, signedBins } from './bins.js';

const options = z.strictObject({});

/**
 * For each candidate range of whole bins: P is the histogram cut to it, with what lies outside added to the end bins; Q
 * is the same without the outside, merged into as many levels as the grid has and spread back evenly over the bins that
 * are not empty. The range with the least KL(P ‖ Q) wins. Exact zeros are left out, because the grid holds zero.
 *
 * Symmetric: every limit T from 2^(bits−1) bins on, for |x| with 2^(bits−1) levels, as in the source. Asymmetric data
 * on one side of zero: every limit, with 2^bits levels. On both sides: both ends at once, by a grid of 24 × 24
 * candidates and then ever finer grids of 5 × 5 around the best, down to single bins. Grids finer than the histogram
 * (16 bits) lose nothing that it could show, so the whole range is kept.
 *
 * A bin that is empty but for the values clipped into it has no counterpart in Q: such candidates are skipped.
 * source: S. Migacz, 8-bit Inference with TensorRT, GTC 2017, pages 26-38
 */
export const kl = {
  name: 'kl',
  doc: "The range whose quantized histogram diverges least (Kullback-Leibler) from the tensor's: TensorRT's method.",
  statistic: histogram,
  options,
  chooseRange: (stats, scheme) =>
    perChannel(stats, (c) => {
      const levels = levelsOf(scheme);
      if (scheme.symmetric) {
        const { counts, width, max } = magnitudeBins(stats, c);
        const best = bestLimit(divergence(counts), counts.length, levels / 2);
        return around(best === counts.length ? max : best * width);
      }
      const { counts, start, width, min, max } = signedBins(stats, c);
      const zero = Math.round(-start / width);
      if (zero <= 0) {
        const best = bestLimit(divergence(counts), counts.length, levels);
        return [min, best === counts.length ? max : best * width];
      }
      if (zero >= counts.length) {
        const best = bestLimit(divergence(counts.slice().reverse()), counts.length, levels);
        return [best === counts.length ? min : -best * width, max];
      }
      const [a, b] = bestEnds(divergence(counts), counts, zero, levels);
      return [a === 0 ? min : start + a * width, b === counts.length ? max : start + b * width];
    }),
} as const satisfies Observer<HistogramStats, z.infer<typeof options>>;

function levelsOf(scheme: QuantScheme): number {
  const [low, high] = clipRange({ ...scheme, narrow: false });
  return high - low + 1;
}

/**
 * KL(P ‖ Q) of the bins [from, to) as a function, from sums that are made once: one logarithm per level. Infinity where
 * it is not defined, and where it is found to reach `limit`: no level's part is negative, so the rest need not be
 * added.
 */
type Divergence = (from: number, to: number, levels: number, limit: number) => number;

function divergence(counts: Float64Array): Divergence {
  const n = counts.length;
  const sum = new Float64Array(n + 1);
  const entropy = new Float64Array(n + 1); // of c · log c
  const used = new Int32Array(n + 1);
  for (let k = 0; k < n; k++) {
    const c = counts[k]!;
    sum[k + 1] = sum[k]! + c;
    entropy[k + 1] = entropy[k]! + xlogx(c);
    used[k + 1] = used[k]! + (c > 0 ? 1 : 0);
  }
  const total = sum[n]!;
  return (from, to, levels, limit) => {
    const below = sum[from]!;
    const above = total - sum[to]!;
    const inside = sum[to]! - below;
    const first = counts[from]!;
    const last = counts[to - 1]!;
    if (!(inside > 0) || (below > 0 && first === 0) || (above > 0 && last === 0)) return Infinity;
    // Clipped values raise p in the end bins: what that adds to Σ p log p, less what it adds to Σ p log q.
    const size = to - from;
    const firstEnd = from + Math.max(1, Math.floor(size / levels));
    const lastStart = from + Math.floor(((levels - 1) * size) / levels);
    let extra = total * (Math.log(inside) - Math.log(total));
    if (below > 0)
      extra +=
        xlogx(first + below) -
        xlogx(first) -
        below * Math.log((sum[firstEnd]! - sum[from]!) / (used[firstEnd]! - used[from]!));
    if (above > 0)
      extra +=
        xlogx(last + above) -
        xlogx(last) -
        above * Math.log((sum[to]! - sum[lastStart]!) / (used[to]! - used[lastStart]!));
    // Σ p log(p / q) by levels: q is the level's sum over its bins that are used.
    const enough = limit * total - extra;
    let divergence = 0;
    let at = from;
    for (let level = 1; level <= levels; level++) {
      const end = from + Math.floor((level * size) / levels);
      const bins = used[end]! - used[at]!;
      if (bins > 1) {
        // a single bin is its own level, without loss
        const s = sum[end]! - sum[at]!;
        divergence += entropy[end]! - entropy[at]! - s * Math.log(s / bins);
        if (divergence >= enough) return Infinity;
      }
      at = end;
    }
    return (divergence + extra) / total;
  };
}

const xlogx = (x: number): number => (x > 0 ? x * Math.log(x) : 0);

const COARSE = 32;

/** The limit with the least divergence, in bins from 0. All of them where there are fewer bins than levels. */
function bestLimit(of: Divergence, n: number, levels: number): number {
  let best = n;
  let least = Infinity;
  // A first look at a few makes the full search short: most candidates then end at their first levels.
  for (const step of [COARSE, 1]) {
    for (let to = levels; to <= n; to += step) {
      const d = of(0, to, levels, least);
      if (d < least) {
        least = d;
        best = to;
      }
    }
  }
  return best;
}

/** Both ends around `zero`, in bins: from in [0, zero), to in (zero, n]. */
function bestEnds(of: Divergence, counts: Float64Array, zero: number, levels: number): readonly [number, number] {
  const n = counts.length;
  let best: readonly [number, number] = [0, n];
  if (n <= levels) return best;
  let least = of(0, n, levels, Infinity);
  const seen = new Set<number>();
  const tryEnds = (wideFrom: number, wideTo: number): void => {
    let from = Math.max(0, wideFrom);
    let to = Math.min(n, wideTo);
    // Empty bins at the ends change nothing inside, but make a candidate undefined: step over them.
    while (from < zero && counts[from] === 0) from++;
    while (to > zero && counts[to - 1] === 0) to--;
    if (from >= zero || to <= zero || to - from < levels || seen.has(from * (n + 1) + to)) return;
    seen.add(from * (n + 1) + to);
    const d = of(from, to, levels, least);
    if (d < least) {
      least = d;
      best = [from, to];
    }
  };
  const GRID = 24;
  for (let i = 0; i < GRID; i++)
    for (let j = 0; j < GRID; j++) tryEnds(Math.floor((zero * i) / GRID), n - Math.floor(((n - zero) * j) / GRID));
  let stepFrom = zero / GRID;
  let stepTo = (n - zero) / GRID;
  while (stepFrom > 1 || stepTo > 1) {
    stepFrom /= 2;
    stepTo /= 2;
    const [a, b] = best;
    for (let i = -2; i <= 2; i++)
      for (let j = -2; j <= 2; j++) tryEnds(Math.round(a + i * stepFrom), Math.round(b + j * stepTo));
  }
  return best;
}
