import { describe, expect, it } from 'vitest';
import { channelSets } from '../../../src/channels/groups.js';
import { equalise } from '../../../src/adjust/equalise.js';
import { Weights } from '../../../src/channels/scaling.js';
import type { AdjustContext } from '../../../src/adjust/types.js';
import { createRng } from '../../../src/base/rng.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { inputInfo } from '../../../src/pipeline/inputs.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { openModel } from '../../../src/runtime/open.js';

const header = '<ir_version: 8, opset_import: ["" : 17]>';
function read(body: string): Model {
  const model = parseModel(`${header}\n${body}`, { randomInitializers: 3 });
  inferShapes(model);
  return model;
}
async function outputs(model: Model): Promise<Float32Array[]> {
  const session = await openModel(model);
  try {
    return Object.values(await session.run(randomFeed(inputInfo(model), 5, 2))).map((t) => t.data as Float32Array);
  } finally {
    await session.close();
  } // the fixtures give float32
}
/** Largest difference, relative to the largest value. */
const distance = (a: readonly Float32Array[], b: readonly Float32Array[]): number =>
  Math.max(
    ...a.map(
      (x, i) => x.reduce((m, v, j) => Math.max(m, Math.abs(v - b[i]![j]!)), 0) / Math.max(1e-9, ...x.map(Math.abs)),
    ),
  );

const conv = (n: string, x: string, w: string, more = ''): string =>
  `[${n}] ${n} = Conv<kernel_shape=[3,3], pads=[1,1,1,1]${more}>(${x}, ${w}, ${w}b)`;
const CHAINS: readonly (readonly [name: string, sets: number, body: string])[] = [
  [
    'Relu',
    4,
    'g (float[N,3,6,6] x) => (float[N,2,6,6] d) <float[4,3,3,3] w, float[4] wb, float[2,4,3,3] v, float[2] vb> ' +
      `{ ${conv('a', 'x', 'w')} b = Relu(a) ${conv('d', 'b', 'v')} }`,
  ],
  [
    'depthwise between two',
    8,
    'g (float[N,3,6,6] x) => (float[N,2,6,6] e) <float[4,3,3,3] w, float[4] wb, float[4,1,3,3] u, float[4] ub, ' +
      `float[2,4,3,3] v, float[2] vb> { ${conv('a', 'x', 'w')} b = LeakyRelu(a) ` +
      `${conv('c', 'b', 'u', ', group=4')} d = Relu(c) ${conv('e', 'd', 'v')} }`,
  ],
  [
    'grouped',
    4,
    'g (float[N,3,6,6] x) => (float[N,2,6,6] d) <float[4,3,3,3] w, float[4] wb, float[2,2,3,3] v, float[2] vb> ' +
      `{ ${conv('a', 'x', 'w')} b = Relu(a) ${conv('d', 'b', 'v', ', group=2')} }`,
  ],
  [
    'a residual sum with an addend',
    4,
    'g (float[N,3,6,6] x) => (float[N,2,6,6] f) <float[4,3,3,3] w, float[4] wb, float[4,4,3,3] u, float[4] ub, ' +
      `float[2,4,3,3] v, float[2] vb, float[4,1,1] k> { ${conv('a', 'x', 'w')} ${conv('b', 'a', 'u')} c = Add(a, ` +
      `b) d = Add(c, k) e = Relu(d) ${conv('f', 'e', 'v')} }`,
  ],
  [
    'Concat, pooling and a strided Slice',
    6,
    'g (float[N,3,6,6] x) => (float[N,2,3,3] f) <float[4,3,3,3] w, float[4] wb, float[2,3,3,3] u, float[2] ub, ' +
      'float[2,6,3,3] v, float[2] vb, int64[2] from = {0,0}, int64[2] to = {6,6}, int64[2] axes = {2,3}, ' +
      `int64[2] steps = {2,2}> { ${conv('a', 'x', 'w')} ${conv('b', 'x', 'u')} c = Concat<axis=1>(a, b) d = ` +
      `Slice(c, from, to, axes, steps) e = MaxPool<kernel_shape=[1,1]>(d) ${conv('f', 'e', 'v')} }`,
  ],
  [
    'padded channels',
    4,
    'g (float[N,3,6,6] x) => (float[N,2,6,6] d) <float[4,3,3,3] w, float[4] wb, float[2,6,3,3] v, float[2] vb, ' +
      `int64[8] pads = {0,1,0,0,0,1,0,0}> { ${conv('a', 'x', 'w')} b = Pad(a, pads) ${conv('d', 'b', 'v')} }`,
  ],
  [
    'flattened into Gemm',
    4,
    'g (float[N,3,6,6] x) => (float[N,5] d) <float[4,3,3,3] w, float[4] wb, float[5,144] v, float[5] vb> { ' +
      `${conv('a', 'x', 'w')} b = Relu(a) c = Flatten(b) d = Gemm<transB=1>(c, v, vb) }`,
  ],
  [
    'normalised rows into products',
    8,
    'g (float[N,5,8] x) => (float[N,5,3] b, float[N,5,2] c) <float[8] s, float[8] t, float[8,3] w, float[8,2] ' +
      'v> { a = LayerNormalization(x, s, t) b = MatMul(a, w) c = MatMul(a, v) }',
  ],
];

