/**
 * Intervals of the drop between two models that saw the same samples, at any confidence. Each side errs by at most half
 * of 1 − confidence, and where samples or changes are few it errs towards a wider interval;
 * test/models/gate-simulation.test.ts measures that.
 */
import { bisect, normalQuantile, tQuantile } from './distributions.js';

export type Interval = readonly [low: number, high: number];

/**
 * Interval of the drop of a share, −1…1, from `worse` (right → wrong) and `better` (wrong → right) of `n` samples:
 * Tango's score interval, widened to Bonett–Price's where that is wider. Each of them alone is too narrow on one side
 * where flips are few. Counts may be fractions, to tell what more samples would give.
 * Source: Tango 1998, Statistics in Medicine 17:891; Bonett & Price 2012, JEBS 37:479.
 */
export function shareDropInterval(worse: number, better: number, n: number, confidence: number): Interval {
  const z = normalQuantile((1 + confidence) / 2);
  const drop = (worse - better) / n;
  const score = (delta: number): number => {
    const a = 2 * n;
    const b = (2 * n - worse + better) * delta - worse - better;
    const c = -better * delta * (1 - delta);
    // maximum likelihood of wrong → right where the drop is delta
    const share = (Math.sqrt(Math.max(0, b * b - 4 * a * c)) - b) / (2 * a);
    const variance = n * (2 * share + delta * (1 - delta));
    return variance > 0 ? (worse - better - n * delta) / Math.sqrt(variance) : delta < drop ? Infinity : -Infinity;
  };
  const high = bisect((delta) => score(delta) <= -z, drop, 1);
  const low = bisect((delta) => score(delta) <= z, -1, drop);
  const [w, b] = [(worse + 1) / (n + 2), (better + 1) / (n + 2)];
  const half = z * Math.sqrt((w + b - (w - b) ** 2) / (n + 2));
  return [Math.max(-1, Math.min(low, w - b - half)), Math.min(1, Math.max(high, w - b + half))];
}

/** What an interval of a mean needs of the paired drops of `n` samples. */
export interface Drops {
  readonly n: number;
  readonly mean: number;
  /** Mean squared distance from the mean, over n. */
  readonly variance: number;
  /** The largest change that a sample could have: the spread of the scores seen, or a change that was seen. */
  readonly largest: number;
}

/**
 * Interval of a mean drop: Student's t of the paired drops with one more drop of the largest size added each way, as
 * Bonett and Price do for shares. Without these, rare large drops that the sample happens to miss, and skewed drops,
 * would make it too narrow; they cost little once n is large.
 */
export function meanDropInterval({ n, mean, variance, largest }: Drops, confidence: number): Interval {
  const more = n + 2;
  const centre = (n * mean) / more;
  const squares = n * (variance + (mean - centre) ** 2) + 2 * largest * largest + 2 * centre * centre;
  const half = tQuantile((1 + confidence) / 2, Math.max(1, n - 1)) * Math.sqrt(squares / (more - 1) / more);
  return [centre - half, centre + half];
}

/** What {@link meanDropInterval} needs, from the scores of both models; `sign` is 1 where higher is better, else −1. */
export function dropsOf(before: readonly number[], after: readonly number[], sign: 1 | -1): Drops {
  let mean = 0;
  let squares = 0;
  let [low, high, change] = [Infinity, -Infinity, 0];
  for (let i = 0; i < before.length; i++) {
    // Welford, so that equal large scores do not cancel
    const [x, y] = [before[i]!, after[i]!]; // both have one score a sample
    const drop = sign * (x - y);
    const delta = drop - mean;
    mean += delta / (i + 1);
    squares += delta * (drop - mean);
    low = Math.min(low, x, y);
    high = Math.max(high, x, y);
    change = Math.max(change, Math.abs(drop));
  }
  // Scores that do not vary tell no spread: then a score may vanish.
  return {
    n: before.length,
    mean,
    variance: before.length ? squares / before.length : 0,
    largest: Math.max(change, high > low ? high - low : Math.abs(high)),
  };
}

/**
 * Interval of a drop whose bootstrap resamples are known: `drops` ascending, of `n` samples, around the observed
 * `drop`. The percentile interval, taken one standard error of its own rank further out (few resamples know their tails
 * badly), stretched by t ÷ z · √(n ÷ (n − 1)) for few samples, and never narrower than the normal interval of the
 * resamples.
 * Source: Efron 1979; Hesterberg 2015, The American Statistician 69:371 (3.2) for the stretch.
 */
export function bootstrapDropInterval(
  drops: readonly number[],
  drop: number,
  n: number,
  confidence: number,
): Interval | undefined {
  const rounds = drops.length;
  if (rounds < 100 || n < 3) return undefined;
  const tail = (1 - confidence) / 2;
  const z = normalQuantile(1 - tail);
  const rank = Math.max(1, Math.floor(rounds * tail - Math.sqrt(rounds * tail * (1 - tail))));
  const mean = drops.reduce((sum, d) => sum + d, 0) / rounds;
  const deviation = Math.sqrt(drops.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (rounds - 1));
  const stretch = (tQuantile(1 - tail, n - 1) / z) * Math.sqrt(n / (n - 1));
  const below = stretch * Math.max(drop - drops[rank - 1]!, z * deviation); // rank is at least 1
  const above = stretch * Math.max(drops[rounds - rank]! - drop, z * deviation);
  return [drop - below, drop + above];
}

/**
 * Interval of a ∕ b in the logarithm from the intervals of both (MOVER), for positive values measured apart. Where one
 * has no interval there is none. Source: Zou & Donner 2008, Statistics in Medicine 27:1693.
 */
export function ratioInterval(a: number, intervalA: Interval, b: number, intervalB: Interval): Interval | undefined {
  const logs = [a, b, ...intervalA, ...intervalB].map(Math.log);
  if (!logs.every(Number.isFinite)) return undefined;
  // six values went in
  const [la, lb, lowA, highA, lowB, highB] = logs as [number, number, number, number, number, number];
  return [Math.exp(la - lb - Math.hypot(la - lowA, highB - lb)), Math.exp(la - lb + Math.hypot(highA - la, lb - lowB))];
}

/**
 * A 95 % interval of a positive value, at another confidence: its logarithm is stretched as a normal one. Lower
 * confidence keeps it.
 */
export function rescaled95(value: number, [low, high]: Interval, confidence: number): Interval {
  const stretch = Math.max(1, normalQuantile((1 + confidence) / 2) / normalQuantile(0.975));
  return [value * (low / value) ** stretch, value * (high / value) ** stretch];
}
