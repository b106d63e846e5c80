/**
 * Observers against plain references on the values themselves. A histogram knows where a value lies up to the width of
 * its bin, so ends that it chooses may be off by one bin; extremes and averages are exact.
 */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { observers } from '../../../src/calibrate/observers/index.js';
import type { HistogramStats } from '../../../src/calibrate/statistics/histogram.js';
import type { Observation, TensorStats } from '../../../src/calibrate/types.js';
import type { QuantScheme, Range } from '../../../src/scheme/types.js';

const rng = createRng(21, 'conformance/observers');
const draw = (n: number, f: () => number): Float32Array => Float32Array.from({ length: n }, f);
const N = 2048;
const DATA: Readonly<Record<string, Float32Array>> = {
  normal: draw(N, () => rng.normal()),
  lognormal: draw(N, () => Math.exp(rng.normal())),
  'two heaps': draw(N, () => (rng.int(2) ? 3 : -1) + rng.normal() / 4),
  'after Relu': draw(N, () => Math.max(0, rng.normal())),
  negative: draw(N, () => -Math.abs(rng.normal()) - 0.01),
  'far from zero': draw(N, () => 100 + rng.normal()),
  'with outliers': draw(N, () => rng.normal()).map((x, i) => (i % 500 === 7 ? 40 * x : x)),
  constant: draw(N, () => 2.5),
  zero: draw(N, () => 0),
};
const scheme = (dtype: QuantScheme['dtype'], symmetric: boolean): QuantScheme => ({
  dtype,
  symmetric,
  granularity: { kind: 'tensor' },
});
const SCHEMES = [scheme('uint8', false), scheme('int8', true), scheme('uint4', false), scheme('int4', true)];

/** One batch of as many channels as there are lists; in the tensor they take turns. */
function batchOf(channels: readonly Float32Array[]): Observation {
  const inner = 16;
  const outer = channels[0]!.length / inner; // every list is as long
  const values = new Float32Array(outer * channels.length * inner);
  for (let o = 0, at = 0; o < outer; o++)
    for (const own of channels) for (let i = 0; i < inner; i++) values[at++] = own[o * inner + i]!; // within the list
  return {
    min: Float64Array.from(channels, (v) => Math.min(...v)),
    max: Float64Array.from(channels, (v) => Math.max(...v)),
    minIsBound: false,
    count: outer * inner,
    values,
    layout: { outer, channels: channels.length, inner },
  };
}
const BATCHES = 4;
/** The statistics of an observer over the data in four batches. */
function statsOf(name: string, channels: readonly Float32Array[], options: unknown, settings = {}): TensorStats {
  const { statistic } = observers.find((o) => o.name === name)!;
  const stats = statistic.empty(channels.length, { ...statistic.settings(options), ...settings });
  for (let b = 0; b < BATCHES; b++)
    statistic.update(stats, batchOf(channels.map((v) => v.subarray((b * N) / BATCHES, ((b + 1) * N) / BATCHES))));
  return stats;
}
function chosen(name: string, channels: readonly Float32Array[], s: QuantScheme, given = {}, settings = {}): Range {
  const observer = observers.find((o) => o.name === name)!;
  const options = observer.options.parse(given);
  return observer.chooseRange(statsOf(name, channels, options, settings), s, options);
}

type Ends = readonly [min: number, max: number];
/** Both ends, cut to what was seen: symmetric observers look at magnitudes. */
const around = (t: number, v: Float32Array): Ends => [Math.max(-t, Math.min(...v)), Math.min(t, Math.max(...v))];

const averaged = (v: Float32Array, decay: number): Ends => {
  let [low, high] = [0, 0];
  for (let b = 0; b < BATCHES; b++) {
    const batch = [...v.subarray((b * N) / BATCHES, ((b + 1) * N) / BATCHES)];
    const [a, z] = [Math.min(...batch), Math.max(...batch)];
    [low, high] = b === 0 ? [a, z] : [decay * low + (1 - decay) * a, decay * high + (1 - decay) * z];
  }
  return [low, high];
};
/** The value that the share p of all does not exceed. */
const quantile = (sorted: readonly number[], p: number): number =>
  sorted[Math.max(0, Math.ceil(p * sorted.length - 1e-9) - 1)]!; // p is at most 1
