/** Low rank of products and convolutions: exact at full rank, least error below it, and what ranks are chosen. */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { item } from '../../../src/base/lists.js';
import { createRng } from '../../../src/base/rng.js';
import { compressions } from '../../../src/compress/index.js';
import { rankKeeping } from '../../../src/compress/conv-forms.js';
import { cpFactors } from '../../../src/compress/cp-factors.js';
import {
  outputMatrix,
  spatialFactors,
  spatialMatrix,
  squaresOf,
  tuckerFactors,
  type Kernel,
} from '../../../src/compress/kernel-factors.js';
import { spend } from '../../../src/compress/spend.js';
import { vbmfRank } from '../../../src/compress/vbmf.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { verify } from '../../../src/ir/verify.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { openModel } from '../../../src/runtime/open.js';

const rng = createRng(11);
const normal = (n: number): Float64Array => Float64Array.from({ length: n }, () => rng.normal());
const parse = (text: string): Model => {
  const m = parseModel(`<ir_version: 10, opset_import: ["" : 17]> ${text}`, { randomInitializers: 4 });
  inferShapes(m);
  return m;
};
async function compress(model: Model, name: string, given: object, data: readonly Feed[] = []): Promise<string> {
  const found = compressions.find((c) => c.name === name)!;
  const none = () => undefined;
  async function* feeds(): AsyncGenerator<Feed> {
    for (const f of data) yield await Promise.resolve(f);
  }
  const context = { model, feeds, hasData: data.length > 0, threads: 1, report: none, onEvent: none };
  const line = await found.run(context, found.options.parse(given));
  expect(verify(model)).toEqual([]);
  return line;
}
async function run(model: Model, feed: Feed): Promise<Float32Array> {
  const session = await openModel(model);
  const { y } = await session.run(feed);
  await session.close();
  return y!.data as Float32Array;
}
const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((n, v, i) => n + (v - b[i]!) ** 2, 0) / a.reduce((n, v) => n + v * v, 0);

describe('low-rank', () => {
  const text =
    'g (float[N,32] x) => (float[N,24] y) <float[32,24] w, float[24] b> { p = MatMul (x, w)  y = Add (p, b) }';
  /** Inputs that lie near 4 directions, about a mean. */
  const mixed = normal(4 * 32);
  const feeds: Feed[] = [1, 2].map(() => {
    const data = Float32Array.from({ length: 200 * 32 }, () => 0.05 * rng.normal());
    for (let n = 0; n < 200; n++)
      for (let k = 0; k < 4; k++) {
        const s = rng.normal() + 1;
        for (let c = 0; c < 32; c++) data[n * 32 + c]! += s * mixed[k * 32 + c]!;
      }
    return { x: { dtype: 'float32', dims: [200, 32], data } };
  });
  it('errs as the eigenvalues say that are left out (Eckart and Young)', async () => {
    const model = parse(text);
    const w = [...model.graph.initializers].find((v) => v.name === 'w')!.data!.f32();
    const gram = new Matrix(Array.from({ length: 24 }, (_, r) => Array.from({ length: 32 }, (_, c) => w[c * 24 + r]!)));
    const squares = new EigenvalueDecomposition(gram.mmul(gram.transpose())).realEigenvalues.sort((a, b) => b - a);
    // Rank 6 of 24 × 32: 6 · 56 ÷ 768.
    const white: Feed = {
      x: { dtype: 'float32', dims: [32, 32], data: Float32Array.from(Matrix.eye(32).to1DArray()) },
    };
    const before = await run(model, white);
    expect(await compress(model, 'low-rank', { left: (6 * 56) / 768, data: false })).toContain('ranks 6 to 6');
    const after = await run(model, white);
    const lost = before.reduce((n, v, i) => n + (v - after[i]!) ** 2, 0);
    expect(lost).toBeCloseTo(
      squares.slice(6).reduce((n, v) => n + v, 0),
      3,
    );
  });
  it('by outputs it loses far less of inputs that hang together, and keeps their mean', async () => {
    const [whole, aware, blind] = [parse(text), parse(text), parse(text)];
    const [given] = feeds;
    await compress(aware, 'low-rank', { left: 0.3 }, feeds);
    await compress(blind, 'low-rank', { left: 0.3, data: false });
    const before = await run(whole, given!);
    const [a, b] = [await run(aware, given!), await run(blind, given!)];
    expect(distance(before, a)).toBeLessThan(0.05 * distance(before, b));
    const mean = (y: Float32Array, c: number): number => y.reduce((n, v, i) => (i % 24 === c ? n + v : n), 0) / 200;
    const all = feeds.length;
    expect(all).toBe(2);
    for (let c = 0; c < 24; c++) expect(mean(a, c)).toBeCloseTo(mean(before, c), 1);
  });
});

