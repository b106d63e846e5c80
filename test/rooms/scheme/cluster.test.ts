/** Values that weights share: where the search starts, what counts, and which channels have a table together. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { cluster, STARTS, type Start } from '../../../src/scheme/codings/cluster.js';
import { kMeans } from '../../../src/scheme/codings/k-means.js';
import { decode, matrixOf } from '../../../src/scheme/codings/matrix.js';

const values = Float32Array.of(0, 1, 2, 3, 4, 5, 6, 20);
const centres = (start: Start, count: number, iterations: number, importance?: number[]): number[] => [
  ...cluster(values, { count, start, iterations, importance }, createRng(7)),
];
const errorOf = (found: readonly number[]): number =>
  values.reduce((n, x) => n + Math.min(...found.map((c) => (c - x) ** 2)), 0);

describe('the start', () => {
  it('linear is even from the least to the largest', () => expect(centres('linear', 5, 0)).toEqual([0, 5, 10, 15, 20]));
  it('linear of one value is the middle', () => expect(centres('linear', 1, 0)).toEqual([10]));
  it('density is of quantiles', () => expect(centres('density', 4, 0)).toEqual([1, 3, 5, 20]));
  it.each(['random', 'plus-plus'] as const)('%s is of the values, the same for a seed', (start) => {
    const found = centres(start, 3, 0);
    expect(found.every((x) => values.includes(x))).toBe(true);
    expect(found).toEqual([...found].sort((a, b) => a - b));
    expect(centres(start, 3, 0)).toEqual(found);
  });
  it('plus-plus draws each value once where there are as many', () =>
    expect(centres('plus-plus', 8, 0)).toEqual([...values]));
  it('best is no worse than linear and density', () => {
    const [best, linear, density] = (['best', 'linear', 'density'] as const).map((s) => errorOf(centres(s, 3, 60)));
    expect(best).toBe(Math.min(linear!, density!));
  });
  it.each(STARTS)('%s ends at means of what is nearest', (start) => {
    const found = centres(start, 3, 60);
    for (const [k, c] of found.entries()) {
      const own = values.filter((x) => found.every((o, i) => i === k || Math.abs(x - c) <= Math.abs(x - o)));
      if (own.length) expect(c).toBeCloseTo(own.reduce((n, x) => n + x, 0) / own.length, 5);
    }
  });
});

describe('importance', () => {
  it('moves the mean: (1·0 + 3·1) ÷ 4', () =>
    expect([
      ...cluster(Float32Array.of(0, 1), { count: 1, start: 'best', iterations: 9, importance: [1, 3] }, createRng(1)),
    ]).toEqual([0.75]));
  it('of zero leaves a value out; of zero for all counts for nothing', () => {
    const of = (importance: number[]): number[] => [
      ...cluster(Float32Array.of(0, 1, 9), { count: 1, start: 'linear', iterations: 9, importance }, createRng(1)),
    ];
    expect(of([1, 1, 0])).toEqual([0.5]);
    expect(of([0, 0, 0])[0]).toBeCloseTo(10 / 3, 6);
  });
  it('is of elements where channels have scales too', () => {
    const m = matrixOf(Float32Array.of(0, 1, 0, 100), [2, 2], 0);
    const coded = kMeans.encode(
      m,
      kMeans.options.parse({ bits: 1, scale: 'channel' }),
      createRng(1),
      Float32Array.of(1, 1, 1, 1),
    );
    expect([...decode(coded, m)].map((x) => Number(x.toFixed(4)))).toEqual([0, 1, 0, 100]); // one table serves both
  });
});

describe('tables', () => {
  const dims = [6, 4];
  const m = matrixOf(
    Float32Array.from({ length: 24 }, (_, i) => i),
    dims,
    0,
  );
  it.each([
    [1, [6, 2]],
    [2, [3, 2]],
    [3, [2, 2]],
    [4, [2, 2]], // 4 does not divide 6; 3 does
    [9, [1, 2]],
  ])('of at most %i channels: %o', (channels, expected) => {
    const coded = kMeans.encode(m, kMeans.options.parse({ bits: 1, scope: { channels } }), createRng(1));
    expect(coded.levels?.dims).toEqual(expected);
    const rows = 6 / expected[0]!;
    const found = decode(coded, m);
    // Evenly spaced values are halved, and each half has its mean.
    for (let t = 0; t < expected[0]!; t++)
      expect([...found.subarray(t * rows * 4, (t + 1) * rows * 4)]).toEqual(
        Array.from({ length: rows * 4 }, (_, i) => t * rows * 4 + (i < rows * 2 ? rows - 0.5 : 3 * rows - 0.5)),
      );
  });
});
