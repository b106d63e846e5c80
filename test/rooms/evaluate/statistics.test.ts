import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { dropsOf, meanDropInterval, shareDropInterval } from '../../../src/evaluate/intervals.js';
import {
  bootstrapChanges,
  bootstrapPercentiles,
  mcnemarExact,
  medianInterval,
  nearestRank,
  pearsonOf,
  ranks,
} from '../../../src/evaluate/statistics.js';

describe('mcnemarExact', () => {
  it('equals the two-sided binomial test', () => {
    // By hand: 2 Σ C(n,k) / 2^n up to the smaller count, at most 1. 2(1+10)/1024, 2/32, 2(1+12+66)/4096.
    expect(mcnemarExact(1, 9)).toBeCloseTo(22 / 1024, 14);
    expect(mcnemarExact(9, 1)).toBeCloseTo(22 / 1024, 14);
    expect(mcnemarExact(0, 5)).toBeCloseTo(2 / 32, 14);
    expect(mcnemarExact(2, 10)).toBeCloseTo(158 / 4096, 14);
    expect(mcnemarExact(7, 6)).toBe(1);
    expect(mcnemarExact(0, 0)).toBe(1);
  });
  it('stays finite and right for very many flips', () => {
    // scipy.stats.binomtest(k, n).pvalue, SciPy 1.17.1
    expect(mcnemarExact(500, 600)).toBeCloseTo(0.0028195449914364284, 12);
    expect(mcnemarExact(13, 27)).toBeCloseTo(0.03847730828420026, 14);
    expect(mcnemarExact(100_000, 100_100)).toBeCloseTo(0.8248469219530641, 9);
    expect(mcnemarExact(20_000, 10_000)).toBe(0);
  });
});

describe('intervals of a paired change', () => {
  it("of shares is at least as wide as Bonett and Price's, by hand", () => {
    // n = 98, 4 right → wrong, 9 wrong → right: shares 5/100 and 10/100; −0.05 ± 1.96 √((0.15 − 0.0025)/100)
    const [low, high] = shareDropInterval(4, 9, 98, 0.95);
    expect(low).toBeLessThanOrEqual(-0.05 - 1.95996 * Math.sqrt(0.1475 / 100));
    expect(high).toBeGreaterThanOrEqual(-0.05 + 1.95996 * Math.sqrt(0.1475 / 100));
    expect(high - low).toBeLessThan(1.15 * 2 * 1.96 * Math.sqrt(0.1475 / 100));
  });
  it('is not of zero width where nothing flipped', () => {
    const [low, high] = shareDropInterval(0, 0, 100, 0.95);
    expect(low).toBeLessThan(-0.01);
    expect(high).toBeCloseTo(-low, 9);
  });
  it('covers the true change about 95 times in 100', () => {
    const rng = createRng(1, 'coverage');
    let covered = 0;
    for (let trial = 0; trial < 1000; trial++) {
      let worse = 0;
      let better = 0;
      for (let i = 0; i < 300; i++) {
        const u = rng.next();
        if (u < 0.04) worse++;
        else if (u < 0.06) better++;
      }
      const [low, high] = shareDropInterval(worse, better, 300, 0.95);
      if (low <= 0.02 && 0.02 <= high) covered++;
    }
    expect(covered).toBeGreaterThan(930);
    expect(covered).toBeLessThan(990);
  });
  it('of means uses the differences, not the values', () => {
    const before = Array.from({ length: 400 }, (_, i) => (i % 2 ? 1e9 : -1e9));
    const [low, high] = meanDropInterval(
      dropsOf(
        before,
        before.map((x, i) => x - 2 - (i % 3)),
        1,
      ),
      0.95,
    );
    expect((low + high) / 2).toBeGreaterThan(2.9); // drops of 2, 3 and 4
    expect(
      dropsOf(
        before,
        before.map((x, i) => x - 2 - (i % 3)),
        1,
      ).variance,
    ).toBeCloseTo(2 / 3, 2);
  });
  it('by bootstrap is the same on every run and brackets a clear change', () => {
    const value =
      (shift: number) =>
      (indices: Uint32Array): number =>
        indices.reduce((sum, i) => sum + (i % 7) * shift, 0) / indices.length;
    const first = bootstrapChanges(200, value(1), value(1.5))!;
    expect(first).toEqual(bootstrapChanges(200, value(1), value(1.5)));
    expect(first).toHaveLength(1000);
    expect(nearestRank(first, 0.025)).toBeGreaterThan(1);
    expect(nearestRank(first, 0.975)).toBeLessThan(2);
    expect(bootstrapChanges(5, value(1), value(1))).toBeUndefined();
  });
});

describe('order statistics and correlation', () => {
  it('bootstraps percentiles to about the binomial interval of their ranks', () => {
    const sorted = Float64Array.from({ length: 400 }, (_, i) => i + 1);
    const [[low, high]] = bootstrapPercentiles(sorted, [0.5]) as [[number, number]];
    expect(Math.abs(low - (200 - 19.6))).toBeLessThan(4); // 1.96 · √(400 · ½ · ½)
    expect(Math.abs(high - (200 + 19.6))).toBeLessThan(4);
    expect(bootstrapPercentiles(sorted, [0.5, 0.9])).toEqual(bootstrapPercentiles(sorted, [0.5, 0.9]));
    expect(bootstrapPercentiles(sorted.slice(0, 9), [0.5])).toBeUndefined();
  });
  it('takes percentiles by nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
    expect([0.5, 0.9, 0.99, 1].map((p) => nearestRank(hundred, p))).toEqual([50, 90, 99, 100]);
    expect(nearestRank([15, 20, 35, 40, 50], 0.3)).toBe(20);
    expect(nearestRank([7], 0.99)).toBe(7);
    expect(nearestRank([], 0.5)).toBeNaN();
  });
  it('gives the median an interval by ranks', () => {
    expect(medianInterval(Array.from({ length: 100 }, (_, i) => i + 1))).toEqual([40, 61]);
    expect(medianInterval([1, 2, 3])).toBeUndefined();
  });
  it('shares ranks among equal values', () => {
    expect([...ranks(Float64Array.of(10, 20, 10, 5, 20, 20))]).toEqual([2.5, 5, 2.5, 1, 5, 5]);
  });
  it('matches Pearson and Spearman by hand', () => {
    const a = Float64Array.of(1, 2, 3, 4, 5);
    const b = Float64Array.of(2, 1, 4, 3, 5);
    expect(pearsonOf(a, b)).toBeCloseTo(0.8, 14);
    const tied = Float64Array.of(1, 2, 2, 4, 5); // scipy.stats.pearsonr and spearmanr, SciPy 1.17.1
    expect(pearsonOf(tied, b)).toBeCloseTo(0.6735753140545634, 14);
    expect(pearsonOf(ranks(tied), ranks(b))).toBeCloseTo(0.6668859288553503, 14);
    expect(pearsonOf(ranks(a), ranks(a.map((x) => Math.exp(x))))).toBeCloseTo(1, 14);
    expect(pearsonOf(a, Float64Array.of(1, 1, 1, 1, 1))).toBeUndefined();
  });
});
