import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { ema as emaObserver } from '../../../src/calibrate/observers/ema.js';
import { observers } from '../../../src/calibrate/observers/index.js';
import { kl } from '../../../src/calibrate/observers/kl.js';
import { mse } from '../../../src/calibrate/observers/mse.js';
import { percentile } from '../../../src/calibrate/observers/percentile.js';
import { histogram, type HistogramStats } from '../../../src/calibrate/statistics/histogram.js';
import type { Observation } from '../../../src/calibrate/types.js';
import { observeWeights } from '../../../src/calibrate/weights.js';
import { fakeQuantize } from '../../../src/scheme/arithmetic.js';
import { chooseParams } from '../../../src/scheme/params.js';
import type { QuantScheme } from '../../../src/scheme/types.js';
import { int8, uint8 } from './helpers.js';

export const seen = (values: ArrayLike<number>): Observation => {
  const v = Float32Array.from(values);
  return {
    min: Float64Array.of(v.reduce((a, b) => Math.min(a, b), Infinity)),
    max: Float64Array.of(v.reduce((a, b) => Math.max(a, b), -Infinity)),
    minIsBound: false,
    count: v.length,
    values: v,
    layout: { outer: 1, channels: 1, inner: v.length },
  };
};
const histogramOf = (values: ArrayLike<number>): HistogramStats => {
  const s = histogram.empty(1, {});
  histogram.update(s, seen(values));
  return s;
};
const normal = (n: number, seed = 1): number[] => {
  const rng = createRng(seed, 'observers.test');
  return Array.from({ length: n }, () => rng.normal());
};
const schemes: QuantScheme[] = [
  uint8,
  int8,
  { ...uint8, dtype: 'int4' },
  { ...int8, dtype: 'int4' },
  { ...uint8, dtype: 'uint16' },
  { ...uint8, symmetric: true },
];

describe('every observer', () => {
  const cases: Record<string, number[]> = {
    'no value': [],
    'all zero': [0, 0, 0, 0],
    constant: [2.5, 2.5, 2.5],
    'negative constant': [-3, -3],
    'single value': [0.1],
    'all negative': normal(500).map((x) => -Math.abs(x) - 1e-3),
    'one outlier': [...normal(5000), 1e30],
    denormals: [1e-40, -3e-42, 1e-45],
    'greatest floats': [3.4028234663852886e38, -3.4028234663852886e38, 1],
    'zeros and one value': [0, 0, 0, 0, 7],
    'two sides': normal(3000),
    'far from zero': normal(1000).map((x) => x + 1000),
  };
  it.each(Object.entries(cases))('gives a sane range for %s', (_, values) => {
    for (const o of observers) {
      const stats = o.statistic.empty(1, o.statistic.settings(o.options.parse({})));
      if (values.length) o.statistic.update(stats, seen(values));
      for (const scheme of schemes) {
        const { min, max } = o.chooseRange(stats, scheme, o.options.parse({}));
        const low = values.length ? Math.fround(Math.min(...values)) : 0;
        const high = values.length ? Math.fround(Math.max(...values)) : 0;
        expect(min[0]).toBeGreaterThanOrEqual(low);
        expect(max[0]).toBeLessThanOrEqual(high);
        expect(min[0]).toBeLessThanOrEqual(max[0]!);
        const { scale } = chooseParams({ min, max }, scheme);
        expect(scale[0]).toBeGreaterThan(0);
        if (high > low) expect(max[0]! - min[0]!).toBeGreaterThan(0);
      }
    }
  });
  it('has strict options', () => {
    for (const o of observers) expect(o.options.safeParse({ percentil: 99 }).success).toBe(false);
    expect(percentile.options.parse({})).toEqual({ percentile: 99.99 });
    expect(emaObserver.options.parse({})).toEqual({ decay: 0.99 });
  });
});

