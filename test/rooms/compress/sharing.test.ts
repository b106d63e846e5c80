/** Parameters that are shared: circulant blocks and tied tensors, by what they compute and what they weigh. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { compressions } from '../../../src/compress/index.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { verify } from '../../../src/ir/verify.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { foldSharedWeights } from '../../../src/passes/fold-constants.js';
import { optimizing } from '../../../src/passes/presets.js';
import { runPasses } from '../../../src/rewrite/pass.js';
import { evaluateModel, openModel } from '../../../src/runtime/open.js';

async function compress(model: Model, name: string, given: object): Promise<string> {
  const found = compressions.find((c) => c.name === name)!;
  inferShapes(model);
  const none = () => undefined;
  async function* feeds(): AsyncGenerator<Feed> {}
  const context = { model, feeds, hasData: false, threads: 1, report: none, onEvent: none };
  return found.run(context, found.options.parse(given));
}
async function run(model: Model, x: readonly number[], dims: readonly number[]): Promise<Float32Array> {
  const session = await openModel(model);
  const out = await session.run({ x: { dtype: 'float32', dims: [...dims], data: Float32Array.from(x) } });
  await session.close();
  return out.y!.data as Float32Array;
}
const elements = (m: Model): number =>
  [...m.graph.initializers].reduce((n, v) => n + (v.data!.dtype === 'float32' ? v.data!.size : 0), 0);

describe('circulant', () => {
  const rng = createRng(5);
  const x = Array.from({ length: 2 * 3 * 16 }, () => rng.normal());
  const t = Array.from({ length: 8 * 4 * 4 }, () => rng.normal());
  /** Element (row, column) of 32 × 16 with blocks of 4. */
  const element = (r: number, c: number): number =>
    t[(Math.floor(r / 4) * 4 + Math.floor(c / 4)) * 4 + ((((r - c) % 4) + 4) % 4)]!;
  const product = (text: string, dims: readonly number[], turned: boolean, noise = 0): Model => {
    const model = parseModel(`<ir_version: 10, opset_import: ["" : 17]> ${text}`, { randomInitializers: 1 });
    const w = [...model.graph.initializers].find((v) => v.name === 'w')!;
    w.data = Tensor.f32(
      Float32Array.from({ length: 512 }, (_, i) => {
        const [r, c] = turned ? [Math.floor(i / 16), i % 16] : [i % 32, Math.floor(i / 32)];
        // Noise that each diagonal of a block sums to zero.
        return element(r, c) + (c % 2 ? noise : -noise);
      }),
      dims,
    );
    return model;
  };
  it.each([
    [
      'MatMul',
      'g (float[N,3,16] x) => (float[N,3,32] y) <float[16,32] w> { y = MatMul (x, w) }',
      [16, 32],
      false,
      [2, 3, 16],
    ],
    [
      'MatMul and a bias',
      'g (float[N,3,16] x) => (float[N,3,32] y) <float[16,32] w, float[32] b> { p = MatMul (x, w)  y = Add (p, b) }',
      [16, 32],
      false,
      [2, 3, 16],
    ],
    [
      'Gemm with transB and a bias',
      'g (float[N,16] x) => (float[N,32] y) <float[32,16] w, float[32] b> { y = Gemm <transB: int = 1> (x, w, b) }',
      [32, 16],
      true,
      [6, 16],
    ],
  ] as const)('is exact for a circulant %s, and drops what is not', async (_, text, dims, turned, shape) => {
    const expected = await run(product(text, dims, turned), x, shape);
    for (const noise of [0, 0.5]) {
      const model = product(text, dims, turned, noise);
      const before = elements(model);
      const line = await compress(model, 'circulant', { block: 4 });
      expect(verify(model)).toEqual([]);
      expect(before - elements(model)).toBe(512 - 128);
      const found = await run(model, x, shape);
      found.forEach((v, i) => expect(v).toBeCloseTo(expected[i]!, 4));
      expect(line).toMatch(noise ? /· (1\d|2\d)\.\d % of the energy/ : /· 0\.0 %/);
    }
  });
  it('refuses a block that divides nothing', async () => {
    const model = product(
      'g (float[N,16] x) => (float[N,32] y) <float[16,32] w> { y = MatMul (x, w) }',
      [16, 32],
      false,
    );
    await expect(compress(model, 'circulant', { block: 3 })).rejects.toMatchObject({ code: 'MODEL_UNSUPPORTED' });
  });
});

