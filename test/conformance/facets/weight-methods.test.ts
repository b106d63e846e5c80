/** Weight methods against plain references of small layers, and against rounding on what layers are given. */
import { describe, expect, it } from 'vitest';
import { gptq } from '../../../src/codes/gptq.js';
import { hqq } from '../../../src/codes/hqq.js';
import { weightMethods as layerwise } from '../../../src/codes/index.js';
import { learnedMethods } from '../../../src/learn/index.js';
import type { RowsProblem } from '../../../src/channels/layer.js';
import { round } from '../../../src/codes/round.js';
import type { Solved } from '../../../src/codes/types.js';
import { createRng } from '../../../src/base/rng.js';

const weightMethods = [...layerwise, ...learnedMethods];
const BLOCK = 8;
type Grain = 'tensor' | 'row' | 'block';
/** A layer of heavy-tailed weights on the grid of their extremes; `alike` is how much of each input all share. */
function layer(
  rows: number,
  columns: number,
  bits: number,
  symmetric: boolean,
  grain: Grain,
  alike: number,
  seed: number,
) {
  const rng = createRng(seed, 'conformance/weights');
  const target = Float64Array.from({ length: rows * columns }, () => rng.normal() * (rng.int(10) ? 1 : 2.5) + 0.2);
  const perRow = grain === 'block' ? columns / BLOCK : 1;
  const part = Int32Array.from(target, (_, at) =>
    grain === 'tensor'
      ? 0
      : Math.floor(at / columns) * perRow + (grain === 'block' ? Math.floor((at % columns) / BLOCK) : 0),
  );
  const parts = Math.max(...part) + 1;
  const [low, high] = symmetric ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  const scale = new Float64Array(parts);
  const zeroPoint = new Int32Array(parts);
  for (let p = 0; p < parts; p++) {
    const own = [...target].filter((_, at) => part[at] === p);
    const [min, max] = [Math.min(0, ...own), Math.max(0, ...own)];
    scale[p] = (symmetric ? 2 * Math.max(-min, max) : max - min) / (high - low);
    zeroPoint[p] = symmetric ? 0 : Math.round(low - min / scale[p]!); // just set
  }
  const inputs = Array.from({ length: 4 * columns }, () => {
    const common = rng.normal();
    return Array.from({ length: columns }, (_, c) => ((1 - alike) * rng.normal() + alike * common) * (1 + (c % 3)));
  });
  const hessian = new Float64Array(columns ** 2);
  for (const x of inputs)
    for (let i = 0; i < columns; i++) for (let j = 0; j < columns; j++) hessian[i * columns + j]! += x[i]! * x[j]!;
  for (let i = 0; i < columns; i++) hessian[i * columns + i]! *= 1.01;
  const problem: RowsProblem = {
    rows,
    columns,
    target,
    hessian,
    grid: { part, scale, zeroPoint, low, high, symmetric },
  };
  return { problem, inputs };
}
const valueOf = (p: RowsProblem, s: Solved, at: number, code = s.codes[at]!): number =>
  (code - s.zeroPoint[p.grid.part[at]!]!) * s.scale[p.grid.part[at]!]!; // every element has a part
/** Σ (W·x − Ŵ·x)² over the calibration inputs. */
function outputError(p: RowsProblem, s: Solved, inputs: readonly (readonly number[])[]): number {
  let sum = 0;
  for (const x of inputs)
    for (let r = 0; r < p.rows; r++)
      sum += x.reduce((y, v, c) => y + (p.target[r * p.columns + c]! - valueOf(p, s, r * p.columns + c)) * v, 0) ** 2;
  return sum;
}
/** Σ weight·|w − ŵ|^power over the weights. */
const weightError = (p: RowsProblem, s: Solved, power: number, weight: (at: number) => number = () => 1): number =>
  p.target.reduce((sum, w, at) => sum + weight(at) * Math.abs(w - valueOf(p, s, at)) ** power, 0);
const energy = ({ hessian, columns }: RowsProblem, at: number): number => hessian[(at % columns) * (columns + 1)]!;

const LAYERS = [2, 3, 4, 8].flatMap((bits) =>
  [true, false].flatMap((symmetric) =>
    (['tensor', 'row', 'block'] as const).map((grain) => ({ bits, symmetric, grain })),
  ),
);

/** What a method promises to make no greater than rounding does. */
const PROMISES: Readonly<
  Record<string, (p: RowsProblem, s: Solved, inputs: readonly (readonly number[])[]) => number>
