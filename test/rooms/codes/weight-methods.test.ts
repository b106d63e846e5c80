/**
 * Methods that choose scales and zero points: against a search over all of them, and against the formulas of their
 * sources.
 */
import { describe, expect, it } from 'vitest';
import { best } from '../../../src/codes/best.js';
import { clip } from '../../../src/codes/clip.js';
import { gptq } from '../../../src/codes/gptq.js';
import { hqq } from '../../../src/codes/hqq.js';
import { kQuant } from '../../../src/codes/k-quant.js';
import type { RowsProblem } from '../../../src/channels/layer.js';
import { round } from '../../../src/codes/round.js';
import { searchGrid } from '../../../src/codes/search.js';
import type { Solved } from '../../../src/codes/types.js';
import { createRng } from '../../../src/base/rng.js';
import { chooseParams } from '../../../src/scheme/params.js';

const GROUP = 8;
/** `rows` rows of two blocks with an outlier in each, on the grid of minmax. */
function problem(rows: number, bits: number, symmetric: boolean, seed: number): RowsProblem {
  const rng = createRng(seed);
  const columns = 2 * GROUP;
  const target = Float64Array.from(
    { length: rows * columns },
    (_, i) => rng.normal() * (i % GROUP === 3 ? 3 : 1) + 0.3,
  );
  const parts = rows * 2;
  const blocks = Array.from({ length: parts }, (_, p) => target.subarray(p * GROUP, (p + 1) * GROUP));
  const { scale, zeroPoint } = chooseParams(
    { min: Float64Array.from(blocks, (b) => Math.min(...b)), max: Float64Array.from(blocks, (b) => Math.max(...b)) },
    { dtype: symmetric ? 'int4' : 'uint4', bits, symmetric, granularity: { kind: 'tensor' } },
  );
  const hessian = new Float64Array(columns * columns);
  for (let i = 0; i < columns; i++) hessian[i * columns + i] = 1;
  const [low, high] = symmetric ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  return {
    rows,
    columns,
    target,
    hessian,
    grid: {
      part: Int32Array.from(target, (_, i) => Math.floor(i / GROUP)),
      scale: Float64Array.from(scale),
      zeroPoint,
      low,
      high,
      symmetric,
    },
  };
}
const values = (p: RowsProblem, s: Solved): Float64Array =>
  Float64Array.from(s.codes, (q, at) => (q - s.zeroPoint[p.grid.part[at]!]!) * s.scale[p.grid.part[at]!]!);
const error = (p: RowsProblem, s: Solved, power = 2, weight = (_x: number, _part: number) => 1): number =>
  values(p, s).reduce(
    (sum, x, at) => sum + weight(p.target[at]!, p.grid.part[at]!) * Math.abs(x - p.target[at]!) ** power,
    0,
  );
const sound = (p: RowsProblem, s: Solved): void => {
  expect(Math.min(...s.codes)).toBeGreaterThanOrEqual(p.grid.low);
  expect(Math.max(...s.codes)).toBeLessThanOrEqual(p.grid.high);
  expect([...s.scale].every((x) => x > 0 && Number.isFinite(x))).toBe(true);
  if (p.grid.symmetric) expect(s.zeroPoint).toEqual(p.grid.zeroPoint);
  else expect([...s.zeroPoint].every((z) => z >= p.grid.low && z <= p.grid.high)).toBe(true);
};
const CASES = [2, 3, 4].flatMap((bits) => [true, false].map((symmetric) => [bits, symmetric] as const));

