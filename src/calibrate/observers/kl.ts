import { z } from 'zod';
import { clipRange } from '../../scheme/params.js';
import type { QuantScheme } from '../../scheme/types.js';
import { histogram, type HistogramStats } from '../statistics/histogram.js';
import type { Observer } from '../types.js';
import { around, magnitudeBins, perChannel, signedBins } from './bins.js';

const options = z.strictObject({});

/**
 * For each candidate range of whole bins: P is the histogram cut to it, with what lies outside added to the end bins; Q is
 * the same without the outside, merged into as many levels as the grid has and spread back evenly over the bins that are
 * not empty. The range with the least KL(P ‖ Q) wins. Exact zeros are left out, because the grid holds zero.
 *
 * Symmetric: every limit T from 2^(bits−1) bins on, for |x| with 2^(bits−1) levels, as in the source. Asymmetric data on
 * one side of zero: every limit, with 2^bits levels. On both sides: both ends at once, by a grid of 24 × 24 candidates
 * and then ever finer grids of 5 × 5 around the best, down to single bins. Grids finer than the histogram (16 bits) lose
 * nothing that it could show, so the whole range is kept.
 *
 * A bin that is empty but for the values clipped into it has no counterpart in Q: such candidates are skipped.
 * source: S. Migacz, 8-bit Inference with TensorRT, GTC 2017, pages 26-38
 */
export const kl = {
  name: 'kl',
  doc: "The range whose quantized histogram diverges least (Kullback-Leibler) from the tensor's: TensorRT's method.",
  statistic: histogram,
  options,
  chooseRange: (stats, scheme) => perChannel(stats, (c) => {
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
    const [a, b] = bestEnds(divergence(counts), zero, counts.length, levels);
    return [a === 0 ? min : start + a * width, b === counts.length ? max : start + b * width];
  }),
} as const satisfies Observer<HistogramStats, z.infer<typeof options>>;

function levelsOf(scheme: QuantScheme): number {
  const [low, high] = clipRange({ ...scheme, narrow: false });
  return high - low + 1;
}

/** KL(P ‖ Q) of the bins [from, to) as a function, from sums that are made once. Infinity where it is not defined. */
type Divergence = (from: number, to: number, levels: number) => number;

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
  return (from, to, levels) => {
    const below = sum[from]!;
    const above = total - sum[to]!;
    const inside = sum[to]! - below;
    const first = counts[from]!;
    const last = counts[to - 1]!;
    if (!(inside > 0) || (below > 0 && first === 0) || (above > 0 && last === 0)) return Infinity;
    // Σ p log p with the outside added to the end bins.
    let own = entropy[to]! - entropy[from]!;
    if (below > 0) own += xlogx(first + below) - xlogx(first);
    if (above > 0) own += xlogx(last + above) - xlogx(last);
    // Σ p log q by levels: q is level sum / bins used, and p sums to the level sum but for the end levels.
    const size = to - from;
    let cross = 0;
    let at = from;
    for (let level = 1; level <= levels; level++) {
      const end = from + Math.floor((level * size) / levels);
      if (end === at) continue;
      const s = sum[end]! - sum[at]!;
      if (s > 0) cross += (s + (at === from ? below : 0) + (end === to ? above : 0)) * Math.log(s / (used[end]! - used[at]!));
      at = end;
    }
    // With p and q scaled to sum 1: Σ p/total · (log(p/total) − log(q/inside)).
    return (own - cross) / total - Math.log(total) + Math.log(inside);
  };
}

const xlogx = (x: number): number => (x > 0 ? x * Math.log(x) : 0);

/** The limit with the least divergence, in bins from 0. All of them where there are fewer bins than levels. */
function bestLimit(of: Divergence, n: number, levels: number): number {
  let best = n;
  let least = Infinity;
  for (let to = levels; to <= n; to++) {
    const d = of(0, to, levels);
    if (d < least) { least = d; best = to; }
  }
  return best;
}

/** Both ends around `zero`, in bins: from in [0, zero), to in (zero, n]. */
function bestEnds(of: Divergence, zero: number, n: number, levels: number): readonly [number, number] {
  let best: readonly [number, number] = [0, n];
  if (n <= levels) return best;
  let least = of(0, n, levels);
  const seen = new Set<number>();
  const tryEnds = (from: number, to: number): void => {
    if (from < 0 || from >= zero || to <= zero || to > n || to - from < levels || seen.has(from * (n + 1) + to)) return;
    seen.add(from * (n + 1) + to);
    const d = of(from, to, levels);
    if (d < least) { least = d; best = [from, to]; }
  };
  const GRID = 24;
  for (let i = 0; i < GRID; i++) for (let j = 0; j < GRID; j++) tryEnds(Math.floor((zero * i) / GRID), n - Math.floor(((n - zero) * j) / GRID));
  let stepFrom = zero / GRID;
  let stepTo = (n - zero) / GRID;
  while (stepFrom > 1 || stepTo > 1) {
    stepFrom /= 2;
    stepTo /= 2;
    const [a, b] = best;
    for (let i = -2; i <= 2; i++) for (let j = -2; j <= 2; j++) tryEnds(Math.round(a + i * stepFrom), Math.round(b + j * stepTo));
  }
  return best;
}
