/** `sparsify` on whole models: which layers, on which inputs, in how many steps. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { Frontier } from '../../../src/codes/frontier.js';
import { measureInputs } from '../../../src/compress/sparsity/inputs.js';
import { placesOf, sparseLayers } from '../../../src/compress/sparsity/layers.js';
import { sparsityOf } from '../../../src/compress/sparsity/count.js';
import { sparsify } from '../../../src/compress/sparsify.js';
import type { CompressContext } from '../../../src/compress/types.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { openModel } from '../../../src/runtime/open.js';

/** Every kind of layer: convolutions over windows, in groups, depthwise and transposed, products from both sides. */
const NET = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,8,6,6] x, int64[3] i) => (y, z)
  <float[16,8,3,3] w1, float[16] b1, float[16,1,3,3] w3, float[16,4,2,2] w4, float[12,288] w5,
   float[12] b5, float[12,12] w6, float[12] b6, float[8,12] w7, float[20,12] table, float[3,12,8] w8,
   int64[2] flat = {-1, 288}, int64[1] axis = {0}>
  { c1 = Conv <pads: ints = [1,1,1,1], strides: ints = [2,2]> (x, w1, b1)  r1 = Relu (c1)
    c3 = Conv <pads: ints = [1,1,1,1], group: int = 16> (r1, w3)
    c4 = ConvTranspose <strides: ints = [2,2], group: int = 2> (c3, w4)  l = Reshape (c4, flat)
    c5 = Gemm <transB: int = 1> (l, w5, b5)  r5 = Relu (c5)
    c6 = MatMul (r5, w6)  a6 = Add (c6, b6)  r6 = Relu (a6)  d6 = MatMul (r6, w6)
    t6 = Transpose <perm: ints = [1,0]> (d6)  y = MatMul (w7, t6)
    e = Gather (table, i)  u = Unsqueeze (e, axis)  z = MatMul (u, w8) }`;
const GROUPED = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,8,6,6] x) => (y)
  <float[16,4,3,3] w, float[16] b> { y = Conv <pads: ints = [0,1,1,0], group: int = 2, dilations: ints = [1,2]> (x, w, b) }`;
const parsed = (text: string): Model => {
  const m = parseModel(text, { randomInitializers: 4 });
  inferShapes(m);
  return m;
};
const FEEDS: Feed[] = Array.from({ length: 4 }, (_, k) => {
  const rng = createRng(k, 'feeds');
  const data = Float32Array.from({ length: 4 * 288 }, () => rng.normal() + 0.3);
  return {
    x: { dtype: 'float32', dims: [4, 8, 6, 6], data },
    i: { dtype: 'int64', dims: [3], data: BigInt64Array.from([k, k + 4, 2 * k + 8], BigInt) },
  };
});
async function* feeds(names: readonly string[] = ['x', 'i']): AsyncGenerator<Feed> {
  for (const f of FEEDS) yield await Promise.resolve(Object.fromEntries(names.map((n) => [n, f[n]!])));
}
const context = (model: Model, more: Partial<CompressContext> = {}): CompressContext => ({
  model,
  feeds: () => feeds(model.graph.inputs.map((v) => v.name)),
  hasData: true,
  threads: 1,
  report: () => undefined,
  onEvent: () => undefined,
  ...more,
});
const run = async (m: Model, o: object, more: Partial<CompressContext> = {}): Promise<string> =>
  sparsify.run(context(m, more), sparsify.options.parse(o));
/** Rows of what the outputs sum over, in the order in which the pattern counts. */
function rowsOf(m: Model, name: string): number[][] {
  const layer = sparseLayers(m, ['*']).find((l) => l.weight.name === name)!;
  const values = layer.weight.data!.f32();
  const flat = [...placesOf(layer)].map((at) => values[at]!);
  return Array.from({ length: layer.groups * layer.rows }, (_, r) =>
    flat.slice(r * layer.columns, (r + 1) * layer.columns),
  );
}
const zeros = (row: readonly number[]): number => row.filter((w) => w === 0).length;
const shareOf = (m: Model, name: string): number => zeros(rowsOf(m, name).flat()) / rowsOf(m, name).flat().length;

