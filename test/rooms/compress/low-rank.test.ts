/** Low rank of products and convolutions: exact at full rank, least error below it, and what ranks are chosen. */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { compressions } from '../../../src/compress/index.js';
import { rankKeeping } from '../../../src/compress/low-rank-conv.js';
import {
  outputMatrix,
  spatialFactors,
  spatialMatrix,
  squaresOf,
  tuckerFactors,
  type Kernel,
} from '../../../src/compress/kernel-factors.js';
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

describe('ranks', () => {
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
    for (const form of ['spatial', 'tucker'] as const) {
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
});