describe.each(CASES)('%i bits, symmetric: %s', (bits, symmetric) => {
  const p = problem(10, bits, symmetric, 10 * bits);
  const plain = error(p, round.solve(p));

  it('clip finds what a search over scales and zero points finds', () => {
    const made = clip.solve(p, { steps: 200 });
    sound(p, made);
    let best = 0;
    for (let part = 0; part < p.grid.scale.length; part++) {
      const own = [...p.target].filter((_, at) => p.grid.part[at] === part);
      let least = Infinity;
      const zeros = symmetric
        ? [p.grid.zeroPoint[part]!]
        : Array.from({ length: p.grid.high - p.grid.low + 1 }, (_, i) => p.grid.low + i);
      for (const z of zeros)
        for (let f = 0.2; f <= 1; f += 0.002) {
          const s = f * p.grid.scale[part]!;
          least = Math.min(
            least,
            own.reduce(
              (sum, x) => sum + (x - (Math.min(p.grid.high, Math.max(p.grid.low, Math.round(x / s) + z)) - z) * s) ** 2,
              0,
            ),
          );
        }
      best += least;
    }
    expect(error(p, made)).toBeLessThan(1.02 * best);
    expect(error(p, made)).toBeLessThan(plain);
  });

  it('clip weighs errors with the inputs', () => {
    const hessian = p.hessian.slice();
    for (let c = 0; c < p.columns; c++) hessian[c * p.columns + c] = c % 3 === 0 ? 100 : 1;
    const weighted = (s: Solved): number =>
      values(p, s).reduce(
        (sum, x, at) => sum + hessian[(at % p.columns) * (p.columns + 1)]! * (x - p.target[at]!) ** 2,
        0,
      );
    expect(weighted(clip.solve({ ...p, hessian }, { steps: 40 }))).toBeLessThan(weighted(clip.solve(p, { steps: 40 })));
  });

  it('hqq has a smaller p-norm of the error than rounding', () => {
    const made = hqq.solve(p, hqq.options.parse({}));
    sound(p, made);
    expect(error(p, made, 0.7)).toBeLessThan(error(p, round.solve(p), 0.7));
  });

  it('k-quant has a smaller weighted error than rounding', () => {
    const level = (part: number): number =>
      Math.sqrt([...p.target].filter((_, at) => p.grid.part[at] === part).reduce((s, x) => s + x * x, 0) / GROUP);
    const levels = Array.from(p.grid.scale, (_, part) => level(part));
    const weight = (x: number, part: number): number => levels[part]! + Math.abs(x);
    const made = kQuant.solve(p, { steps: 20 });
    sound(p, made);
    expect(error(p, made, 2, weight)).toBeLessThan(error(p, round.solve(p), 2, weight));
  });

  it('gptq in blocks keeps the scales that the search chose, whatever the order of columns', () => {
    const chosen = searchGrid(p, 40);
    // positive definite: 1 + a rank of one
    const hessian = p.hessian.map((x, i) => x + 0.5 * Math.cos(Math.floor(i / p.columns)) * Math.cos(i % p.columns));
    for (const actOrder of [true, false]) {
      const made = gptq.solve({ ...p, hessian }, { actOrder, scaleSearch: 40, sweeps: 0 });
      sound(p, made);
      expect(made.zeroPoint.length).toBe(chosen.zeroPoint.length);
    }
  });
});

it('weights on a grid are kept to the digit by every method', () => {
  const p = problem(4, 4, false, 5);
  const target = Float64Array.from(p.target, (_, at) => {
    const part = p.grid.part[at]!;
    return (((at * 7) % 16) - p.grid.zeroPoint[part]!) * p.grid.scale[part]!;
  });
  const exact = { ...p, target };
  for (const made of [
    round.solve(exact),
    clip.solve(exact, { steps: 40 }),
    hqq.solve(exact, hqq.options.parse({})),
    kQuant.solve(exact, { steps: 20 }),
  ])
    expect(error(exact, made)).toBeLessThan(1e-20);
});

it.each([2, 3, 4])('a weight that symmetric codes of %i bits cut off is reached by a wider scale', (bits) => {
  const p = problem(1, bits, true, 1);
  const target = new Float64Array(16);
  target[3] = 10; // one level less above zero than below
  const scale = p.grid.scale.map(() => 10 / (2 ** (bits - 1) - 0.5));
  const single = { ...p, target, grid: { ...p.grid, scale } };
  expect(error(single, round.solve(single))).toBeGreaterThan(1 / 4 ** bits);
  for (const made of [
    clip.solve(single, { steps: 40 }),
    gptq.solve(single, { actOrder: true, scaleSearch: 40, sweeps: 2 }),
  ])
    expect(error(single, made)).toBeLessThan(1e-20);
});

it('zeros, constants and single weights have defined answers', () => {
  for (const fill of [0, 3, -2e-30]) {
    const p = { ...problem(1, 4, false, 1), target: new Float64Array(16).fill(fill) };
    for (const made of [
      clip.solve(p, { steps: 40 }),
      hqq.solve(p, hqq.options.parse({})),
      kQuant.solve(p, { steps: 20 }),
    ]) {
      sound(p, made);
      expect([...values(p, made)].every(Number.isFinite)).toBe(true);
    }
  }
});

