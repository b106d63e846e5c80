/** Weights that become zero: which, how many, and what the others make up for, against plain references. */
import { Matrix, inverse, solve } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { magnitude } from '../../../src/compress/sparsity/magnitude.js';
import { zerosOf, type Pattern } from '../../../src/compress/sparsity/pattern.js';
import { sparsegpt } from '../../../src/compress/sparsity/sparsegpt.js';
import { wanda } from '../../../src/compress/sparsity/wanda.js';
import type { SparsityProblem } from '../../../src/compress/sparsity/types.js';

const RATIO: Pattern = { kind: 'ratio', zeros: 2, of: 4 };
/** Rows, and inputs that have much in common. */
function problem(rows: number, columns: number, seed: number, pattern: Pattern): SparsityProblem {
  const rng = createRng(seed, 'sparsity');
  const weights = Float64Array.from({ length: rows * columns }, () => rng.normal());
  const mixing = Array.from({ length: columns }, () => Array.from({ length: columns }, () => rng.normal()));
  const products = new Float64Array(columns * columns);
  const places = 3 * columns;
  for (let p = 0; p < places; p++) {
    const u = Array.from({ length: columns }, () => rng.normal());
    const x = mixing.map((row, i) => row.reduce((n, m, j) => n + m * u[j]!, 0) * (1 + (i % 3)));
    for (let i = 0; i < columns; i++)
      for (let j = 0; j < columns; j++) products[i * columns + j]! += (x[i]! * x[j]!) / places;
  }
  const energies = Float64Array.from({ length: columns }, (_, i) => products[i * columns + i]!);
  return { groups: 1, rows, columns, weights, pattern, energies, products: [products] };
}
const options = (more: object = {}) => sparsegpt.options.parse(more);
const damped = ({ products, columns }: SparsityProblem, share = 0.01): Matrix => {
  const h = Matrix.from1DArray(columns, columns, [...products![0]!]);
  return h.add(Matrix.eye(columns, columns, (share * h.trace()) / columns));
};
/** Σ e·H·eᵀ. */
function errorOf(p: SparsityProblem, made: Float64Array): number {
  const e = Matrix.from1DArray(p.rows, p.columns, [...p.weights.map((w, i) => w - made[i]!)]);
  return e.mmul(damped(p)).mul(e).sum();
}
const zeroAt = (made: Float64Array): number[] => [...made].flatMap((w, i) => (w === 0 ? [i] : []));

/**
 * SparseGPT as its paper has it, with an inverse for each column: the weights that are left take over
 * err · [H⁻¹]_0 / [H⁻¹]_00 of what is gone, and a group is chosen by w² / [H⁻¹]_00 as soon as it is reached.
 */
function byInverses(p: SparsityProblem, width: number, choose: (scores: number[][]) => boolean[][]): number[] {
  const { rows, columns: n } = p;
  const h = damped(p);
  const w = Matrix.from1DArray(rows, n, [...p.weights]);
  const rest = (from: number): Matrix => inverse(h.subMatrix(from, n - 1, from, n - 1));
  for (let s = 0; s < n; s += width) {
    const end = Math.min(n, s + width);
    const scores = Array.from({ length: rows }, (_, r) =>
      Array.from({ length: end - s }, (_, k) => w.get(r, s + k) ** 2 / rest(s + k).get(0, 0)),
    );
    const gone = choose(scores);
    for (let i = s; i < end; i++) {
      const own = rest(i);
      for (let r = 0; r < rows; r++) {
        if (!gone[r]![i - s]) continue;
        const err = w.get(r, i) / own.get(0, 0);
        for (let j = i; j < n; j++) w.set(r, j, w.get(r, j) - err * own.get(0, j - i));
        w.set(r, i, 0);
      }
    }
  }
  return w.to1DArray();
}
const lowestOfRow = (count: number) => (scores: number[][]) =>
  scores.map((row) => {
    const limit = [...row].sort((a, b) => a - b)[count - 1]!;
    return row.map((s) => s <= limit);
  });
const lowestOfAll = (share: number) => (scores: number[][]) => {
  const all = scores.flat().sort((a, b) => a - b);
  const limit = all[Math.round(share * all.length) - 1]!;
  return scores.map((row) => row.map((s) => s <= limit));
};

describe('zerosOf()', () => {
  const scores = Float64Array.from([4, 1, 3, 2, 9, 8, 7, 6, 5, 5, 5, 5]);
  it.each<[string, Pattern, number, number[]]>([
    ['2:4', RATIO, 4, [1, 3, 6, 7, 8, 9]],
    ['1:3', { kind: 'ratio', zeros: 1, of: 3 }, 3, [1, 3, 8, 9]],
    ['2:4 of rows of six', RATIO, 6, [1, 3, 5, 8, 9, 10]],
    ['half of each row', { kind: 'share', share: 0.5, by: 'row' }, 4, [1, 3, 6, 7, 8, 9]],
    ['a third of all', { kind: 'share', share: 1 / 3, by: 'layer' }, 4, [0, 1, 2, 3]],
    ['blocks', { kind: 'blocks', share: 0.5, rows: 2, columns: 2 }, 4, [2, 3, 6, 7, 8, 9]],
  ])('%s', (_, pattern, columns, expected) => {
    const gone = zerosOf(scores, scores.length / columns, columns, pattern);
    expect([...gone].flatMap((g, i) => (g ? [i] : []))).toEqual(expected);
  });
});