describe('percentile', () => {
  const uniform = Array.from({ length: 100_001 }, (_, i) => i / 100_000);
  it('keeps the share that it says, at the open end of one-sided data', () => {
    const { min, max } = percentile.chooseRange(histogramOf(uniform), uint8, { percentile: 99 });
    expect(min[0]).toBe(0);
    expect(max[0]).toBeCloseTo(0.99, 4);
  });
  it('cuts half at each end of two-sided data, and by magnitude where symmetric', () => {
    const both = histogramOf(uniform.map((x) => 2 * x - 1));
    const asymmetric = percentile.chooseRange(both, uint8, { percentile: 90 });
    expect([asymmetric.min[0], asymmetric.max[0]].map((x) => Math.round(x! * 1000))).toEqual([-900, 900]);
    expect(percentile.chooseRange(both, int8, { percentile: 90 }).max[0]).toBeCloseTo(0.9, 3);
    const skewed = histogramOf(uniform.map((x) => 4 * x - 1));
    const cut = percentile.chooseRange(skewed, uint8, { percentile: 90 });
    expect([cut.min[0], cut.max[0]].map((x) => Math.round(x! * 100))).toEqual([-80, 280]);
  });
  it('counts zeros', () => {
    const half = histogramOf([...uniform, ...uniform.map(() => 0)]);
    expect(percentile.chooseRange(half, uint8, { percentile: 75 }).max[0]).toBeCloseTo(0.5, 3);
  });
});

describe('kl', () => {
  /** The definition, bin by bin, over all limits. */
  function slow(counts: readonly number[], levels: number): number {
    const total = counts.reduce((a, b) => a + b, 0);
    let best = counts.length;
    let least = Infinity;
    for (let t = levels; t <= counts.length; t++) {
      const p = counts.slice(0, t);
      const outside = total - p.reduce((a, b) => a + b, 0);
      if (outside > 0 && p[t - 1] === 0) continue;
      const q = new Array<number>(t).fill(0);
      for (let l = 0; l < levels; l++) {
        const [a, b] = [Math.floor((l * t) / levels), Math.floor(((l + 1) * t) / levels)];
        const used = p.slice(a, b).filter((c) => c > 0);
        for (let k = a; k < b; k++) if (p[k]! > 0) q[k] = used.reduce((x, y) => x + y, 0) / used.length;
      }
      const inside = total - outside;
      p[t - 1]! += outside;
      const d = p.reduce((s, c, k) => (c > 0 ? s + (c / total) * Math.log(c / total / (q[k]! / inside)) : s), 0);
      if (d < least - 1e-12) {
        least = d;
        best = t;
      }
    }
    return best;
  }
  it('finds what the definition gives, by all candidates', () => {
    for (const seed of [1, 2, 3]) {
      const stats = histogramOf([...normal(20_000, seed).map((x) => Math.abs(x) ** 1.5), 12, 15]);
      const all = [...stats.counts.subarray(4096)];
      const counts = all.slice(0, all.findLastIndex((c) => c > 0) + 1);
      const limit = (levels: number): number => {
        const t = slow(counts, levels);
        return t === counts.length ? stats.max[0]! : (t * stats.limit[0]!) / 4096;
      };
      expect(kl.chooseRange(stats, int8).max[0]).toBe(limit(128));
      expect(kl.chooseRange(stats, uint8).max[0]).toBe(limit(256));
    }
  });
  it('mirrors: negative data give the negative range', () => {
    const values = [...normal(20_000).map((x) => Math.abs(x) + 1e-3), 20];
    const up = kl.chooseRange(histogramOf(values), uint8);
    const down = kl.chooseRange(histogramOf(values.map((x) => -x)), uint8);
    expect(-down.min[0]! / up.max[0]!).toBeCloseTo(1, 2);
  });
  it('cuts outliers on either side of two-sided data, each on its own', () => {
    const { min, max } = kl.chooseRange(histogramOf([...normal(50_000), 60]), uint8);
    expect(max[0]).toBeLessThan(30);
    expect(min[0]).toBeLessThan(-2.5);
  });
  it('does not depend on how many exact zeros there are', () => {
    const values = normal(20_000).map((x) => Math.max(0, x) * 3);
    expect(kl.chooseRange(histogramOf([...values, ...new Array<number>(50_000).fill(0)]), uint8)).toEqual(
      kl.chooseRange(histogramOf(values), uint8),
    );
  });
});