describe('sparsify', () => {
  it.each(['magnitude', 'wanda', 'sparsegpt'])(
    '%s makes two of each four zero in every kind of layer',
    async (method) => {
      const m = parsed(NET);
      const whole = cloneModel(m).model;
      const line = await run(m, { method, pattern: '2:4' });
      for (const name of ['w1', 'w3', 'w4', 'w5', 'w6', 'w7', 'w8'])
        for (const row of rowsOf(m, name))
          for (let c = 0; c + 4 <= row.length; c += 4) expect(zeros(row.slice(c, c + 4))).toBe(2);
      expect(shareOf(m, 'table')).toBe(shareOf(whole, 'table'));
      expect(line).toMatch(/% of the weights of 7 layers are zero in 2:4/);
      expect(await run(parsed(NET), { method, pattern: '2:4' })).toBe(line);
    },
  );
  it('counts along the input axis of convolutions', async () => {
    const m = parsed(NET);
    await run(m, { pattern: '2:4', include: ['w1'] });
    const w = [...m.graph.initializers].find((v) => v.name === 'w1')!.data!.f32(); // [16, 8, 3, 3]
    for (let o = 0; o < 16; o++)
      for (let p = 0; p < 9; p++)
        for (let c = 0; c < 8; c += 4)
          expect([0, 1, 2, 3].filter((k) => w[(o * 8 + c + k) * 9 + p] === 0)).toHaveLength(2);
    expect(shareOf(m, 'w5')).toBe(0);
  });
  it('leaves out what is excluded, and takes tables that are named', async () => {
    const m = parsed(NET);
    await run(m, { exclude: ['w1', 'c?'], pattern: { share: 0.25 } });
    expect(['w1', 'w3', 'w5', 'w8'].map((n) => shareOf(m, n) > 0.2)).toEqual([false, false, false, true]);
    await run(m, { include: ['table'], pattern: { share: 0.25 } });
    expect(shareOf(m, 'table')).toBe(0.25);
    await expect(run(m, { include: ['nothing'] })).rejects.toMatchObject({ code: 'MODEL_UNSUPPORTED' });
  });
  it('with scope: global the smallest weights of all layers go', async () => {
    const m = parsed(NET);
    const all = sparseLayers(m).flatMap((l) => [...l.weight.data!.f32()].map(Math.abs));
    const limit = [...all].sort((a, b) => a - b)[Math.round(0.4 * all.length) - 1]!;
    const whole = cloneModel(m).model;
    await run(m, { pattern: { share: 0.4, scope: 'global' } });
    for (const { weight } of sparseLayers(m)) {
      const before = [...whole.graph.initializers].find((v) => v.name === weight.name)!.data!.f32();
      weight.data!.f32().forEach((w, i) => expect(w).toBe(Math.abs(before[i]!) <= limit ? 0 : before[i]));
    }
  });
  it('rises along a cubic, and trains in between', async () => {
    const m = parsed(NET);
    const seen: number[] = [];
    const finetune = async (): Promise<void> => {
      seen.push(shareOf(m, 'w5'));
      await Promise.resolve();
    };
    await run(m, { pattern: { share: 0.8 }, steps: 4, finetune: { steps: 3 } }, { finetune });
    // 0.8 · (1 − (1 − t/4)³)
    [0.8 * (1 - 27 / 64), 0.8 * (1 - 8 / 64), 0.8 * (1 - 1 / 64)].forEach((s, i) => expect(seen[i]).toBeCloseTo(s, 3));
    expect(seen).toHaveLength(3);
    expect(shareOf(m, 'w5')).toBeCloseTo(0.8, 3);
    await expect(run(parsed(NET), { steps: 2, finetune: { steps: 3 } })).rejects.toMatchObject({
      code: 'RECIPE_INVALID',
    });
  });
  it('sparsegpt keeps outputs closer than magnitude, and their means', async () => {
    const outputs = async (m: Model): Promise<number[]> => {
      const session = await openModel(m, { optimization: 'disabled' });
      const made: number[] = [];
      for await (const f of feeds(m.graph.inputs.map((v) => v.name)))
        made.push(...((await session.run(f)).y!.data as Float32Array));
      await session.close();
      return made;
    };
    const float = await outputs(parsed(GROUPED));
    const errors: number[] = [];
    for (const method of ['magnitude', 'wanda', 'sparsegpt']) {
      const m = parsed(GROUPED);
      await run(m, { method, pattern: '2:4' });
      const made = await outputs(m);
      errors.push(made.reduce((n, v, i) => n + (v - float[i]!) ** 2, 0));
      if (method === 'sparsegpt')
        expect(made.reduce((n, v) => n + v, 0) / made.length).toBeCloseTo(
          float.reduce((n, v) => n + v, 0) / float.length,
          4,
        );
    }
    expect(errors[2]).toBeLessThan(0.8 * Math.min(errors[0]!, errors[1]!));
  });
});