function percentiles(v: Float32Array, { symmetric }: QuantScheme, inside: number): Ends {
  const ascending = (list: Iterable<number>): number[] => [...list].sort((a, b) => a - b);
  const cut = (100 - inside) / 100;
  if (symmetric) return around(quantile(ascending(v.map(Math.abs)), 1 - cut), v);
  const sorted = ascending(v);
  const [low, high] = [sorted[0]!, sorted.at(-1)!];
  if (low >= 0) return [low, quantile(sorted, 1 - cut)];
  if (high <= 0) return [quantile(sorted, cut), high];
  return [quantile(sorted, cut / 2), quantile(sorted, 1 - cut / 2)];
}

/** Squared error of the values on the grid of a range, step by step as the standard says. */
function squaredError(v: Float32Array, [min, max]: Ends, { dtype, symmetric }: QuantScheme): number {
  const [low, high] = ({ uint8: [0, 255], int8: [-128, 127], uint4: [0, 15] } as Record<string, [number, number]>)[
    dtype
  ] ?? [-8, 7]; // by type
  const span = dtype === 'int8' && symmetric ? 254 : high - low;
  const [a, b] = [Math.min(0, min), Math.max(0, max)];
  const width = symmetric ? 2 * Math.max(-a, b) : b - a;
  if (width === 0) return 0;
  const scale = width / span;
  const zero = symmetric ? (dtype === 'int4' ? 0 : Math.round((low + high) / 2 - 0.25)) : Math.round(low - a / scale);
  let error = 0;
  for (const x of v) error += (x - (Math.min(high, Math.max(low, Math.round(x / scale) + zero)) - zero) * scale) ** 2;
  return error;
}

/** KL(P ‖ Q) by its definition: P clipped to [from, to), Q merged into levels and spread over the bins in use. */
function divergence(counts: readonly number[], from: number, to: number, levels: number): number {
  const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
  const inside = counts.slice(from, to);
  const [below, above] = [sum(counts.slice(0, from)), sum(counts.slice(to))];
  if ((below && !inside[0]) || (above && !inside.at(-1)) || !sum(inside)) return Infinity;
  const q = inside.map(() => 0);
  for (let l = 0; l < levels; l++) {
    const [a, b] = [Math.floor((l * q.length) / levels), Math.floor(((l + 1) * q.length) / levels)];
    const used = inside.slice(a, b).filter((c) => c > 0);
    for (let k = a; k < b; k++) if (inside[k]) q[k] = sum(used) / used.length;
  }
  const p = inside.slice();
  p[0]! += below;
  p[p.length - 1]! += above;
  const [total, kept] = [sum(p), sum(inside)];
  return p.reduce((d, c, k) => (c ? d + (c / total) * Math.log(c / total / (q[k]! / kept)) : d), 0);
}

