import { describe, expect, it } from 'vitest';
import { rotate } from '../../../src/adjust/rotate.js';
import { createRotation, matrixOf } from '../../../src/adjust/rotation/matrix.js';
import type { AdjustContext } from '../../../src/adjust/types.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { contextOf, largestDifference, outputsOf, readModel } from './helpers.js';

describe('a rotation', () => {
  it.each([2, 8, 24, 7, 96])('of %i is orthogonal, keeps the mean and spreads every channel', (n) => {
    const q = matrixOf(createRotation(n, 1), false);
    const back = matrixOf(createRotation(n, 1), true);
    for (let i = 0; i < n; i++) {
      let row = 0;
      for (let j = 0; j < n; j++) {
        let dot = 0;
        for (let k = 0; k < n; k++) dot += q[i * n + k]! * q[j * n + k]!;
        expect(dot).toBeCloseTo(i === j ? 1 : 0, 5);
        expect(back[j * n + i]).toBeCloseTo(q[i * n + j]!, 6);
        row += q[i * n + j]!;
      }
      expect(row).toBeCloseTo(1, 5); // Q·1 = 1
      if (n >= 24) expect(Math.max(...q.subarray(i * n, (i + 1) * n).map(Math.abs))).toBeLessThan(0.75);
    }
  });
});

/** Two pre-norm blocks of width 24 behind an embedding; `tail` reads the stream. */
const decoder = (tail: string): string =>
  `g (int64[N,5] ids, float[N,5,24] extra) => (float[N,5,OUT] y)
  <float[16,24] table, float[5,24] place, float[24] g1, float[24] b1, float[24,24] w1, float[24] c1, float[24,24] w2, float[24] c2, float[24] g2, float[24] b2, float[24,48] w3, float[48,24] w4, float[24] g3, float[24] b3, float[24,6] head> {
  e = Gather(table, ids) x = Add(e, place)
  n1 = LayerNormalization(x, g1, b1) a1 = MatMul(n1, w1) a2 = Add(a1, c1) a3 = Relu(a2) a4 = MatMul(a3, w2) a5 = Add(a4, c2) h1 = Add(x, a5)
  n2 = LayerNormalization(h1, g2, b2) f1 = MatMul(n2, w3) f2 = Tanh(f1) f3 = MatMul(f2, w4) h2 = Add(h1, f3) ${
    tail
  } }`.replace('OUT', tail.includes('head') ? '6' : '24');
const HEAD = decoder('n3 = LayerNormalization(h2, g3, b3) y = MatMul(n3, head)');

const ids: Feed = {
  ids: { dtype: 'int64', dims: [2, 5], data: BigInt64Array.from([3, 1, 7, 15, 0, 2, 2, 9, 11, 4], BigInt) },
  extra: { dtype: 'float32', dims: [2, 5, 24], data: Float32Array.from({ length: 240 }, (_, i) => Math.sin(i)) },
};
const context = (model: Model): AdjustContext => ({
  ...contextOf(model, 0),
  batches: () => {
    throw new Error('reads data');
  },
});
const run = (model: Model, o: object = {}): Promise<string> => rotate.run(context(model), rotate.options.parse(o));
const count = (m: Model, op: string): number => [...m.graph.nodes].filter((n) => n.op === op).length;

describe('rotate', () => {
  it('turns the weights around a residual stream, adds no node and keeps the function', async () => {
    const model = readModel(HEAD);
    const before = await outputsOf(model, ids);
    const nodes = model.graph.nodes.size;
    expect(await run(model)).toBe('1 residual stream, 8 constants rotated');
    expect(model.graph.nodes.size).toBe(nodes);
    expect(largestDifference(before, await outputsOf(model, ids))).toBeLessThan(1e-5);
    expect(largestDifference(before, await outputsOf(readModel(HEAD), ids))).toBe(0);
  });
  it('spreads a channel that is 100 times wider than the others', async () => {
    const wide = (m: Model): Model => {
      for (const v of m.graph.initializers)
        if (v.name === 'table')
          v.data = Tensor.f32(
            v.data!.f32().map((x, i) => (i % 24 === 5 ? 100 * x : x)),
            v.data!.dims,
          );
      return m;
    };
    const largest = async (m: Model): Promise<number> => {
      m.graph.addOutput(m.graph.topological().find((n) => n.outputs[0]!.name === 'h2')!.outputs[0]!);
      return Math.max(...(await outputsOf(m, ids))[1]!.map(Math.abs));
    };
    const rotated = wide(readModel(HEAD));
    await run(rotated);
    expect(await largest(rotated)).toBeLessThan(0.7 * (await largest(wide(readModel(HEAD)))));
  });
  it('turns back, by a product, what others read and turns what others write', async () => {
    const body = decoder(
      'h3 = Add(h2, extra) n3 = LayerNormalization(h3, g3, b3) z = MatMul(n3, w5) y = Add(h3, z)',
    ).replace('float[24,6] head', 'float[24,24] w5');
    const model = readModel(body);
    const before = await outputsOf(model, ids);
    expect(await run(model, { online: false })).toMatch(/^0 residual streams.* 1 left/);
    expect(await run(model)).toBe('1 residual stream, 9 constants rotated, 2 products inserted');
    expect(count(model, 'MatMul')).toBe(7);
    expect(model.graph.outputs[0]!.name).toBe('y');
    expect(largestDifference(before, await outputsOf(model, ids))).toBeLessThan(1e-5);
  });
  it('leaves post-norm transformers, whose normalised tensors are added on', async () => {
    const model = readModel(
      'g (float[N,5,8] x) => (float[N,5,8] y) <float[8] g1, float[8] b1, float[8,8] w1, float[8,8] w2, ' +
        'float[8] g2, float[8] b2> { n = LayerNormalization(x, g1, b1) a = MatMul(n, w1) h = Add(n, a) y = ' +
        'LayerNormalization(h, g2, b2) }',
    );
    expect(await run(model)).toBe(
      '0 residual streams, 0 constants rotated · no normalisation that weights alone read follows a sum of tensors',
    );
  });
});