describe('methods', () => {
  it.each([1, 2, 3])('magnitude and wanda keep what is left as it is, seed %i', (seed) => {
    const p = problem(5, 12, seed, { kind: 'share', share: 0.5, by: 'row' });
    for (const [method, score] of [
      [magnitude, (i: number) => Math.abs(p.weights[i]!)],
      [wanda, (i: number) => Math.abs(p.weights[i]!) * Math.sqrt(p.energies![i % 12]!)],
    ] as const) {
      const made = method.prune(p);
      for (let r = 0; r < 5; r++) {
        const row = Array.from({ length: 12 }, (_, c) => r * 12 + c);
        const lowest = [...row].sort((a, b) => score(a) - score(b)).slice(0, 6);
        for (const i of row) expect(made[i]).toBe(lowest.includes(i) ? 0 : p.weights[i]);
      }
    }
  });
  it.each([1, 2, 3, 4])('sparsegpt does what its paper does with inverses, seed %i', (seed) => {
    const ratio = problem(6, 16, seed, RATIO);
    const one = sparsegpt.prune(ratio, options({ sweeps: 0 }));
    byInverses(ratio, 4, lowestOfRow(2)).forEach((w, i) => expect(one[i]).toBeCloseTo(w, 8));
    const share = problem(6, 16, seed, { kind: 'share', share: 0.5, by: 'layer' });
    const other = sparsegpt.prune(share, options({ sweeps: 0, columns: 8 }));
    byInverses(share, 8, lowestOfAll(0.5)).forEach((w, i) => expect(other[i]).toBeCloseTo(w, 8));
  });
  it('sweeps bring what is left to the least squares of its zeros', () => {
    const p = problem(3, 12, 7, RATIO);
    const made = sparsegpt.prune(p, options({ sweeps: 3000 }));
    const h = damped(p);
    for (let r = 0; r < 3; r++) {
      const row = p.weights.subarray(r * 12, (r + 1) * 12);
      const left = [...row.keys()].filter((c) => made[r * 12 + c] !== 0);
      const right = left.map((i) => row.reduce((n, w, j) => n + h.get(i, j) * w, 0));
      const best = solve(
        new Matrix(left.map((i) => left.map((j) => h.get(i, j)))),
        Matrix.columnVector(right),
      ).to1DArray();
      left.forEach((c, k) => expect(made[r * 12 + c]).toBeCloseTo(best[k]!, 6));
    }
  });
  it.each([11, 12, 13])('each is closer to the outputs than the one before, seed %i', (seed) => {
    const p = problem(24, 32, seed, RATIO);
    const errors = [
      magnitude.prune(p),
      wanda.prune(p),
      sparsegpt.prune(p, options({ sweeps: 0 })),
      sparsegpt.prune(p, options()),
    ].map((made) => errorOf(p, made));
    for (let i = 1; i < errors.length; i++) expect(errors[i]).toBeLessThan(errors[i - 1]!);
    expect(errors[3]! / errors[0]!).toBeLessThan(0.5);
  });
  it.each<[string, Pattern, number]>([
    ['a share', { kind: 'share', share: 0.7, by: 'layer' }, Math.round(0.7 * 20 * 33)],
    ['a share of each row', { kind: 'share', share: 0.7, by: 'row' }, 20 * Math.round(0.7 * 33)],
    ['4:8 and what is left over', { kind: 'ratio', zeros: 4, of: 8 }, 20 * 16],
    ['blocks', { kind: 'blocks', share: 0.5, rows: 4, columns: 3 }, Math.round(0.5 * 5 * 11) * 12],
  ])('all make as many zeros: %s', (_, pattern, count) => {
    const p = problem(20, 33, 5, pattern);
    expect(zeroAt(magnitude.prune(p))).toHaveLength(count);
    expect(zeroAt(wanda.prune(p))).toHaveLength(count);
    for (const columns of [8, 128]) expect(zeroAt(sparsegpt.prune(p, options({ columns })))).toHaveLength(count);
  });
  it('sees each group with its own inputs, and gives the same twice', () => {
    const [a, b] = [problem(4, 8, 1, RATIO), problem(4, 8, 2, RATIO)];
    const both: SparsityProblem = {
      ...a,
      groups: 2,
      weights: Float64Array.from([...a.weights, ...b.weights]),
      energies: Float64Array.from([...a.energies!, ...b.energies!]),
      products: [...a.products!, ...b.products!],
    };
    expect([...sparsegpt.prune(both, options())]).toEqual([
      ...sparsegpt.prune(a, options()),
      ...sparsegpt.prune(b, options()),
    ]);
    expect([...wanda.prune(both)]).toEqual([...wanda.prune(a), ...wanda.prune(b)]);
  });
});