describe('scales with a sign', () => {
  const scheme = { dtype: 'uint4', symmetric: true, signedScale: true, granularity: { kind: 'tensor' } } as const;
  const range = (min: number, max: number) => ({ min: Float64Array.of(min), max: Float64Array.of(max) });

  it.each<[string, number, number, number, number]>([
    ['the largest above zero', -1, 2, -0.25, 8],
    ['the largest below zero', -2, 1, 0.25, 8],
    ['both alike', -2, 2, 0.25, 8],
    ['nothing', 0, 0, 1, 8],
    ['less than a scale can be', -1e-40, 1e-41, 1, 8],
    ['infinite', -Infinity, 1, 2 ** 125, 8],
  ])('%s', (_name, min, max, scale, zeroPoint) => {
    const made = chooseParams(range(min, max), scheme);
    expect(made.scale[0]! / scale).toBeCloseTo(1, 6);
    expect(made.zeroPoint[0]).toBe(zeroPoint);
  });

  it.each([
    ['2 bits', 'uint2', 2, [-0.5, 0]],
    ['3 bits of 4', 'uint4', 4, [-0.25, 0]],
  ] as const)('%s: the largest value is exact', (_name, dtype, zero, [scale]) => {
    const bits = dtype === 'uint4' ? { bits: 3 } : {};
    const made = chooseParams(range(-0.3, 1), { ...scheme, dtype, ...bits });
    expect([made.scale[0], made.zeroPoint[0]]).toEqual([scale, zero]);
  });

  it.each([2, 3, 4])('every method keeps what one sign gives, or betters it, at %i bits', (bits) => {
    const p = problem(10, bits, true, 7 * bits);
    const starts = Float64Array.from(p.grid.scale, (s, i) => {
      const own = [...p.target].filter((_, at) => p.grid.part[at] === i);
      const peak = own.reduce((a, x) => (Math.abs(x) > Math.abs(a) ? x : a), 0);
      return Math.sign(-peak) * Math.abs(s);
    });
    const signed: RowsProblem = { ...p, grid: { ...p.grid, signed: true, scale: starts } };
    const [one, both] = [clip.solve(p, { steps: 40 }), clip.solve(signed, { steps: 40 })];
    expect(error(p, both)).toBeLessThan(error(p, one));
    expect([...both.scale].some((s) => s < 0)).toBe(true);
    for (const made of [
      kQuant.solve(signed, { steps: 20 }),
      hqq.solve(signed, hqq.options.parse({})),
      gptq.solve(signed, gptq.options.parse({})),
      best.solve(signed, best.options.parse({})),
    ]) {
      expect(made.zeroPoint).toEqual(p.grid.zeroPoint);
      expect(error(p, made)).toBeLessThan(error(p, round.solve(signed)));
    }
  });
});

describe('best', () => {
  /** Σ x·xᵀ of inputs that go together. */
  const withInputs = (p: RowsProblem): RowsProblem => {
    const rng = createRng(3);
    const hessian = new Float64Array(p.columns ** 2);
    for (let s = 0; s < 40; s++) {
      const shared = rng.normal();
      const x = Float64Array.from({ length: p.columns }, (_, c) => rng.normal() * (c % 4 === 0 ? 4 : 1) + shared);
      for (let a = 0; a < p.columns; a++)
        for (let b = 0; b < p.columns; b++) hessian[a * p.columns + b]! += x[a]! * x[b]!;
    }
    return { ...p, hessian };
  };
  const outputs = (p: RowsProblem, s: Solved, row: number): number => {
    const e = values(p, s)
      .map((v, at) => v - p.target[at]!)
      .slice(row * p.columns, (row + 1) * p.columns);
    let sum = 0;
    for (let a = 0; a < p.columns; a++)
      for (let b = 0; b < p.columns; b++) sum += e[a]! * p.hessian[a * p.columns + b]! * e[b]!;
    return sum;
  };

  it('errs no more than gptq in any row, and less in some', () => {
    const p = withInputs(problem(24, 2, true, 5));
    const [plain, made] = [gptq.solve(p, { actOrder: true, scaleSearch: 40, sweeps: 4 }), best.solve(p, { sweeps: 4 })];
    const gains = Array.from({ length: p.rows }, (_, r) => outputs(p, plain, r) - outputs(p, made, r));
    expect(Math.min(...gains)).toBeGreaterThan(-1e-9);
    expect(Math.max(...gains)).toBeGreaterThan(0);
  });

  it('is clip with four codes and k-quant with more where nothing is known of inputs', () => {
    const [two, four] = [problem(4, 2, true, 1), problem(4, 4, true, 1)];
    expect(best.solve(two, { sweeps: 4 })).toEqual(clip.solve(two, { steps: 40 }));
    expect(best.solve(four, { sweeps: 4 })).toEqual(kQuant.solve(four, { steps: 20 }));
  });
});