describe('tie', () => {
  const make = (off: number): Model => {
    const model = parseModel(
      `<ir_version: 10, opset_import: ["" : 17]> g (float[N,24] x) => (float[N,24] y) <float[24,24] a, float[24,24] b, float[24,24] c>
      { h = MatMul (x, a)  i = MatMul (h, b)  y = MatMul (i, c) }`,
      { randomInitializers: 9 },
    );
    const [a, b] = ['a', 'b'].map((n) => [...model.graph.initializers].find((v) => v.name === n)!);
    b!.data = Tensor.f32(
      a!.data!.f32().map((v) => v * (1 + off)),
      [24, 24],
    );
    return model;
  };
  it.each([
    [0, 0, 2],
    [0.01, 0, 3],
    [0.01, 0.02, 2],
    [0.03, 0.02, 3],
  ])('of tensors apart by %d at a tolerance of %d leaves %i', async (off, tolerance, left) => {
    const model = make(off);
    const a = [...model.graph.initializers].find((v) => v.name === 'a')!;
    const first = a.data!.f32()[7]!;
    await compress(model, 'tie', { tolerance });
    expect(model.graph.initializers.size).toBe(left);
    if (left === 2) expect(a.data!.f32()[7]).toBeCloseTo(first * (1 + off / 2), 6);
    expect(verify(model)).toEqual([]);
  });
  /** A table of 500 rows, and a product that gives the score of each: `first` says which stands first in the file. */
  const language = (first: 'table' | 'head', off = 0): Model => {
    const both = first === 'table' ? 'float[500,48] t, float[48,500] w' : 'float[48,500] w, float[500,48] t';
    const model = parseModel(
      `<ir_version: 10, opset_import: ["" : 17]> g (int64[N] i) => (y) <${both}> { e = Gather (t, i)  h = Tanh (e)  y = MatMul (h, w) }`,
      { randomInitializers: 9 },
    );
    const [t, w] = ['t', 'w'].map((n) => [...model.graph.initializers].find((v) => v.name === n)!);
    const table = t!.data!.f32();
    const turned = Float32Array.from(
      { length: table.length },
      (_, at) => table[(at % 500) * 48 + Math.floor(at / 500)]! * (1 + off),
    );
    w!.data = Tensor.f32(turned, [48, 500]);
    inferShapes(model);
    return model;
  };
  const scores = async (model: Model): Promise<Float32Array> => {
    const session = await openModel(model);
    const { y } = await session.run({ i: { dtype: 'int64', dims: [3], data: BigInt64Array.of(0n, 7n, 499n) } });
    await session.close();
    return y!.data as Float32Array;
  };
  it.each(['table', 'head'] as const)(
    'of a matrix and the same one transposed leaves the table, %s first',
    async (first) => {
      const model = language(first);
      const [expected, before] = [await scores(model), encodeModel(model).length];
      expect(await compress(model, 'tie', {})).toBe('1 tensors tied to others · 96.0 kB less');
      expect([...model.graph.initializers].map((v) => v.name)).toEqual(['t']);
      expect(verify(model)).toEqual([]);
      expect(encodeModel(model).length / before).toBeCloseTo(0.5, 2);
      expect(await scores(model)).toEqual(expected);
      for (let round = 0; round < 2; round++) {
        await runPasses(model, optimizing.default, { evaluate: evaluateModel });
        expect(encodeModel(model).length / before).toBeCloseTo(0.5, 2);
        expect(await scores(model)).toEqual(expected);
      }
      await runPasses(model, [foldSharedWeights], { evaluate: evaluateModel });
      expect(model.graph.topological().map((n) => n.op)).toEqual(['Gather', 'Tanh', 'MatMul']);
      expect(await scores(model)).toEqual(expected);
    },
  );
  it('takes the mean of a matrix and nearly the same one transposed', async () => {
    const model = language('table', 0.01);
    const t = [...model.graph.initializers].find((v) => v.name === 't')!;
    const first = t.data!.f32()[7]!;
    await compress(model, 'tie', { tolerance: 0.02 });
    expect(model.graph.initializers.size).toBe(1);
    expect(t.data!.f32()[7]).toBeCloseTo(first * 1.005, 6);
  });
  it('leaves small tensors', async () => {
    const model = make(0);
    await compress(model, 'tie', { least: 1000 });
    expect(model.graph.initializers.size).toBe(3);
  });
});
