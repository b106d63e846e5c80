import { describe, expect, it } from 'vitest';
import { splitOutliers, splits } from '../../../src/adjust/split-outliers.js';
import type { AdjustContext } from '../../../src/adjust/types.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { contextOf, largestDifference, outputsOf, readModel } from './helpers.js';

const CONV =
  'g (float[N,3,6,6] x) => (float[N,2,3,3] d) <float[4,3,3,3] w, float[4] wb, float[2,4,3,3] v, float[2] vb> { ' +
  'a = Conv<pads=[1,1,1,1]>(x, w, wb) b = Relu(a) c = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b) d = ' +
  'Conv<pads=[1,1,1,1]>(c, v, vb) }';
const MATMUL =
  'g (float[N,5,3] x) => (float[N,5,2] c) <float[3,4] w, float[4,2] v> { a = MatMul(x, w) b = Relu(a) c = ' +
  'MatMul(b, v) }';
const GROUPED =
  'g (float[N,3,6,6] x) => (float[N,4,6,6] c) <float[4,3,1,1] w, float[4] wb, float[4,1,1,1] v, float[4] vb> { ' +
  'a = Conv(x, w, wb) b = Relu(a) c = Conv<group=4>(b, v, vb) }';

const context = (model: Model): AdjustContext => contextOf(model, 4);
const constant = (m: Model, name: string): Tensor => [...m.graph.initializers].find((v) => v.name === name)!.data!;
async function split(model: Model, o: object): Promise<string> {
  const line = await splitOutliers.run(context(model), splitOutliers.options.parse(o));
  inferShapes(model);
  return line;
}

describe('split-outliers', () => {
  it('halves the largest channel again and again', () => {
    expect(splits(Float64Array.of(1, 10, 3), 3)).toEqual({
      from: [0, 1, 2, 1, 1, 1],
      share: [1, 0.25, 1, 0.25, 0.25, 0.25],
      shift: [0, -0.375, 0, -0.125, 0.125, 0.375],
    });
  });
  it.each([
    ['convolutions', CONV, 'v', 1, 'weights'],
    ['products', MATMUL, 'v', 0, 'weights'],
    ['convolutions', CONV, 'w', 0, 'activations'],
  ] as const)('of %s keep the function', async (_name, body, name, axis, of) => {
    const model = readModel(body);
    const before = await outputsOf(model);
    expect(await split(model, { of, ratio: 0.25 })).toBe('1 channels added to 1 layers');
    expect(constant(model, name).dims[axis]).toBe(5);
    const after = await outputsOf(model);
    expect(largestDifference(before, after)).toBeLessThan(1e-6);
  });
  it('halves the largest weight', async () => {
    const model = readModel(MATMUL);
    const v = [...model.graph.initializers].find((i) => i.name === 'v')!;
    v.data = Tensor.f32([0.1, 0.2, 0.3, 8, 0.5, 0.4, 0.2, 0.1], [4, 2]);
    await split(model, { ratio: 0.1 });
    expect([...constant(model, 'v').f32()]).toEqual([0.1, 0.2, 0.15, 4, 0.5, 0.4, 0.2, 0.1, 0.15, 4].map(Math.fround));
  });
  it('with bits, halves are apart by half a step: rounded, they sum to the rounding of the whole', async () => {
    const model = readModel(MATMUL);
    const v = [...model.graph.initializers].find((i) => i.name === 'v')!;
    const step = 4 / 127; // what is left of 8 after halving
    const before = [0.1, 0.2, 0.3, 3.33, 8, 8, 0.2, 0.1];
    v.data = Tensor.f32(before, [4, 2]);
    await split(model, { ratio: 0.1, bits: 8, granularity: 'tensor' });
    const after = [...constant(model, 'v').f32()];
    for (const j of [0, 1]) {
      const [a, b] = [after[4 + j]!, after[8 + j]!]; // row 2 and its copy
      expect(a + b).toBeCloseTo(before[4 + j]!, 5);
      expect(b - a).toBeCloseTo(step / 2, 5);
      expect(Math.abs(Math.round(a / step) * step + Math.round(b / step) * step - before[4 + j]!)).toBeLessThan(
        step / 2 + 1e-6,
      );
    }
  });
  it('halves the channel with the largest values', async () => {
    const model = readModel(CONV);
    const scaled = constant(model, 'w')
      .f32()
      .map((x, i) => (i >= 54 && i < 81 ? 50 * Math.abs(x) : x));
    [...model.graph.initializers].find((i) => i.name === 'w')!.data = Tensor.f32(scaled, [4, 3, 3, 3]);
    await split(model, { of: 'activations', ratio: 0.25 });
    const made = constant(model, 'w').f32();
    expect([...made.subarray(54, 81)]).toEqual([...scaled.subarray(54, 81)].map((x) => x / 2));
    expect([...made.subarray(108)]).toEqual([...made.subarray(54, 81)]);
  });
  it('leaves channels whose number is told elsewhere', async () => {
    expect(await split(readModel(GROUPED), {})).toBe('0 channels added to 0 layers');
  });
});
