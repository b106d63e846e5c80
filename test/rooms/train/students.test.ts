/** Students made of their teacher: what is taken out together, what stays, and what they begin with. */
import { describe, expect, it } from 'vitest';
import type { FeedTensor } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { cloneModel } from '../../../src/ir/clone.js';
import { openModel } from '../../../src/runtime/open.js';
import { cheaper } from '../../../src/train/students/cheaper.js';
import { derive } from '../../../src/train/students/derive.js';
import { drawWeights } from '../../../src/train/students/fresh.js';
import { leading } from '../../../src/train/students/leading.js';
import { shallower } from '../../../src/train/students/shallower.js';
import { thinner } from '../../../src/train/students/thinner.js';

const norm = (n: string, c: number): string =>
  ['s', 'b', 'm', 'v']
    .map(
      (p) =>
        `float[${c}] ${n}${p} = {${Array(c)
          .fill(p === 'm' || p === 'b' ? 0.1 : 1)
          .join(',')}}`,
    )
    .join(', ');
/** Two stages with a residual block each; between them a border adds channels to the shortcut. */
const RESIDUAL = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,3,8,8] x) => (y)
  <float[8,3,3,3] w1, ${norm('n1', 8)}, float[8,8,3,3] w2, float[8] b2, float[8,8,3,3] w3,
   float[16,8,3,3] w4, float[16,1,3,3] w5, float[16,16,1,1] w6, float[16,5] f, float[5] fb,
   int64[8] pads = {0,4,0,0,0,4,0,0}, int64[2] flat = {-1, 16}>
  { c1 = Conv <pads: ints = [1,1,1,1]> (x, w1)  n = BatchNormalization (c1, n1s, n1b, n1m, n1v)  r1 = Relu (n)
    c2 = Conv <pads: ints = [1,1,1,1]> (r1, w2, b2)  r2 = Sigmoid (c2)
    c3 = Conv <pads: ints = [1,1,1,1]> (r2, w3)  a1 = Add (c3, r1)  r3 = Relu (a1)
    c4 = Conv <pads: ints = [1,1,1,1]> (r3, w4)
    c5 = Conv <pads: ints = [1,1,1,1], group: int = 16> (c4, w5)  c6 = Conv (c5, w6)
    p = Pad (r3, pads)  a2 = Add (c6, p)  r4 = Relu (a2)
    g = GlobalAveragePool (r4)  l = Reshape (g, flat)  m = MatMul (l, f)  y = Add (m, fb) }`;
const residual = (): Model => parseModel(RESIDUAL, { randomInitializers: 7 });
const dimsOf = (m: Model): Record<string, readonly number[]> =>
  Object.fromEntries([...m.graph.initializers].map((v) => [v.name, v.data!.dims])); // initializers have data
async function outputs(m: Model, feed: Record<string, FeedTensor>): Promise<FeedTensor> {
  const session = await openModel(m, { optimization: 'disabled' });
  const [y] = Object.values(await session.run(feed));
  await session.close();
  return y!;
}
const x: FeedTensor = {
  dtype: 'float32',
  dims: [2, 3, 8, 8],
  data: Float32Array.from({ length: 384 }, (_, i) => Math.sin(i)),
};

describe('thinner()', () => {
  it('takes channels out of everything that holds them', async () => {
    const m = residual();
    // 8 that run through all, 8 of the inner layer, 16 of the depthwise chain, 8 of the border.
    expect(thinner(m, 0.5)).toEqual({ removed: 20, of: 40 });
    expect(dimsOf(m)).toMatchObject({
      ...{ w1: [4, 3, 3, 3], n1s: [4], n1v: [4], w2: [4, 4, 3, 3], b2: [4], w3: [4, 4, 3, 3], w4: [8, 4, 3, 3] },
      ...{ w5: [8, 1, 3, 3], w6: [8, 8, 1, 1], f: [8, 5], fb: [5] },
    });
    const y = await outputs(m, { x });
    expect(y.dims).toEqual([2, 5]);
    expect([...m.graph.nodes].find((n) => n.op === 'Conv' && n.int('group', 1) > 1)!.int('group')).toBe(8);
  });
  it('leaves what dead channels gave', async () => {
    const m = residual();
    const zero = (name: string, from: number): void => {
      const v = [...m.graph.initializers].find((i) => i.name === name)!;
      const each = v.data!.size / v.data!.dims[0]!;
      v.data = Tensor.f32(
        v.data!.f32().map((w, i) => (i >= from * each ? 0 : w)),
        v.data!.dims,
      );
    };
    zero('w4', 8); // half of the depthwise chain makes nothing
    const before = await outputs(m, { x });
    const alone = cloneModel(m).model;
    const kinds = thinner(alone, 0.5);
    expect(kinds.removed).toBe(20);
    // Only the chain is thinned where all else is kept: compare by taking those channels alone.
    expect(before.dims).toEqual([2, 5]);
    expect(dimsOf(alone).w5).toEqual([8, 1, 3, 3]);
    const kept = [...alone.graph.initializers].find((i) => i.name === 'w4')!.data!.f32();
    expect(kept.every((w) => w !== 0)).toBe(true); // the channels that make nothing went
  });
  it('refuses a model without such channels', () => {
    const m = parseModel('<ir_version: 10, opset_import: ["" : 17]> g (float[N,4] x) => (y) { y = Relu (x) }');
    expect(() => thinner(m, 0.5)).toThrow(expect.objectContaining({ code: 'MODEL_UNSUPPORTED' }));
  });
});

describe('shallower()', () => {
  const blocks = parseModel(
    `<ir_version: 10, opset_import: ["" : 17]> g (float[N,4] x) => (y)
     <float[4,4] w1, float[4,4] w2, float[4,4] w3, float[4,4] w4>
     { h1 = MatMul (x, w1) t1 = Tanh (h1) a1 = Add (x, t1)  h2 = MatMul (a1, w2) t2 = Tanh (h2) a2 = Add (t2, a1)
       h3 = MatMul (a2, w3) t3 = Tanh (h3) a3 = Add (a2, t3)  h4 = MatMul (a3, w4) y = Add (h4, a3) }`,
    { randomInitializers: 2 },
  );
  it('leaves blocks out, and what enters them goes on', async () => {
    const m = cloneModel(blocks).model;
    expect(shallower(m, 0.34)).toEqual({ removed: 2, of: 3 });
    const feed = { x: { dtype: 'float32', dims: [1, 4], data: Float32Array.of(1, -1, 2, 0.5) } as const };
    const y = await outputs(m, feed);
    const kept = new Set([...m.graph.initializers].map((v) => v.name));
    expect(kept.size).toBe(2);
    expect(kept.has('w4')).toBe(true); // its sum is the output of the model
    const w = (name: string) => [...m.graph.initializers].find((v) => v.name === name)!.data!.f32();
    const product = (v: ArrayLike<number>, name: string): number[] =>
      [0, 1, 2, 3].map((o) => [0, 1, 2, 3].reduce((n, i) => n + v[i]! * w(name)[4 * i + o]!, 0));
    const [inner] = [...kept].filter((n) => n !== 'w4');
    const a = product(feed.x.data, inner!).map((v, i) => feed.x.data[i]! + Math.tanh(v));
    product(a, 'w4').forEach((v, i) => expect(Number(y.data[i])).toBeCloseTo(v + a[i]!, 4));
  });
  it('refuses a model without blocks', () => {
    const m = parseModel('<ir_version: 10, opset_import: ["" : 17]> g (float[N,4] x) => (y) { y = Relu (x) }');
    expect(() => shallower(m, 0.5)).toThrow(expect.objectContaining({ code: 'MODEL_UNSUPPORTED' }));
  });
});

describe('cheaper()', () => {
  const conv = (weight: Tensor): Model => {
    const m = parseModel(
      `<ir_version: 10, opset_import: ["" : 17]> g (float[N,16,6,6] x) => (y) <float[12,16,3,3] w, float[12] b>
       { y = Conv <pads: ints = [1,1,1,1], strides: ints = [2,2]> (x, w, b) }`,
      { randomInitializers: 3 },
    );
    [...m.graph.initializers].find((v) => v.name === 'w')!.data = weight;
    return m;
  };
  const wave = (n: number, k: number): Float64Array => Float64Array.from({ length: n }, (_, i) => Math.sin(k * i + k));
  const feed = { x: { dtype: 'float32', dims: [1, 16, 6, 6], data: Float32Array.from(wave(576, 0.7)) } as const };
  const expectSame = async (a: Model, b: Model, digits: number): Promise<void> => {
    const [p, q] = [await outputs(a, feed), await outputs(b, feed)];
    expect(q.dims).toEqual(p.dims);
    for (let i = 0; i < p.data.length; i++) expect(Number(q.data[i])).toBeCloseTo(Number(p.data[i]), digits);
  };
  it('depthwise-separable: is exact where the form can be', async () => {
    const [point, depth] = [wave(12 * 16, 0.9), wave(16 * 9, 1.3)];
    const w = Float32Array.from(
      { length: 12 * 16 * 9 },
      (_, k) => point[Math.floor(k / 9)]! * depth[(Math.floor(k / 9) % 16) * 9 + (k % 9)]!,
    );
    const teacher = conv(Tensor.f32(w, [12, 16, 3, 3]));
    const student = cloneModel(teacher).model;
    expect(cheaper(student, 'depthwise-separable')).toEqual({ replaced: 1 });
    expect(Object.values(dimsOf(student))).toEqual(expect.arrayContaining([[16, 1, 3, 3], [12, 16, 1, 1], [12]]));
    await expectSame(teacher, student, 4);
  });
  it('bottleneck: is exact where the form can be', async () => {
    const [into, out, core] = [wave(3 * 16, 0.8), wave(12 * 3, 1.1), wave(9 * 9, 0.37)];
    const w = Float32Array.from({ length: 12 * 16 * 9 }, (_, k) => {
      const [o, i, t] = [Math.floor(k / 144), Math.floor(k / 9) % 16, k % 9];
      let sum = 0;
      for (let p = 0; p < 3; p++)
        for (let q = 0; q < 3; q++) sum += out[o * 3 + p]! * core[(p * 3 + q) * 9 + t]! * into[q * 16 + i]!;
      return sum;
    });
    const teacher = conv(Tensor.f32(w, [12, 16, 3, 3]));
    const student = cloneModel(teacher).model;
    expect(cheaper(student, 'bottleneck')).toEqual({ replaced: 1 });
    expect(Object.values(dimsOf(student))).toEqual(
      expect.arrayContaining([
        [3, 16, 1, 1],
        [3, 3, 3, 3],
        [12, 3, 1, 1],
      ]),
    );
    await expectSame(teacher, student, 3);
  });
});

it('leading() finds the directions of a matrix', () => {
  // diag(9, 4, 1) turned by 30° in the first two axes
  const [c, s] = [Math.cos(Math.PI / 6), Math.sin(Math.PI / 6)];
  const a = Float64Array.of(9 * c * c + 4 * s * s, 5 * c * s, 0, 5 * c * s, 9 * s * s + 4 * c * c, 0, 0, 0, 1);
  const q = leading(a, 3, 2);
  const column = (r: number): number[] => [0, 1, 2].map((i) => q[i * 2 + r]!);
  const along = (v: readonly number[], u: readonly number[]): number =>
    Math.abs(v.reduce((n, x, i) => n + x * u[i]!, 0));
  expect(along(column(0), [c, s, 0])).toBeCloseTo(1, 9);
  expect(along(column(1), [-s, c, 0])).toBeCloseTo(1, 9);
});

describe('drawWeights()', () => {
  it('draws as many inputs and seeds say, and starts statistics anew', () => {
    const m = residual();
    const before = [...m.graph.initializers]
      .find((v) => v.name === 'w3')!
      .data!.f32()
      .slice();
    drawWeights(m, 4);
    const of = (name: string) => [...m.graph.initializers].find((v) => v.name === name)!.data!.f32();
    const w3 = of('w3');
    expect(Math.sqrt(w3.reduce((n, v) => n + v * v, 0) / w3.length)).toBeCloseTo(Math.sqrt(2 / 72), 1);
    expect(w3).not.toEqual(before);
    expect([...of('n1m')]).toEqual(Array(8).fill(0));
    expect([...of('n1v'), ...of('n1s')]).toEqual(Array(16).fill(1));
    expect([...of('n1b'), ...of('b2'), ...of('fb')]).toEqual(Array(21).fill(0));
    const again = residual();
    drawWeights(again, 4);
    expect([...again.graph.initializers].find((v) => v.name === 'w3')!.data!.f32()).toEqual(w3);
  });
});

it('derive() does what is asked for, and says so; the teacher stays', async () => {
  const teacher = residual();
  const { student, steps } = await derive(teacher, { width: 0.5, depth: 0, start: 'random', seed: 1 });
  expect(steps).toEqual(['1 of 1 residual blocks left out', '16 of 32 channels taken out', 'weights drawn']);
  expect((await outputs(student, { x })).dims).toEqual([2, 5]);
  expect(dimsOf(teacher).w1).toEqual([8, 3, 3, 3]);
  await expect(derive(teacher, { start: 'teacher', seed: 0 })).rejects.toMatchObject({ code: 'RECIPE_INVALID' });
});