it('moves the mean that BatchNormalization takes away, where a layer has no bias', async () => {
  const m = parsed(
    `<ir_version: 10, opset_import: ["" : 17]> g (float[N,8,6,6] x) => (y)
     <float[16,8,3,3] w, float[16] scale, float[16] shift, float[16] mean, float[16] var = {${Array(16).fill(0.7).join(',')}}>
     { c = Conv (x, w) y = BatchNormalization (c, scale, shift, mean, var) }`,
  );
  const means = async (): Promise<number[]> => {
    const session = await openModel(m, { optimization: 'disabled' });
    const sums = new Array<number>(16).fill(0);
    for await (const f of feeds(['x']))
      ((await session.run(f)).y!.data as Float32Array).forEach((v, i) => (sums[Math.floor(i / 16) % 16]! += v / 256));
    await session.close();
    return sums;
  };
  const before = await means();
  await run(m, { method: 'sparsegpt', pattern: { share: 0.8 } });
  (await means()).forEach((v, i) => expect(v).toBeCloseTo(before[i]!, 4));
  expect(shareOf(m, 'w')).toBeCloseTo(0.8, 3);
});

describe('measureInputs()', () => {
  it('sums x·xᵀ over the places of grouped convolutions, as a plain loop does', async () => {
    const m = parsed(GROUPED);
    const layers = sparseLayers(m);
    const about = { model: m, layers, frontier: new Frontier(() => feeds(['x'])), threads: 1 };
    const { products, means, energies } = await measureInputs({ ...about, what: 'products' });
    // Pads of [0, 1] at the start and [1, 0] at the end, rows one apart and columns two: 5 × 3 places.
    const expected = Array.from({ length: 2 }, () => new Float64Array(36 * 36));
    let places = 0;
    for (const { x } of FEEDS)
      for (let n = 0; n < 4; n++)
        for (let h = 0; h < 5; h++)
          for (let v = 0; v < 3; v++, places++)
            for (let g = 0; g < 2; g++) {
              const column = Array.from({ length: 36 }, (_, j) => {
                const [c, p] = [g * 4 + (j % 4), Math.floor(j / 4)];
                const [row, at] = [h + Math.floor(p / 3), v + 2 * (p % 3) - 1];
                const inside = row >= 0 && row < 6 && at >= 0 && at < 6;
                return inside ? (x!.data as Float32Array)[((n * 8 + c) * 6 + row) * 6 + at]! : 0;
              });
              for (let i = 0; i < 36; i++)
                for (let j = 0; j < 36; j++) expected[g]![i * 36 + j]! += column[i]! * column[j]!;
            }
    for (const g of [0, 1]) expected[g]!.forEach((sum, at) => expect(products[g]![at]).toBeCloseTo(sum / places, 4));
    expect(means).toHaveLength(72);
    const only = await measureInputs({ ...about, frontier: new Frontier(() => feeds(['x'])), what: 'energies' });
    only.energies.forEach((e, i) => expect(e).toBeCloseTo(energies[i]!, 5));
    only.means.forEach((e, i) => expect(e).toBeCloseTo(means[i]!, 6));
  });
});

describe('sparsityOf()', () => {
  it('counts the zeros of each layer', async () => {
    const m = parsed(GROUPED);
    await run(m, { pattern: { share: 0.75 } });
    expect(sparsityOf(m)).toEqual([{ name: 'y', zeros: 432, weights: 576 }]);
  });
});
