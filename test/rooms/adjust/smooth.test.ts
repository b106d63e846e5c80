import { describe, expect, it } from 'vitest';
import { smooth } from '../../../src/adjust/smooth.js';
import { smoothUnits } from '../../../src/adjust/smoothing/units.js';
import type { AdjustContext } from '../../../src/adjust/types.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { batchesOf, contextOf, int8Schemes, largestDifference, outputsOf, readModel } from './helpers.js';

const NORM =
  'g (float[N,5,8] x) => (float[N,5,3] b, float[N,5,2] c) <float[8] s, float[8] t, float[8,3] w, float[8,2] v> ' +
  '{ a = LayerNormalization(x, s, t) b = MatMul(a, w) c = MatMul(a, v) }';
const GELU =
  'g (float[N,5,8] x) => (float[N,5,3] b) <float[8] s, float[8] t, float[8,3] w> { n = LayerNormalization(x, ' +
  's, t) a = Tanh(n) k = Mul(a, n) b = MatMul(k, w) }';
const CODES = (
  'g (float[N,5,8] x) => (float[N,5,3] b) <float[8,8] u, float[8,3] w> { a = MatMul(x, u) m = Reshape(a, ' +
  'shape) b = MatMul(m, w) }'
).replace('<', '<int64[3] shape = {0,5,8}, ');

/** One channel of a LayerNormalization 60 times as wide as the others. */
function widen(model: Model): Model {
  for (const v of model.graph.initializers)
    if (v.name === 's' || v.name === 't') {
      const data = v.data!.f32().slice();
      data[2]! *= 60;
      v.data = Tensor.f32(data, v.data!.dims);
    } // initializers have data
  return model;
}
const context = (model: Model): AdjustContext => contextOf(model, 6);
const options = (o: object) => smooth.options.parse(o);
const ops = (m: Model): string[] => m.graph.topological().map((n) => n.op);

describe('smooth', () => {
  it('scales the weights of LayerNormalization, adds no node and keeps the function', async () => {
    const model = widen(readModel(NORM));
    const before = await outputsOf(model);
    const line = await smooth.run(context(model), options({}));
    expect(line).toMatch(/^1 of 1 inputs · squared error of their layers -\d+ %$/);
    expect(Number(/(-\d+) %/.exec(line)![1])).toBeLessThan(-80); // one wide channel costs all others their levels
    expect(ops(model)).toEqual(['LayerNormalization', 'MatMul', 'MatMul']);
    expect(largestDifference(before, await outputsOf(model))).toBeLessThan(1e-5);
  });
  it('puts a Mul where no weight before can be scaled, unless told not to', async () => {
    const model = widen(readModel(GELU));
    const before = await outputsOf(model);
    expect(await smooth.run(context(model), options({ insert: false }))).toBe('no layer whose input can be scaled');
    expect(await smooth.run(context(model), options({}))).toMatch(/^1 of 1 inputs, 1 with a Mul/);
    expect(ops(model)).toEqual(['LayerNormalization', 'Tanh', 'Mul', 'Mul', 'MatMul']);
    expect(largestDifference(before, await outputsOf(model))).toBeLessThan(1e-5);
  });
  it('puts no Mul where it saves little', async () => {
    const model = readModel(GELU);
    expect(await smooth.run(context(model), options({ alpha: 0 }))).toMatch(/^0 of 1 inputs/);
    expect(ops(model)).toEqual(['LayerNormalization', 'Tanh', 'Mul', 'MatMul']);
  });
  it('with α = 1 gives every channel the same range', async () => {
    const model = widen(readModel(NORM));
    await smooth.run(context(model), options({ alpha: 1 }));
    for (const t of model.graph.outputs) expect(t.producer!.op).toBe('MatMul');
    const a = model.graph.topological()[0]!.outputs[0]!;
    model.graph.addOutput(a);
    const largest = new Float64Array(8);
    for await (const batch of batchesOf(model, 6))
      for (const feed of batch.feeds) {
        const y = (await outputsOf(model, feed))[2]!;
        y.forEach((v, i) => {
          largest[i % 8] = Math.max(largest[i % 8]!, Math.abs(v));
        });
      }
    for (const v of largest) expect(v / largest[0]!).toBeCloseTo(1, 4);
  });
  it('finds nothing to win where inputs stay float', async () => {
    const model = widen(readModel(NORM));
    const before = model.graph.topological().map((n) => n.inputs[1]!.data); // weights are constants
    expect(
      await smooth.run({ ...context(model), schemesOf: (n) => ({ weights: int8Schemes(n).weights }) }, options({})),
    ).toBe('nothing to win: the recipe leaves the inputs of these layers in float');
    expect(model.graph.topological().map((n) => n.inputs[1]!.data)).toEqual(before);
  });
  it(
    'searches α with the types of the recipe: with 16-bit inputs and 4-bit weights it makes the weights that ' +
      'wide channels read larger still, as AWQ does',
    async () => {
      const spreadOf = async (schemesOf: AdjustContext['schemesOf']): Promise<number> => {
        const model = widen(readModel(NORM));
        const w = model.graph.topological()[1]!.inputs[1]!; // of a MatMul
        const old = w.data!.f32().slice(); // it is constant
        await smooth.run({ ...context(model), schemesOf }, options({}));
        const now = w.data!.f32();
        return (
          Math.max(...old.map((x, i) => Math.abs(now[i]! / x))) / Math.min(...old.map((x, i) => Math.abs(now[i]! / x)))
        ); // as long
      };
      const [eight, four] = [
        await spreadOf(int8Schemes),
        await spreadOf((n) => ({
          activations: { ...int8Schemes(n).activations!, dtype: 'uint16' },
          weights: { ...int8Schemes(n).weights!, dtype: 'int4' },
        })),
      ]; // both are given
      expect(eight).toBeGreaterThan(2);
      expect(four).toBeGreaterThan(1.5 * eight);
    },
  );
  it('leaves alone what is in codes before it could be scaled', () => {
    const units = smoothUnits(readModel(CODES));
    expect(units.map((u) => [u.inputs[0]!.value.name, u.sets])).toEqual([['x', undefined]]);
  });
  it('fails without samples', async () => {
    const model = readModel(NORM);
    await expect(
      smooth.run({ ...context(model), batches: () => batchesOf(model, 0) }, options({})),
    ).rejects.toMatchObject({ code: 'CALIBRATION_EMPTY' });
  });
});