const kernel: Kernel = { values: normal(10 * 6 * 9), dims: [10, 6, 3, 3] };
const size = (k: Kernel): number => k.values.reduce((n, v) => n + v * v, 0);

describe('factors of kernels', () => {
  it('over height and width err by what the singular values say', () => {
    const squares = squaresOf(spatialMatrix(kernel));
    for (const rank of [2, 7, 18]) {
      const { first, second } = spatialFactors(kernel, rank);
      let lost = 0;
      for (let at = 0; at < kernel.values.length; at++) {
        const [o, i, y, x] = [Math.floor(at / 54), Math.floor(at / 9) % 6, Math.floor(at / 3) % 3, at % 3];
        let v = 0;
        for (let r = 0; r < rank; r++) v += first.values[(r * 6 + i) * 3 + y]! * second.values[(o * rank + r) * 3 + x]!;
        lost += (kernel.values[at]! - v) ** 2;
      }
      expect(lost).toBeCloseTo(
        squares.slice(rank).reduce((n, v) => n + v, 0),
        6,
      );
    }
  });
  it('of Tucker keep all of a kernel that has such ranks, and all at full rank', () => {
    const { first, core, last } = tuckerFactors(kernel, [3, 2]);
    const values = Float64Array.from({ length: 540 }, (_, at) => {
      const [o, i, p] = [Math.floor(at / 54), Math.floor(at / 9) % 6, at % 9];
      let v = 0;
      for (let a = 0; a < 3; a++)
        for (let b = 0; b < 2; b++)
          v += last.values[o * 3 + a]! * core.values[(a * 2 + b) * 9 + p]! * first.values[b * 6 + i]!;
      return v;
    });
    const low: Kernel = { ...kernel, values };
    expect(size(tuckerFactors(low, [3, 2]).core)).toBeCloseTo(size(low), 8);
    expect(size(tuckerFactors(kernel, [10, 6]).core)).toBeCloseTo(size(kernel), 8);
    // Bases are orthonormal: what the core holds is what is kept, and no more than each side alone could.
    expect(size(core)).toBeLessThan(
      squaresOf(outputMatrix(kernel))
        .slice(0, 3)
        .reduce((n, v) => n + v, 0),
    );
  });
});

describe('CP', () => {
  /** A sum of outer products of random vectors. */
  const planted = (sizes: readonly number[], rank: number): Float64Array => {
    const factors = sizes.map((n) => normal(n * rank));
    return Float64Array.from({ length: sizes.reduce((p, n) => p * n, 1) }, (_, at) => {
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        let [v, rest] = [1, at];
        for (let a = sizes.length - 1; a >= 0; a--) {
          v *= factors[a]![(rest % sizes[a]!) * rank + r]!;
          rest = Math.floor(rest / sizes[a]!);
        }
        sum += v;
      }
      return sum;
    });
  };
  const energy = (list: Float64Array): number => list.reduce((n, v) => n + v * v, 0);
  it.each([
    [[10, 6, 9], 3],
    [[8, 6, 5, 5], 3],
  ])('finds a tensor %j of rank %i to 1e-4', (sizes, rank) => {
    const values = planted(sizes, rank);
    const { factors, lost } = cpFactors(values, sizes, { rank, rounds: 500, seed: 1 });
    expect(lost / energy(values)).toBeLessThan(1e-8); // squared
    let real = 0;
    for (let at = 0; at < values.length; at++) {
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        let [v, rest] = [1, at];
        for (let a = sizes.length - 1; a >= 0; a--) {
          v *= factors[a]![r * sizes[a]! + (rest % sizes[a]!)]!;
          rest = Math.floor(rest / sizes[a]!);
        }
        sum += v;
      }
      real += (values[at]! - sum) ** 2;
    }
    expect(Math.sqrt(real / energy(values))).toBeLessThan(1e-4);
  });
  it('loses less at each larger rank, and gives the same bytes twice', () => {
    let [before, from]: [number, readonly Float64Array[] | undefined] = [Infinity, undefined];
    for (const rank of [1, 2, 4, 8, 16]) {
      const made = cpFactors(kernel.values, [10, 6, 9], { rank, rounds: 60, seed: 1, from });
      expect(made.lost).toBeLessThan(before);
      [before, from] = [made.lost, made.factors];
    }
    const again = (): unknown => cpFactors(kernel.values, [10, 6, 9], { rank: 4, rounds: 20, seed: 1 }).factors;
    expect(again()).toEqual(again());
  });
});

