import { describe, expect, it } from 'vitest';
import { weightMethods } from '../../../src/codes/index.js';
import { gptq } from '../../../src/codes/gptq.js';
import type { RowsProblem } from '../../../src/channels/layer.js';
import { round } from '../../../src/codes/round.js';
import { quantizeLayerwise } from '../../../src/codes/run.js';
import type { Solved, WeightMethod } from '../../../src/codes/types.js';
import { reverseCholesky, solveReverse } from '../../../src/codes/linear.js';
import { dot } from '../../../src/codes/linear-kernels.js';
import { createRng } from '../../../src/base/rng.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { openModel } from '../../../src/runtime/open.js';
import { dequantize, quantize } from '../../../src/scheme/arithmetic.js';
import { header, prepareText, type Case } from '../analyse/helpers.js';

/** XᵀX of n random vectors that hang together, and a little on the diagonal. */
function gram(k: number, seed: number): Float64Array {
  const rng = createRng(seed);
  const h = new Float64Array(k * k);
  for (let n = 0; n < 4 * k; n++) {
    const common = rng.normal();
    const x = Float64Array.from({ length: k }, () => rng.normal() + 2 * common);
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) h[i * k + j]! += x[i]! * x[j]!;
  }
  for (let i = 0; i < k; i++) h[i * k + i]! += 1;
  return h;
}

describe('linear algebra', () => {
  it.each([1, 2, 7, 40])('factors and solves a matrix of %i', (k) => {
    const h = gram(k, k);
    const l = reverseCholesky(h, k);
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < k; j++) {
        let sum = 0;
        for (let m = 0; m < k; m++) sum += l[m * k + i]! * l[m * k + j]!; // LᵀL
        expect(sum / h[i * k + i]!).toBeCloseTo(h[i * k + j]! / h[i * k + i]!, 9);
        if (j > i) expect(l[i * k + j]).toBe(0);
      }
    }
    const x = Float64Array.from({ length: k }, (_, i) => i - 1.5);
    const right = Float64Array.from({ length: k }, (_, i) => dot(h, i * k, x, 0, k));
    solveReverse(l, k, right, 1, new Float64Array(256));
    right.forEach((v, i) => expect(v).toBeCloseTo(x[i]!, 7));
  });

  it('keeps finite numbers where a matrix is singular', () => {
    expect(
      [...reverseCholesky(Float64Array.of(1, 1, 1, 1), 2), ...reverseCholesky(new Float64Array(4), 2)].every(
        Number.isFinite,
      ),
    ).toBe(true);
  });
});

function problem(rows: number, columns: number, seed: number, bits: number): RowsProblem {
  const rng = createRng(seed);
  const target = Float64Array.from({ length: rows * columns }, () => rng.normal());
  const high = 2 ** (bits - 1) - 1;
  const part = Int32Array.from(target, (_, at) => Math.floor(at / columns));
  const scale = Float64Array.from(
    { length: rows },
    (_, r) => Math.max(...target.subarray(r * columns, (r + 1) * columns).map(Math.abs)) / high,
  );
  return {
    rows,
    columns,
    target,
    hessian: gram(columns, seed + 1),
    grid: { part, scale, zeroPoint: new Int32Array(rows), low: -high - 1, high, symmetric: true },
  };
}
/** Σ eᵀHe over the rows. */
function errorOf(p: RowsProblem, s: Solved): number {
  let sum = 0;
  for (let r = 0; r < p.rows; r++) {
    const e = Float64Array.from({ length: p.columns }, (_, c) => {
      const at = r * p.columns + c;
      const part = p.grid.part[at]!;
      return p.target[at]! - (s.codes[at]! - s.zeroPoint[part]!) * s.scale[part]!;
    });
    for (let c = 0; c < p.columns; c++) sum += e[c]! * dot(p.hessian, c * p.columns, e, 0, p.columns);
  }
  return sum;
}

