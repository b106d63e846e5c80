/** Weights that share values by a hash: what is stored, what is computed, what cleaning and training make of it. */
import { describe, expect, it } from 'vitest';
import { gradients } from '../../../src/autodiff/gradients.js';
import { createRng } from '../../../src/base/rng.js';
import { bucketOf, drawHash, PRIME, signOf } from '../../../src/compress/hash.js';
import { compressions } from '../../../src/compress/index.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { verify } from '../../../src/ir/verify.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { GraphBuilder } from '../../../src/rewrite/builder.js';
import { openModel } from '../../../src/runtime/open.js';
import { parametersOf } from '../../../src/train/parameters.js';
import { cleaned } from '../../../src/train/students/derive.js';

const NET = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,3,6,6] x) => (float[N,20] y)
  <float[16,3,3,3] k, float[256,64] w, float[64,20] small>
  { c = Conv (x, k)  r = Relu (c)  f = Flatten (r)  h = MatMul (f, w)  q = Tanh (h)  y = MatMul (q, small) }`;
async function hashed(given: object): Promise<{ model: Model; before: Model; line: string }> {
  const [model, before] = [parseModel(NET, { randomInitializers: 3 }), parseModel(NET, { randomInitializers: 3 })];
  inferShapes(model);
  const found = compressions.find((c) => c.name === 'hashed')!;
  async function* feeds(): AsyncGenerator<Feed> {}
  const none = (): undefined => undefined;
  const context = { model, feeds, hasData: false, threads: 1, report: none, onEvent: none };
  return { model, before, line: await found.run(context, found.options.parse(given)) };
}
const x = Float32Array.from({ length: 2 * 108 }, (_, i) => Math.sin(i * i));
async function run(model: Model, feed: Feed = {}): Promise<Readonly<Record<string, Float32Array>>> {
  const session = await openModel(model);
  const out = await session.run({ x: { dtype: 'float32', dims: [2, 3, 6, 6], data: x }, ...feed });
  await session.close();
  return Object.fromEntries(Object.entries(out).map(([name, t]) => [name, t.data as Float32Array]));
}
const dataOf = (m: Model, name: string): Float32Array =>
  [...m.graph.initializers].find((v) => v.name === name)!.data!.f32();
/** The sum of squares of the output, beside it. */
function withLoss(model: Model): Model {
  const b = new GraphBuilder(model);
  const y = model.graph.outputs[0]!;
  const sum = b.op('ReduceSum', [b.op('Mul', [y, y])], { attrs: { keepdims: 0 }, outputs: ['loss'] });
  model.graph.addOutput(sum);
  return model;
}
/** The hash by whole numbers of any size. */
function place(seed: number, name: string, buckets: number, i: number): { bucket: number; sign: number } {
  const { a, b, c, d, e } = drawHash(createRng(seed, `hashed ${name}`), buckets);
  const [A, B, C, D, E, p] = [a, b, c, d, e, PRIME].map(BigInt) as [bigint, bigint, bigint, bigint, bigint, bigint];
  const u = (A * BigInt(i) + B) % p;
  const v = (u * u + C) % p;
  return { bucket: Number(v % BigInt(buckets)), sign: ((D * v + E) % p) % 2n === 1n ? 1 : -1 };
}

describe('drawHash()', () => {
  it('is what whole numbers of any size give, and fills buckets and signs evenly', () => {
    const hash = drawHash(createRng(4, 'hashed w'), 100);
    const counts = new Float64Array(100);
    let [signs, others] = [0, 0];
    for (let i = 0; i < 20000; i++) {
      const { bucket, sign } = place(4, 'w', 100, i);
      if (bucketOf(hash, i) !== bucket || signOf(hash, i) !== sign) others++;
      counts[bucket]!++;
      signs += sign;
    }
    expect(others).toBe(0);
    // 200 each; the deviation of a fair draw is 14
    expect(Math.min(...counts)).toBeGreaterThan(130);
    expect(Math.max(...counts)).toBeLessThan(270);
    expect(Math.abs(signs)).toBeLessThan(4 * Math.sqrt(20000));
  });
});

describe('hashed', () => {
  it('stores the means of buckets, and computes with them', async () => {
    const { model, before, line } = await hashed({ left: 0.125, seed: 7 });
    expect(verify(model)).toEqual([]);
    expect(line).toMatch(/^1 weights hashed · .* less · 8\d\.\d % of the energy/);
    const w = dataOf(before, 'w');
    const [sums, counts] = [new Float64Array(2048), new Float64Array(2048)];
    w.forEach((v, i) => {
      const { bucket, sign } = place(7, 'w', 2048, i);
      sums[bucket]! += sign * v;
      counts[bucket]!++;
    });
    const values = dataOf(model, 'w_1');
    expect(values).toHaveLength(2048);
    sums.forEach((s, k) => expect(values[k]).toBeCloseTo(s / Math.max(1, counts[k]!), 6));
    const dense = before;
    const weight = [...dense.graph.initializers].find((v) => v.name === 'w')!.data!.f32();
    weight.forEach((_, i) => {
      const { bucket, sign } = place(7, 'w', 2048, i);
      weight[i] = sign * values[bucket]!;
    });
    const [expected, found] = [(await run(dense)).y!, (await run(model)).y!];
    found.forEach((v, i) => expect(v).toBeCloseTo(expected[i]!, 4));
  });
  it('stays small through cleaning, with no index stored', async () => {
    const { model, before } = await hashed({ left: 0.125, least: 100 });
    const [whole, made] = [encodeModel(before).length, encodeModel(model).length];
    const again = await cleaned(model);
    const size = encodeModel(again).length;
    expect(made / whole).toBeLessThan(0.32); // the small ones hold names and nodes
    expect(size).toBeLessThanOrEqual(made);
    expect([...again.graph.initializers].every((v) => v.data!.dtype !== 'int64' || v.data!.size < 8)).toBe(true);
    const [expected, found] = [(await run(model)).y!, (await run(again)).y!];
    expect(found).toEqual(expected);
  });
  it('learns: the values are parameters, and gradients reach them', async () => {
    const { model } = await hashed({ left: 0.125 });
    expect(parametersOf(model)).toContain('w_1');
    const squares = withLoss(model);
    const made = gradients(squares, { loss: 'loss', wrt: ['w_1'], batch: 2 });
    const gradient = (await run(made))['gradient of w_1']!;
    // along the gradient itself
    const values = dataOf(squares, 'w_1');
    const length = Math.sqrt(gradient.reduce((n, g) => n + g * g, 0));
    const lossAt = async (step: number): Promise<number> => {
      const kept = values.slice();
      values.forEach((v, i) => (values[i] = v + (step * gradient[i]!) / length));
      const made = (await run(squares)).loss![0]!;
      values.set(kept);
      return made;
    };
    const slope = ((await lossAt(0.01)) - (await lossAt(-0.01))) / 0.02;
    expect(slope / length).toBeCloseTo(1, 2);
  });
  it('is the same twice, another for another seed, and refuses models without large weights', async () => {
    const bytes = async (seed: number): Promise<Uint8Array> => encodeModel((await hashed({ left: 0.2, seed })).model);
    expect(await bytes(1)).toEqual(await bytes(1));
    expect(await bytes(1)).not.toEqual(await bytes(2));
    await expect(hashed({ left: 0.2, least: 1e6 })).rejects.toMatchObject({ code: 'MODEL_UNSUPPORTED' });
  });
});