> = {
  round: (p, s) => weightError(p, s, 2),
  clip: (p, s) => weightError(p, s, 2, (at) => energy(p, at)),
  hqq: (p, s) => weightError(p, s, 0.7),
  // Large weights count more: √⟨w²⟩ of the part and |w|.
  'k-quant': (p, s) => {
    const { part, scale } = p.grid;
    const levels = Array.from(scale, (_, k) => {
      const own = [...p.target].filter((_w, at) => part[at] === k);
      return Math.sqrt(own.reduce((sum, w) => sum + w * w, 0) / own.length);
    });
    return weightError(p, s, 2, (at) => energy(p, at) * (levels[part[at]!]! + Math.abs(p.target[at]!)));
  },
  gptq: (p, s, inputs) => outputError(p, s, inputs),
  best: (p, s, inputs) => outputError(p, s, inputs),
  adaround: (p, s, inputs) => outputError(p, s, inputs),
  adaquant: (p, s, inputs) => outputError(p, s, inputs),
  brecq: (p, s, inputs) => outputError(p, s, inputs),
};

it('every method has a promise', () => {
  expect(Object.keys(PROMISES).sort()).toEqual(weightMethods.map((m) => m.name).sort());
});

describe.each(weightMethods.map((m) => [m.name, m] as const))('%s', (name, method) => {
  const options = method.options.parse({});
  it.each(LAYERS)('has codes in range and errs no more than rounding: %o', ({ bits, symmetric, grain }) => {
    for (const seed of [1, 2]) {
      const { problem, inputs } = layer(5, 2 * BLOCK, bits, symmetric, grain, 0.6, seed);
      const made = method.solve(problem, options);
      const { low, high, zeroPoint } = problem.grid;
      expect(made.codes.every((q) => q >= low && q <= high)).toBe(true);
      expect(made.scale.every((x) => x > 0 && Number.isFinite(x))).toBe(true);
      expect(made.zeroPoint.every((z, p) => (symmetric ? z === zeroPoint[p] : z >= low && z <= high))).toBe(true);
      const plain = round.solve(problem);
      expect(PROMISES[name]!(problem, made, inputs)).toBeLessThanOrEqual(
        PROMISES[name]!(problem, plain, inputs) * (1 + 1e-12),
      );
    }
  });
  it('errs no more than rounding on the outputs of layers, taken together', () => {
    let [own, plain] = [0, 0];
    for (const { bits, symmetric, grain } of LAYERS) {
      const { problem, inputs } = layer(5, 2 * BLOCK, bits, symmetric, grain, 0.2, bits);
      const before = outputError(problem, round.solve(problem), inputs);
      own += outputError(problem, method.solve(problem, options), inputs) / before;
      plain++;
    }
    expect(own).toBeLessThanOrEqual(plain);
  });
});

it('round takes the nearest of all codes', () => {
  for (const { bits, symmetric, grain } of LAYERS.filter((l) => l.bits < 8)) {
    const { problem: p } = layer(4, BLOCK, bits, symmetric, grain, 0.5, 9);
    const made = round.solve(p);
    p.target.forEach((w, at) => {
      let best = Infinity;
      for (let q = p.grid.low; q <= p.grid.high; q++) best = Math.min(best, Math.abs(w - valueOf(p, made, at, q)));
      expect(Math.abs(w - valueOf(p, made, at))).toBeCloseTo(best, 12);
    });
  }
});

/** Of a symmetric positive matrix, by Gauss and Jordan. */
function inverted(h: Float64Array, n: number): number[][] {
  const a = Array.from({ length: n }, (_, i) =>
    Array.from({ length: 2 * n }, (_x, j) => (j < n ? h[i * n + j]! : j - n === i ? 1 : 0)),
  );
  for (let i = 0; i < n; i++) {
    const pivot = a[i]![i]!; // positive
    a[i] = a[i]!.map((x) => x / pivot);
    for (let r = 0; r < n; r++) {
      const f = a[r]![i]!; // as are all below: n rows of 2n
      if (r !== i) a[r] = a[r]!.map((x, j) => x - f * a[i]![j]!);
    }
  }
  return a.map((row) => row.slice(n));
}
const halfEven = (x: number): number => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
/** As the paper says it: after each column the others take up its error, by the inverse of what is left of H. */
function textbook(p: RowsProblem): Int32Array {
  const { rows, columns: n, grid } = p;
  const codes = new Int32Array(rows * n);
  for (let r = 0; r < rows; r++) {
    const w = [...p.target.subarray(r * n, (r + 1) * n)];
    let inverse = inverted(p.hessian, n);
    for (let c = 0; c < n; c++) {
      const k = grid.part[r * n + c]!; // every element has a part
      const [s, z] = [grid.scale[k]!, grid.zeroPoint[k]!]; // as above
      const q = Math.min(grid.high, Math.max(grid.low, halfEven(w[c]! / s) + z));
      codes[r * n + c] = q;
      const error = (w[c]! - (q - z) * s) / inverse[c]![c]!; // n rows of n
      for (let j = c + 1; j < n; j++) w[j]! -= error * inverse[c]![j]!;
      const gone = inverse[c]!;
      inverse = inverse.map((row) => row.map((x, j) => x - (row[c]! * gone[j]!) / gone[c]!));
    }
  }
  return codes;
}