describe('gptq', () => {
  const plain = { actOrder: false, scaleSearch: 0, sweeps: 0 };
  it.each([2, 3, 4])('errs less than rounding at %i bits, and each refinement helps', (bits) => {
    const p = problem(12, 30, bits, bits);
    const errors = [
      round.solve(p),
      gptq.solve(p, plain),
      gptq.solve(p, { ...plain, actOrder: true, scaleSearch: 20 }),
      gptq.solve(p, { actOrder: true, scaleSearch: 20, sweeps: 8 }),
    ].map((s) => errorOf(p, s));
    expect(errors[1]!).toBeLessThan(0.7 * errors[0]!);
    expect(errors[2]!).toBeLessThan(errors[1]!);
    expect(errors[3]!).toBeLessThan(errors[2]!);
  });

  it('finds the best codes of two columns that a search over all finds', () => {
    for (let seed = 0; seed < 20; seed++) {
      const p = problem(1, 2, seed, 3);
      const own = errorOf(p, gptq.solve(p, { ...plain, sweeps: 8, actOrder: true }));
      let best = Infinity;
      for (let a = p.grid.low; a <= p.grid.high; a++)
        for (let b = p.grid.low; b <= p.grid.high; b++)
          best = Math.min(
            best,
            errorOf(p, { codes: Int32Array.of(a, b), scale: p.grid.scale, zeroPoint: p.grid.zeroPoint }),
          );
      expect(own).toBeLessThan(1.2 * best + 1e-9); // a fitted scale may even beat the given one
    }
  });

  it('rounds where inputs are independent, keeps codes in range and leaves shared scales alone', () => {
    const p = problem(4, 6, 9, 4);
    const hessian = new Float64Array(36);
    for (let i = 0; i < 6; i++) hessian[i * 7] = 1;
    expect(gptq.solve({ ...p, hessian }, plain).codes).toEqual(round.solve(p).codes);
    const one = {
      ...p,
      grid: { ...p.grid, part: new Int32Array(24), scale: Float64Array.of(0.05), zeroPoint: Int32Array.of(0) },
    };
    const made = gptq.solve(one, { actOrder: true, scaleSearch: 0, sweeps: 4 });
    expect(made.scale).toEqual(Float64Array.of(0.05));
    expect(Math.min(...made.codes)).toBe(-8);
    expect(Math.max(...made.codes)).toBe(7);
  });
});

/** As the list has them: their option types forgotten. */
const methods = {
  round: weightMethods.find((m) => m.name === 'round')!,
  gptq: weightMethods.find((m) => m.name === 'gptq')!,
};
const net = `${
  header
}\ng (float[N,3,8,8] x) => (float[N,5] y) <float[8,3,3,3] w1, float[8] b1, float[8,1,3,3] w2, float[8] b2, float[5,8] w3, float[5] b3> {
  [one] a = Conv<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x, w1, b1) b = Relu(a)
  [two] c = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=8>(b, w2, b2) d = Relu(c)
  e = GlobalAveragePool(d) f = Flatten(e) [three] y = Gemm<transB=1>(f, w3, b3) }`;
const settings =
  'activations: { observer: minmax, dtype: uint16 }\nweights: { dtype: int4, bits: 3, granularity: channel }';
const feedsOf = (c: Case) =>
  async function* (): AsyncGenerator<Feed> {
    for (const s of c.used)
      for (const f of s.feeds) {
        yield f;
        await Promise.resolve();
      }
  };

async function refined(
  method: WeightMethod,
  more: Partial<Parameters<typeof quantizeLayerwise>[0]> = {},
): Promise<{ c: Case; float: Model; codes: boolean }> {
  const c = await prepareText(net, 'qdq', { settings });
  const reference = cloneModel(c.model);
  // activations stay float, as in the models that are compared
  const params = new Map([...c.params].filter(([point]) => 'uses' in point && point.data));
  const made = await quantizeLayerwise({
    model: c.model,
    reference,
    planned: c.planned,
    params,
    method,
    methodOptions: { actOrder: true, scaleSearch: 20, sweeps: 4 },
    damping: 0.01,
    matchFloat: true,
    hasInputs: true,
    correctBias: false,
    correctScale: false,
    feeds: feedsOf(c),
    samples: c.used.length,
    threads: 1,
    report: () => undefined,
    ...more,
  });
  const codes = [...made.params].every(([point, p]) => {
    const v = point as unknown as { data: { f32(): Float32Array; dims: readonly number[] } };
    return dequantize(quantize(v.data.f32(), v.data.dims, p), p).every((x, i) => x === v.data.f32()[i]);
  }); // points of weights are values
  return { c, float: reference.model, codes };
}
/** Mean squared error and mean error of the outputs. */
async function outputError(float: Model, made: Model, c: Case): Promise<{ square: number; mean: number }> {
  const [a, b] = [await openModel(float), await openModel(made)];
  let [square, mean, n] = [0, 0, 0];
  for await (const feed of feedsOf(c)()) {
    // float32 outputs
    const [x, y] = [(await a.run(feed)).y!.data as Float32Array, (await b.run(feed)).y!.data as Float32Array];
    x.forEach((v, i) => {
      square += (v - y[i]!) ** 2;
      mean += v - y[i]!;
      n++;
    });
  }
  await a.close();
  await b.close();
  return { square: square / n, mean: mean / n };
}

