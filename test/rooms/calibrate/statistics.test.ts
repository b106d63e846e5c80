import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { plainKernels, wasmKernels } from '../../../src/calibrate/kernels.js';
import { ema } from '../../../src/calibrate/statistics/ema.js';
import { histogram } from '../../../src/calibrate/statistics/histogram.js';
import { range } from '../../../src/calibrate/statistics/range.js';
import type { Observation, Statistic, TensorStats } from '../../../src/calibrate/types.js';

const rng = createRng(5, 'statistics.test');
const seen = (values: Float32Array, channels = 1): Observation => {
  const inner = values.length / channels;
  const part = (c: number): Float32Array => values.subarray(c * inner, (c + 1) * inner);
  const all = Array.from({ length: channels }, (_, c) => part(c));
  return {
    min: Float64Array.from(all, (v) => Math.min(...v)),
    max: Float64Array.from(all, (v) => Math.max(...v)),
    minIsBound: false,
    count: inner,
    values,
    layout: { outer: 1, channels, inner },
  };
};
const batch = (scale: number, n = 300): Float32Array => Float32Array.from({ length: n }, () => rng.normal() * scale);
// tested through what they share
const statistics = [range, ema, histogram] as readonly unknown[] as readonly Statistic<TensorStats>[];

describe.each(statistics.map((s) => [s.name, s] as const))('%s', (_, statistic) => {
  const batches = [0.1, 3, 50, 0.001, 0, 7].map((s) => seen(batch(s), 1));
  const over = (list: readonly Observation[]): TensorStats => {
    const s = statistic.empty(1, { decay: 0.75 });
    for (const b of list) statistic.update(s, b);
    return s;
  };
  it('merges parts to the whole, in any grouping', () => {
    const whole = over(batches);
    for (let cut = 0; cut <= batches.length; cut++)
      near(statistic.merge(over(batches.slice(0, cut)), over(batches.slice(cut))), whole);
    const [a, b, c] = [over(batches.slice(0, 1)), over(batches.slice(1, 3)), over(batches.slice(3))];
    near(statistic.merge(a, statistic.merge(b, c)), statistic.merge(statistic.merge(a, b), c));
  });
  it('is order-independent unless it says otherwise', () => {
    const reversed = over([...batches].reverse());
    if (statistic.ordered) expect(reversed).not.toEqual(over(batches));
    else expect(reversed).toEqual(over(batches));
  });
  it('survives serialization, and refuses other bytes', () => {
    const whole = over(batches);
    expect(statistic.deserialize(statistic.serialize(whole))).toEqual(whole);
    expect(() => statistic.deserialize(statistic.serialize(whole).subarray(0, -8))).toThrow(/statistics of format/);
    expect(() => statistic.deserialize(new Uint8Array(64))).toThrow(/statistics of format/);
  });
});

/** Equal but for rounding: moving averages are sums in another order. */
function near(a: TensorStats, b: TensorStats): void {
  const [x, y] = [a, b] as unknown as Record<string, Float64Array | number | string>[]; // plain data
  for (const [key, value] of Object.entries(y!)) {
    if (value instanceof Float64Array) value.forEach((v, i) => expect((x![key] as Float64Array)[i]).toBeCloseTo(v, 9));
    else expect(x![key]).toBe(value);
  }
}

describe('histogram', () => {
  it('has at least 2,048 bins below the maximum, and a power of two above it', () => {
    for (const top of [1, 0.999, 1.001, 8, 7.99, 3e38, 1e-20]) {
      const s = histogram.empty(1, {});
      histogram.update(s, seen(Float32Array.of(top, top / 3)));
      expect(Number.isInteger(Math.log2(s.limit[0]!))).toBe(true);
      expect(s.limit[0]).toBeGreaterThan(Math.fround(top));
      expect((Math.fround(top) / s.limit[0]!) * s.bins).toBeGreaterThanOrEqual(2048);
    }
  });
  it('puts values on either side where they belong, and zeros apart', () => {
    const s = histogram.empty(1, {});
    histogram.update(s, seen(Float32Array.of(0, -0, 1, -1, 1.5, 0.0001, -0.0001)));
    expect(s.limit[0]).toBe(2);
    expect(s.zeros[0]).toBe(2);
    expect([...s.counts.entries()].filter(([, c]) => c > 0)).toEqual([
      [2048, 1],
      [4095, 1],
      [4096, 1],
      [6144, 1],
      [7168, 1],
    ]);
  });
  it('is defined for denormals and for channels without values', () => {
    const s = histogram.empty(2, {});
    histogram.update(s, seen(Float32Array.of(1e-45, -1e-45, 0, 0), 2));
    expect(s.counts.reduce((a, b) => a + b, 0)).toBe(2);
    expect([...s.zeros]).toEqual([0, 2]);
    expect(s.limit[1]).toBe(0);
  });
});

const wasm = new URL('../../../dist/kernels.wasm', import.meta.url);
describe.skipIf(!existsSync(wasm))('WebAssembly kernels (skipped where npm run build has not been run)', () => {
  const fast = wasmKernels(readFileSync(wasm));
  it('count exactly as plain JS does', () => {
    for (const n of [8192, 8193, 65536, 65537, 200_003]) {
      const values = Float32Array.from({ length: n }, (_, i) => (i % 3 === 0 ? 0 : rng.normal()));
      values.set([1e-45, -1e-45, -0, 15.999999, -15.999999, -16]);
      for (const bins of [4096, 512]) {
        const [a, b] = [new Float64Array(2 * bins + 5), new Float64Array(2 * bins + 5)];
        expect(fast.count(values, 1, n - 1, bins / 16, bins, a, 5)).toBe(
          plainKernels.count(values, 1, n - 1, bins / 16, bins, b, 5),
        );
        expect(a).toEqual(b);
      }
    }
  });
  it('find extremes, NaN and infinity', () => {
    const values = Float32Array.from({ length: 70_001 }, () => rng.normal());
    expect(fast.extent(values, 0, values.length)).toEqual(plainKernels.extent(values, 0, values.length));
    for (const at of [0, 3, 65_535, 65_536, 70_000])
      for (const bad of [NaN, Infinity, -Infinity]) {
        const dirty = values.slice();
        dirty[at] = bad;
        expect(fast.extent(dirty, 0, dirty.length).finite).toBe(false);
        expect(plainKernels.extent(dirty, 0, dirty.length).finite).toBe(false);
      }
  });
});