describe('ranks', () => {
  it('of several layers are spent where they lower the loss most for the work', () => {
    const a = [0, 1, 2, 3, 4].map((work) => ({ work, lost: item([1, 0.3, 0.1, 0.05, 0], work) }));
    const b = [0, 1, 2, 3, 4].map((work) => ({ work, lost: item([1, 0.8, 0.6, 0.4, 0], work) }));
    const best = (limit: number): number =>
      Math.min(...a.flatMap((x) => b.filter((y) => x.work + y.work <= limit).map((y) => x.lost + y.lost)));
    for (let limit = 0; limit <= 8; limit++) {
      const made = spend([a, b], limit);
      expect(made.reduce((n, c) => n + c.work, 0)).toBeLessThanOrEqual(limit);
      // On the hull of the best sums, exact; between its corners, near.
      expect(made.reduce((n, c) => n + c.lost, 0)).toBeLessThanOrEqual(best(limit) + 0.36);
      if ([0, 1, 5, 8].includes(limit)) expect(made.reduce((n, c) => n + c.lost, 0)).toBeCloseTo(best(limit), 9);
    }
  });
  it('that keep a share are the least', () => {
    const squares = Float64Array.of(6, 3, 1);
    expect([0.5, 0.6, 0.61, 0.9, 0.95].map((s) => rankKeeping(squares, s))).toEqual([1, 1, 2, 2, 3]);
  });
  it.each([3, 8])('of VBMF find a planted rank of %i in noise', (rank) => {
    const [rows, columns] = [40, 90];
    const a = new Matrix(Array.from({ length: rows }, () => [...normal(rank)]));
    const b = new Matrix(Array.from({ length: rank }, () => [...normal(columns)]));
    const noise = new Matrix(Array.from({ length: rows }, () => [...normal(columns)]));
    expect(vbmfRank(squaresOf(a.mmul(b).add(noise)), rows, columns)).toBe(rank);
    expect(vbmfRank(squaresOf(noise), rows, columns)).toBe(0);
  });
});