/** Half-quadratic splitting step by step; of the grids on its way that with the least p-norm of the error. */
function halfQuadratic(values: readonly number[], first: { scale: number; zero: number }, p: RowsProblem['grid']) {
  const { low, high, symmetric } = p;
  const [power, kappa, rounds] = [0.7, 1.01, 20];
  const codeOf = (w: number, s: number, z: number): number => Math.min(high, Math.max(low, halfEven(w / s + z)));
  const norm = (s: number, z: number): number =>
    values.reduce((n, w) => n + Math.abs(w - (codeOf(w, s, z) - z) * s) ** power, 0);
  const shrink = (x: number, beta: number): number =>
    x === 0 ? 0 : Math.sign(x) * Math.max(0, Math.abs(x) - Math.abs(x) ** (power - 1) / beta);
  /** The scale that is best for given codes. */
  const fitted = (w: readonly number[], q: readonly number[]): number =>
    q.reduce((n, k, i) => n + k * w[i]!, 0) / q.reduce((n, k) => n + k * k, 0);
  let { scale, zero } = first;
  let best = first;
  let [beta, least] = [10, Infinity];
  for (let round = 0; round < rounds; round++, beta *= kappa) {
    const q = values.map((w) => codeOf(w, scale, zero));
    const errors = values.map((w, i) => w - (q[i]! - zero) * scale);
    const off = errors.reduce((n, e) => n + Math.abs(e), 0);
    if (off >= least) break;
    least = off;
    const rest = values.map((w, i) => w - shrink(errors[i]!, beta));
    if (symmetric)
      scale = fitted(
        rest,
        q.map((k) => k - zero),
      );
    else zero = q.reduce((n, k, i) => n + k - rest[i]! / scale, 0) / q.length;
    const whole = Math.min(high, Math.max(low, halfEven(zero)));
    if (norm(scale, whole) < norm(best.scale, best.zero)) best = { scale, zero: whole };
  }
  if (symmetric) return best;
  const again = fitted(
    values,
    values.map((w) => codeOf(w, best.scale, best.zero) - best.zero),
  );
  return norm(again, best.zero) < norm(best.scale, best.zero) ? { scale: again, zero: best.zero } : best;
}
it.each(LAYERS)('hqq has the grids of its definition: %o', ({ bits, symmetric, grain }) => {
  const { problem } = layer(5, 2 * BLOCK, bits, symmetric, grain, 0.5, 7);
  const { part, scale, zeroPoint } = problem.grid;
  const made = hqq.solve(problem, hqq.options.parse({}));
  scale.forEach((s, k) => {
    const own = [...problem.target].filter((_w, at) => part[at] === k);
    const expected = halfQuadratic(own, { scale: s, zero: zeroPoint[k]! }, problem.grid); // a part has both
    expect(made.zeroPoint[k]).toBe(expected.zero);
    expect(made.scale[k]! / expected.scale).toBeCloseTo(1, 9);
  });
});

describe('gptq', () => {
  const plain = { actOrder: false, scaleSearch: 0, sweeps: 0 };
  it.each(LAYERS)('has the codes of the textbook: %o', ({ bits, symmetric, grain }) => {
    const { problem } = layer(4, 2 * BLOCK, bits, symmetric, grain, 0.6, 4);
    expect(gptq.solve(problem, plain).codes).toEqual(textbook(problem));
  });
  it('with the largest inputs first is the textbook on columns in that order', () => {
    const { problem: p } = layer(4, 2 * BLOCK, 3, true, 'row', 0.6, 5);
    const n = p.columns;
    const order = [...Array(n).keys()].sort((a, b) => p.hessian[b * (n + 1)]! - p.hessian[a * (n + 1)]!);
    const turned: RowsProblem = {
      ...p,
      target: p.target.map((_, at) => p.target[Math.floor(at / n) * n + order[at % n]!]!),
      hessian: p.hessian.map((_, at) => p.hessian[order[Math.floor(at / n)]! * n + order[at % n]!]!),
    };
    const expected = new Int32Array(p.target.length);
    textbook(turned).forEach((q, at) => {
      expected[Math.floor(at / n) * n + order[at % n]!] = q; // a permutation
    });
    expect(gptq.solve(p, { ...plain, actOrder: true }).codes).toEqual(expected);
  });
  it('leaves no single code that would do better, once it has swept', () => {
    const { problem: p, inputs } = layer(3, BLOCK, 3, false, 'tensor', 0.6, 6); // a scale of all rows stays
    const made = gptq.solve(p, { actOrder: true, scaleSearch: 0, sweeps: 50 });
    const damped = (s: Solved): number =>
      outputError(p, s, inputs) + (0.01 / 1.01) * weightError(p, s, 2, (at) => energy(p, at));
    const least = damped(made);
    for (let at = 0; at < made.codes.length; at++)
      for (const step of [-1, 1]) {
        const codes = made.codes.slice();
        codes[at]! += step;
        if (codes[at]! < p.grid.low || codes[at]! > p.grid.high) continue;
        expect(damped({ ...made, codes })).toBeGreaterThanOrEqual(least * (1 - 1e-9));
      }
  });
});
