import { z } from 'zod';
import { chooseParams, clipRange } from '../../scheme/params.js';
import type { QuantParams, QuantScheme, Range } from '../../scheme/types.js';
import { histogram, type HistogramStats } from '../statistics/histogram.js';
import { kernels } from '../kernels.js';
import type { Observer } from '../types.js';
import { around, magnitudeBins, perChannel, signedBins, type Bins } from './bins.js';

const options = z.strictObject({});

/**
 * Candidates go through chooseParams, so their error is that of the real grid: float32 scale, rounded zero point, zero
 * included. Symmetric or one-sided data: 16 limits, then finer ones around the best. Both sides, asymmetric: 16 × 16
 * pairs of ends, then ever finer 5 × 5 around the best. Values count as evenly spread within a bin.
 */
export const mse = {
  name: 'mse',
  doc: 'The range with the least expected squared quantization error over the histogram.',
  statistic: histogram,
  options,
  chooseRange: (stats, scheme) =>
    perChannel(stats, (c) => {
      if (scheme.symmetric) {
        // The lowest code has no counterpart above zero. Of many codes that plays no part, and magnitudes are enough;
        // of a few it decides how far negative values reach.
        const [low, high] = clipRange(scheme);
        const bins = high - low < FEW_CODES ? signedBins(stats, c) : magnitudeBins(stats, c);
        const error = squaredError(bins, scheme);
        const largest = Math.max(-bins.min, bins.max);
        return around(largest * search1((share) => error(-share * largest, share * largest)));
      }
      const bins = signedBins(stats, c);
      const error = squaredError(bins, scheme);
      if (bins.min >= 0) return [bins.min, bins.max * search1((share) => error(0, share * bins.max))];
      if (bins.max <= 0) return [bins.min * search1((share) => error(share * bins.min, 0)), bins.max];
      const [a, b] = search2((x, y) => error(x * bins.min, y * bins.max));
      return [a * bins.min, b * bins.max];
    }),
  chooseFromValues(values, scheme) {
    const { min, max } = kernels().extent(values, 0, values.length);
    if (!(min < max))
      // two in, two out
      return [Math.min(min, max), Math.max(min, max)].map((x) => (Number.isFinite(x) ? x : 0)) as [number, number];
    const error = exactError(values, scheme);
    const largest = Math.max(-min, max);
    if (scheme.symmetric) return around(largest * search1((share) => error(-share * largest, share * largest), 48));
    if (min >= 0) return [min, max * search1((share) => error(0, share * max), 48)];
    if (max <= 0) return [min * search1((share) => error(share * min, 0), 48), max];
    const [a, b] = search2((x, y) => error(x * min, y * max));
    return [a * min, b * max];
  },
} as const satisfies Observer<HistogramStats, z.infer<typeof options>>;

/** Below so many codes one more or less on a side counts. */
const FEW_CODES = 128;

/** Parameters of one candidate range, as the real ones are chosen. */
function gridOf(scheme: QuantScheme): (min: number, max: number) => QuantParams {
  const tensor: QuantScheme = { ...scheme, granularity: { kind: 'tensor' } };
  const range: Range = { min: new Float64Array(1), max: new Float64Array(1) };
  return (min, max) => {
    range.min[0] = min;
    range.max[0] = max;
    return chooseParams(range, tensor);
  };
}

/** Squared error of quantizing the values themselves to the grid that [min, max] gives. */
function exactError(values: Float32Array, scheme: QuantScheme): (min: number, max: number) => number {
  const [low, high] = clipRange(scheme);
  const grid = gridOf(scheme);
  return (min, max) => {
    const { scale, zeroPoint } = grid(min, max);
    const step = scale[0]!;
    const [from, to] = [low - zeroPoint[0]!, high - zeroPoint[0]!];
    let error = 0;
    for (let i = 0; i < values.length; i++) {
      const x = values[i]! / step;
      let q = Math.floor(x + 0.5); // ties either way have the same error
      if (q < from) q = from;
      else if (q > to) q = to;
      error += (x - q) * (x - q);
    }
    return error * step * step;
  };
}

/** Above so many levels the grid is finer than the bins, and the error inside is the uniform step² / 12. */
const FINE = 1024;