describe('low-rank-conv', () => {
  const feed: Feed = { x: { dtype: 'float32', dims: [2, 8, 9, 7], data: Float32Array.from(normal(2 * 8 * 63)) } };
  const net = (attrs: string): Model =>
    parse(`g (float[N,8,9,7] x) => (y) <float[12,8,3,3] w, float[12] b> { y = Conv <${attrs}> (x, w, b) }`);
  it.each([
    'pads: ints = [1,1,1,1]',
    'strides: ints = [2,1], pads: ints = [0,1,2,0]',
    'dilations: ints = [1,2], pads: ints = [1,2,1,2]',
    'auto_pad: string = "SAME_UPPER", strides: ints = [2,2]',
    'auto_pad: string = "VALID"',
  ])('computes the same at nearly full energy with %s', async (attrs) => {
    for (const form of ['spatial', 'tucker', 'cp'] as const) {
      const model = net(attrs);
      const w = [...model.graph.initializers].find((v) => v.name === 'w')!;
      // A kernel of few ranks, so that splitting saves something.
      const [u, v, p] = [normal(12), normal(8), normal(3)];
      const values = Float32Array.from({ length: 864 }, (_, at) => {
        const [o, i, y, x] = [Math.floor(at / 72), Math.floor(at / 9) % 8, Math.floor(at / 3) % 3, at % 3];
        return u[o]! * v[i]! * p[y]! * (x + 1);
      });
      w.data = Tensor.f32(values, w.data!.dims);
      const before = await run(model, feed);
      const line = await compress(model, 'low-rank-conv', { form, rank: { energy: 0.9999 } }, [feed]);
      expect(line).toContain('1 of 1 convolutions split');
      expect(distance(before, await run(model, feed))).toBeLessThan(1e-8);
      expect([...model.graph.nodes].length).toBe(form === 'spatial' ? 2 : 3);
    }
  });
  it('leaves the share of the work that is asked for', async () => {
    const line = await compress(net('pads: ints = [1,1,1,1]'), 'low-rank-conv', { rank: { left: 0.5 }, data: false });
    const [, left] = /· ([\d.]+) % of their MACs left/.exec(line)!;
    expect(Number(left)).toBeLessThanOrEqual(50);
    expect(Number(left)).toBeGreaterThan(40);
  });
  it.each([
    ['spatial', 'Conv <pads: ints = [1,1,1,1]> (x, w, b)'],
    ['tucker', 'Conv <strides: ints = [2,2], pads: ints = [0,1,2,0]> (x, w)'],
    ['cp', 'Conv <pads: ints = [1,1,1,1]> (x, w, b)'],
  ])('%s keeps the mean of each channel over samples', async (form, conv) => {
    const text = (weights: string): string => `g (float[N,8,9,7] x) => (y) <${weights}> { y = ${conv} }`;
    const model = parse(text(`float[12,8,3,3] w${conv.includes('b)') ? ', float[12] b' : ''}`));
    const shifted = Float32Array.from(normal(2 * 8 * 63), (v) => v + 2);
    const samples: Feed = { x: { dtype: 'float32', dims: [2, 8, 9, 7], data: shifted } };
    const before = await run(model, samples);
    const line = await compress(model, 'low-rank-conv', { form, rank: { left: 0.4 } }, [samples]);
    expect(line).toContain('1 of 1 convolutions split');
    expect(line).toContain('1 biases corrected');
    const after = await run(model, samples);
    expect(distance(before, after)).toBeGreaterThan(1e-3);
    const places = before.length / 24;
    for (let c = 0; c < 12; c++) {
      const mean = (y: Float32Array): number =>
        y.reduce((n, v, i) => (Math.floor(i / places) % 12 === c ? n + v : n), 0) / (2 * places);
      expect(mean(after)).toBeCloseTo(mean(before), 4);
    }
  });
  it('leaves most of a layer that needs its ranks, and takes most from one that does not', async () => {
    const model = parse(
      `g (float[N,8,9,7] x) => (y) <float[8,8,3,3] w, float[8,8,3,3] v> {
        a = Conv <pads: ints = [1,1,1,1]> (x, w)  y = Conv <pads: ints = [1,1,1,1]> (a, v) }`,
    );
    const v = [...model.graph.initializers].find((i) => i.name === 'v')!;
    // Rank 1 of its spatial matrix.
    const [p, q] = [normal(24), normal(24)];
    const low = Float32Array.from({ length: 576 }, (_, at) => {
      const [o, i, y, x] = [Math.floor(at / 72), Math.floor(at / 9) % 8, Math.floor(at / 3) % 3, at % 3];
      return p[i * 3 + y]! * q[o * 3 + x]!;
    });
    v.data = Tensor.f32(low, v.data!.dims);
    const before = await run(model, feed);
    // One whole convolution and a twelfth of the other: nothing is lost at 55 %.
    const line = await compress(model, 'low-rank-conv', { rank: { left: 0.55 }, data: false });
    expect(line).toContain('1 of 2 convolutions split');
    expect(distance(before, await run(model, feed))).toBeLessThan(1e-8);
  });
});