describe('quantizeLayerwise', () => {
  it('gives weights that their codes reproduce exactly, with less error than rounding', async () => {
    const [plain, better] = [await refined(methods.round), await refined(methods.gptq)];
    expect([plain.codes, better.codes]).toEqual([true, true]);
    expect((await outputError(better.float, better.c.model, better.c)).square).toBeLessThan(
      0.5 * (await outputError(plain.float, plain.c.model, plain.c)).square,
    );
  });

  it('moves the mean of the outputs back by biases', async () => {
    const plain = await refined(methods.round);
    const bias = await refined(methods.round, { correctBias: true });
    expect(Math.abs((await outputError(bias.float, bias.c.model, bias.c)).mean)).toBeLessThan(
      1e-4 * Math.abs((await outputError(plain.float, plain.c.model, plain.c)).mean),
    );
  });

  it('makes outputs of a layer vary as in the float model', async () => {
    const { c, float } = await refined(methods.round, { correctBias: true, correctScale: true });
    const spread = async (m: Model): Promise<number[]> => {
      const copy = cloneModel(m).model;
      for (const n of copy.graph.nodes) if (n.name === 'one') copy.graph.addOutput(n.outputs[0]!);
      const session = await openModel(copy);
      const sums = Array.from({ length: 8 }, () => [0, 0, 0]);
      for await (const feed of feedsOf(c)()) {
        const { a } = await session.run(feed);
        (a!.data as Float32Array).forEach((v, i) => {
          const s = sums[Math.floor(i / 16) % 8]!;
          s[0]! += v;
          s[1]! += v * v;
          s[2]!++;
        });
      }
      await session.close();
      return sums.map(([sum, square, n]) => Math.sqrt(square! / n! - (sum! / n!) ** 2));
    };
    const [wanted, got] = [await spread(float), await spread(c.model)];
    got.forEach((v, i) => expect(v / wanted[i]!).toBeCloseTo(1, 2));
  });

  it('tells which layer it is at and, from the second on, how long the rest takes', async () => {
    const told: { note?: string; secondsLeft?: number | undefined }[] = [];
    await refined(methods.gptq, {
      onEvent: (e) => {
        if (e.type === 'progress' && e.stage === 'weights') told.push(e);
      },
    });
    expect([...new Set(told.map((e) => e.note))]).toEqual(['layer 1 of 3', 'layer 2 of 3', 'layer 3 of 3']);
    for (const e of told)
      if (e.note === 'layer 1 of 3') expect(e.secondsLeft).toBeUndefined();
      else expect(e.secondsLeft).toBeGreaterThanOrEqual(0);
  });

  it('takes inputs for methods that can do without only where there are calibration data', async () => {
    const clip = weightMethods.find((m) => m.name === 'clip')!;
    const weights = async (method: WeightMethod, hasInputs: boolean): Promise<number[][]> =>
      [...(await refined(method, { methodOptions: { steps: 40 }, hasInputs })).c.model.graph.initializers].map((v) => [
        ...v.data!.f64(),
      ]);
    expect(await weights(clip, true)).not.toEqual(await weights(clip, false));
    expect(await weights(methods.round, true)).toEqual(await weights(methods.round, false));
  });

  it('is repeatable to the bit', async () => {
    const weights = async (): Promise<number[][]> =>
      [...(await refined(methods.gptq, { correctBias: true })).c.model.graph.initializers].map((v) => [
        ...v.data!.f64(),
      ]);
    expect(await weights()).toEqual(await weights());
  });
});