describe('channelSets', () => {
  it.each(CHAINS)('finds %s, and scaling any set keeps the function', async (_name, sets, body) => {
    const model = read(body);
    const before = await outputs(model);
    const found = channelSets(model);
    expect(found).toHaveLength(sets);
    const rng = createRng(1);
    const weights = new Weights();
    for (const set of found) weights.rescale(set, 10 ** (3 * rng.next() - 1.5));
    weights.commit();
    expect(distance(await outputs(model), before)).toBeLessThan(1e-4);
  });

  it.each<[why: string, body: string]>([
    [
      'Sigmoid is not homogeneous',
      'g (float[N,3,6,6] x) => (float[N,2,6,6] d) <float[4,3,3,3] w, float[4] wb, float[2,4,3,3] v, float[2] ' +
        `vb> { ${conv('a', 'x', 'w')} b = Sigmoid(a) ${conv('d', 'b', 'v')} }`,
    ],
    [
      'Clip has limits of its own',
      'g (float[N,3,6,6] x) => (float[N,2,6,6] d) <float[4,3,3,3] w, float[4] wb, float[2,4,3,3] v, float[2] ' +
        `vb, float lo = {0}, float hi = {6}> { ${conv('a', 'x', 'w')} b = Clip(a, lo, hi) ${conv('d', 'b', 'v')} ` +
        '}',
    ],
    [
      'the tensor is an output',
      'g (float[N,3,6,6] x) => (float[N,4,6,6] a, float[N,2,6,6] d) <float[4,3,3,3] w, float[4] wb, ' +
        `float[2,4,3,3] v, float[2] vb> { ${conv('a', 'x', 'w')} ${conv('d', 'a', 'v')} }`,
    ],
    [
      'a weight has two users',
      'g (float[N,4,6,6] x) => (float[N,4,6,6] d) <float[4,4,3,3] w, float[4] wb, float[4] vb> { [a] a = ' +
        'Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w, wb) b = Relu(a) [d] d = Conv<kernel_shape=[3,3], ' +
        'pads=[1,1,1,1]>(b, w, vb) }',
    ],
    [
      'callers may give the weight',
      'g (float[N,3,6,6] x, float[4,3,3,3] w) => (float[N,2,6,6] d) <float[4] wb, float[2,4,3,3] v, float[2] ' +
        `vb> { ${conv('a', 'x', 'w')} b = Relu(a) ${conv('d', 'b', 'v')} }`,
    ],
    [
      'the sum has an addend of the input',
      'g (float[N,4,6,6] x) => (float[N,2,6,6] d) <float[4,4,3,3] w, float[4] wb, float[2,4,3,3] v, float[2] ' +
        `vb> { ${conv('a', 'x', 'w')} b = Add(a, x) ${conv('d', 'b', 'v')} }`,
    ],
  ])('leaves channels alone where %s', (_why, body) => {
    expect(channelSets(read(body))).toEqual([]);
  });
});

describe('equalise', () => {
  it('gives each channel equal ranges before and after, and keeps the function', async () => {
    const model = read(CHAINS[1]![2]);
    const spoilt = new Weights();
    const rng = createRng(7);
    for (const set of channelSets(model)) spoilt.rescale(set, 10 ** (4 * rng.next() - 2));
    spoilt.commit();
    const before = await outputs(model);
    const line = await equalise.run({ model } as AdjustContext, { rounds: 40 }); // it reads nothing else
    expect(line).toMatch(/^8 channels of 2 layers in \d+ rounds$/);
    expect(distance(await outputs(model), before)).toBeLessThan(1e-5);
    const weights = new Weights();
    for (const set of channelSets(model)) {
      const [made, read] = [set.producers, set.consumers].map((slabs) =>
        Math.max(...slabs.map((s) => weights.largest(s))),
      );
      expect(made! / read!).toBeCloseTo(1, 2);
    }
  });

  it('leaves dead channels as they are', async () => {
    const model = read(
      'g (float[N,2] x) => (float[N,2] c) <float[2,2] w = {1,0,1,0}, float[2,2] v = {4,4,1,1}> { a = MatMul(x, ' +
        'w) b = Relu(a) c = MatMul(b, v) }',
    );
    await equalise.run({ model } as AdjustContext, { rounds: 40 }); // as above
    expect([...model.graph.initializers].map((v) => [...v.data!.f32()])).toEqual([
      [2, 0, 2, 0],
      [2, 2, 1, 1],
    ]);
  });
});