/** What holds of each observer's choice for one channel. */
type Check = (v: Float32Array, s: QuantScheme, range: Ends, bin: number) => void;
const near = ([a, b]: Ends, [c, d]: Ends, by: number): void => {
  expect(Math.abs(a - c)).toBeLessThanOrEqual(by);
  expect(Math.abs(b - d)).toBeLessThanOrEqual(by);
};
const CHECKS: Readonly<Record<string, { readonly options: object; readonly check: Check; readonly bins?: number }>> = {
  minmax: { options: {}, check: (v, _s, range) => expect(range).toEqual([Math.min(...v), Math.max(...v)]) },
  ema: { options: { decay: 0.75 }, check: (v, _s, range) => near(range, averaged(v, 0.75), 1e-9) },
  percentile: {
    options: { percentile: 98 },
    check: (v, s, range, bin) => near(range, percentiles(v, s, 98), bin),
  },
  mse: {
    options: {},
    // Bins blur the error, so another range than the best may be chosen, but none that is worse.
    check(v, s, range) {
      const [low, high] = [Math.min(...v), Math.max(...v)];
      let best = squaredError(v, [low, high], s);
      const steps = s.symmetric ? 200 : 32;
      for (let i = 1; i <= steps; i++)
        if (s.symmetric) best = Math.min(best, squaredError(v, around((i / steps) * Math.max(-low, high), v), s));
        else
          for (let j = low < 0 && high > 0 ? 1 : steps; j <= steps; j++)
            best = Math.min(
              best,
              squaredError(v, high > 0 ? [(j / steps) * low, (i / steps) * high] : [(i / steps) * low, high], s),
            );
      expect(squaredError(v, range, s)).toBeLessThanOrEqual(1.02 * best + 1e-12);
    },
  },
  kl: {
    options: {},
    bins: 64, // few enough for all candidates
    check(v, s, range, bin) {
      const [low, high] = [Math.min(...v), Math.max(...v)];
      if (low === high) return expect(range).toEqual([low, high]);
      const levels = (s.dtype.endsWith('8') ? 256 : 16) / (s.symmetric ? 2 : 1);
      // Levels are counted from zero on: negative data are looked at from the other side.
      const mirrored = !s.symmetric && high <= 0;
      const used = s.symmetric ? [...v].map(Math.abs) : mirrored ? [...v].map((x) => -x) : [...v];
      const first = Math.min(0, ...used.map((x) => Math.floor(x / bin)));
      const counts = Array<number>(Math.max(0, ...used.map((x) => Math.floor(x / bin) + 1)) - first).fill(0);
      for (const x of used) if (x !== 0) counts[Math.floor(x / bin) - first]!++;
      const n = counts.length;
      const at = (from: number, to: number): number =>
        to - from < levels ? Infinity : divergence(counts, from, to, levels);
      let best = at(0, n);
      const froms = first === 0 ? [0] : [...Array(-first).keys()];
      const tos = [...Array(n + first).keys()].map((k) => k + 1 - first);
      for (const f of froms) for (const t of tos) best = Math.min(best, at(f, t));
      const [a, b] = s.symmetric ? [0, Math.max(-range[0], range[1])] : mirrored ? [-range[1], -range[0]] : range;
      const from = first === 0 || a <= low ? 0 : Math.round(a / bin) - first;
      const to = b >= Math.max(...used) ? n : Math.round(b / bin) - first;
      // Fewer bins than levels: nothing is lost by keeping all.
      if (n <= levels) expect([from, to]).toEqual([0, n]);
      else expect(at(from, to)).toBeLessThanOrEqual(best + 1e-9);
    },
  },
};

it('every observer has a reference', () => {
  expect(Object.keys(CHECKS).sort()).toEqual(observers.map((o) => o.name).sort());
});

describe.each(Object.entries(CHECKS))('%s', (name, { options, check, bins }) => {
  it.each(SCHEMES)('chooses the ranges of its definition for $dtype, symmetric: $symmetric', (s) => {
    const settings = bins ? { bins } : {};
    for (const values of Object.values(DATA)) {
      const stats = statsOf(name, [values], observers.find((o) => o.name === name)!.options.parse(options), settings);
      const { limit, bins: count } = stats as Partial<HistogramStats>; // others are exact
      const { min, max } = chosen(name, [values], s, options, settings);
      check(values, s, [min[0]!, max[0]!], limit && count ? limit[0]! / count : 0);
    }
  });
  it('looks at each channel on its own', () => {
    const channels = Object.values(DATA);
    for (const s of SCHEMES) {
      const all = chosen(name, channels, s, options, { bins: 512 });
      channels.forEach((v, c) => {
        const alone = chosen(name, [v], s, options, { bins: 512 });
        expect([all.min[c], all.max[c]]).toEqual([alone.min[0], alone.max[0]]);
      });
    }
  });
});