describe('mse', () => {
  const error = (values: number[], scheme: QuantScheme, range: { min: Float64Array; max: Float64Array }): number => {
    const x = Float32Array.from(values);
    return fakeQuantize(x, [x.length], chooseParams(range, scheme)).reduce((s, y, i) => s + (y - x[i]!) ** 2, 0);
  };
  it.each([
    ['uint8', uint8],
    ['int8 symmetric', int8],
    ['int4', { ...uint8, dtype: 'int4' }],
    ['int4 symmetric', { ...int8, dtype: 'int4' }],
  ] as [string, QuantScheme][])('is within 2 %% of the best range on a fine grid of trials: %s', (_, scheme) => {
    for (const values of [
      normal(4000),
      normal(4000).map((x) => Math.max(0, x)),
      [...normal(4000).map((x) => x * (x > 0 ? 1 : 0.2)), 9],
    ]) {
      const stats = histogramOf(values);
      const ours = error(values, scheme, mse.chooseRange(stats, scheme));
      let best = Infinity;
      for (let i = 1; i <= 40; i++)
        for (let j = scheme.symmetric || stats.min[0]! >= 0 ? 40 : 1; j <= 40; j++)
          best = Math.min(
            best,
            error(values, scheme, {
              min: Float64Array.of((stats.min[0]! * j) / 40),
              max: Float64Array.of((stats.max[0]! * i) / 40),
            }),
          );
      if (scheme.symmetric)
        for (let i = 1; i <= 200; i++) {
          const t = (Math.max(-stats.min[0]!, stats.max[0]!) * i) / 200;
          best = Math.min(best, error(values, scheme, { min: Float64Array.of(-t), max: Float64Array.of(t) }));
        }
      expect(ours).toBeLessThan(best * 1.02);
    }
  });
  it('keeps almost all of the range for 16 bits', () => {
    const stats = histogramOf(normal(5000));
    const { min, max } = mse.chooseRange(stats, { ...uint8, dtype: 'uint16' });
    expect(max[0]! / stats.max[0]!).toBeGreaterThan(0.95);
    expect(min[0]! / stats.min[0]!).toBeGreaterThan(0.95);
  });
});

describe('observeWeights', () => {
  const weights = Float32Array.from([...normal(600), ...normal(600, 2).map((x) => 10 * x)]);
  it('gives exact extremes per tensor, axis and block', () => {
    const minmax = observers[0]!;
    const scheme = (granularity: QuantScheme['granularity']): QuantScheme => ({ ...int8, granularity });
    expect(observeWeights(weights, [2, 600], scheme({ kind: 'tensor' }), minmax, {}).max[0]).toBe(Math.max(...weights));
    expect([...observeWeights(weights, [2, 600], scheme({ kind: 'axis', axis: 0 }), minmax, {}).max]).toEqual([
      Math.max(...weights.subarray(0, 600)),
      Math.max(...weights.subarray(600)),
    ]);
    expect(
      observeWeights(weights, [2, 600], scheme({ kind: 'block', axis: 1, size: 100 }), minmax, {}).max.length,
    ).toBe(12);
  });
  it('searches each channel on its own, in the order of the scales', () => {
    const o = observers.find((x) => x.name === 'mse')!;
    const scheme: QuantScheme = { dtype: 'int4', symmetric: true, granularity: { kind: 'axis', axis: 1 } };
    const columns = Float32Array.from({ length: 1200 }, (_, i) => weights[(i % 2) * 600 + (i >> 1)]!); // [600, 2]
    const both = observeWeights(columns, [600, 2], scheme, o, {});
    const first = observeWeights(
      weights.subarray(0, 600),
      [1, 600],
      { ...scheme, granularity: { kind: 'axis', axis: 0 } },
      o,
      {},
    );
    expect(both.max[0]! / first.max[0]!).toBeCloseTo(1, 1);
    expect(both.max[1]! / both.max[0]!).toBeGreaterThan(5);
    expect(both.max[0]).toBeLessThan(Math.max(...weights.subarray(0, 600)));
  });
  it('passes over NaN', () => {
    const dirty = weights.slice();
    dirty[3] = NaN;
    for (const o of observers)
      expect(observeWeights(dirty, [1200], int8, o, o.options.parse({})).max[0]).toBeGreaterThan(1);
  });
});