/** Expected squared error, times the number of values, of quantizing to the grid that [min, max] gives. */
function squaredError(bins: Bins, scheme: QuantScheme): (min: number, max: number) => number {
  const { counts, start, width } = bins;
  const n = counts.length;
  // Work in units of bins from `start`, so that squares neither overflow nor vanish.
  const s0 = new Float64Array(n + 1);
  const s1 = new Float64Array(n + 1);
  const s2 = new Float64Array(n + 1);
  for (let k = 0; k < n; k++) {
    const c = counts[k]!;
    s0[k + 1] = s0[k]! + c;
    s1[k + 1] = s1[k]! + c * (k + 0.5);
    s2[k + 1] = s2[k]! + c * (k * k + k + 1 / 3);
  }
  /** Error of the values in [0, t) bins around the point g, up to what depends on g linearly: S2 − 2 g S1 + g² S0. */
  const upTo = (t: number, g: number): number => {
    const at = t <= 0 ? 0 : t >= n ? n : t;
    const k = Math.min(n - 1, Math.floor(at));
    const f = at - k;
    const c = counts[k]! * f;
    return s2[k]! + c * (k * k + k * f + (f * f) / 3) - 2 * g * (s1[k]! + c * (k + f / 2)) + g * g * (s0[k]! + c);
  };
  const [low, high] = clipRange(scheme);
  const grid = gridOf(scheme);
  return (min, max) => {
    const { scale, zeroPoint } = grid(min, max);
    const step = scale[0]! / width;
    const zero = -start / width;
    const first = zero + (low - zeroPoint[0]!) * step;
    const last = zero + (high - zeroPoint[0]!) * step;
    if (high - low > FINE) {
      const inside = upTo(last, 0) === upTo(first, 0) ? 0 : (countUpTo(last) - countUpTo(first)) * ((step * step) / 12);
      return inside + upTo(first, first) + upTo(n, last) - upTo(last, last);
    }
    let error = 0;
    let edge = 0;
    // Codes whose cells end before the first bin take no part; for magnitudes that is half of them.
    const begin = Math.min(high, Math.max(low, zeroPoint[0]! + Math.floor(-zero / step - 0.5)));
    for (let q = begin; q <= high && edge < n; q++) {
      const g = zero + (q - zeroPoint[0]!) * step;
      const next = q === high ? n : g + step / 2;
      if (next <= edge) continue;
      error += upTo(next, g) - upTo(edge, g);
      edge = next;
    }
    return error;
  };
  function countUpTo(t: number): number {
    const at = t <= 0 ? 0 : t >= n ? n : t;
    const k = Math.min(n - 1, Math.floor(at));
    return s0[k]! + counts[k]! * (at - k);
  }
}

/** The share in (0, 1] with the least error. */
function search1(error: (share: number) => number, GRID = 16): number {
  let best = 1;
  let least = error(1);
  const consider = (share: number): void => {
    if (share <= 0 || share > 1) return;
    const e = error(share);
    if (e < least) {
      least = e;
      best = share;
    }
  };
  for (let i = 1; i < GRID; i++) consider(i / GRID);
  // A few outliers can make all but a sliver of the grid useless: look there on a logarithmic scale, too.
  for (let share = 1 / (2 * GRID); share > 1e-4; share /= 2) consider(share);
  for (let step = best / 4 < 1 / GRID ? best / 4 : 1 / GRID / 2; step > 1e-3 * best; step /= 2) {
    const centre = best;
    consider(centre - step);
    consider(centre + step);
  }
  return best;
}

/** The shares (of the negative and the positive end) with the least error. */
function search2(error: (a: number, b: number) => number): readonly [number, number] {
  const GRID = 16;
  let best: readonly [number, number] = [1, 1];
  let least = error(1, 1);
  const consider = (a: number, b: number): void => {
    if (a < 0 || a > 1 || b < 0 || b > 1 || a + b === 0) return;
    const e = error(a, b);
    if (e < least) {
      least = e;
      best = [a, b];
    }
  };
  for (let i = 0; i <= GRID; i++) for (let j = 0; j <= GRID; j++) consider(i / GRID, j / GRID);
  for (let step = 0.5 / GRID; step > 1e-3; step /= 2) {
    const [a, b] = best;
    for (let i = -2; i <= 2; i++) for (let j = -2; j <= 2; j++) if (i || j) consider(a + i * step, b + j * step);
  }
  return best;
}
