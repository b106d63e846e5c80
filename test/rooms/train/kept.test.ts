/** Fine-tuning leaves zeros and shared values as they are. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { PackedSamples } from '../../../src/data/packed.js';
import type { Sample } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { learn, type LearnSettings } from '../../../src/train/learn.js';
import { withKept, type Kept } from '../../../src/train/kept.js';
import { trainSpec } from '../../../src/recipe/train-spec.js';

const COUNT = 128;
/** Weights of w1 are zero in every third place, those of w2 share four values, one of which is zero. */
function net(): Model {
  const model = parseModel(
    `<ir_version: 10, opset_import: ["" : 18]> g (float[N,4] x) => (float[N,2] y)
     <float[4,24] w1, float[24] b1, float[24,2] w2> { p = MatMul (x, w1) h = Add (p, b1) r = Relu (h) y = MatMul (r, w2) }`,
    { randomInitializers: 2 },
  );
  for (const v of model.graph.initializers) {
    const data = v.data!; // initializers have data
    if (v.name === 'w1')
      v.data = Tensor.f32(
        data.f32().map((x, i) => (i % 3 ? x : 0)),
        data.dims,
      );
    if (v.name === 'w2')
      v.data = Tensor.f32(
        data.f32().map((_, i) => [-0.5, 0, 0.25, 1][i % 4]!),
        data.dims,
      );
  }
  return model;
}
async function* samples(): AsyncGenerator<Sample> {
  const rng = createRng(5, 'samples');
  for (let i = 0; i < COUNT; i++) {
    const data = Float32Array.from({ length: 4 }, () => rng.normal());
    const label = Number(data[0]! * data[1]! > 0);
    yield await Promise.resolve({
      id: String(i),
      hash: String(i),
      label,
      feeds: [{ x: { dtype: 'float32', dims: [1, 4], data } }],
    });
  }
}
const dataOf = (model: Model, name: string): number[] => [
  ...[...model.graph.initializers].find((v) => v.name === name)!.data!.f32(),
]; // it has one of that name

async function tuned(keep: readonly Kept[], optimiser: string): Promise<{ model: Model; losses: readonly number[] }> {
  const {
    loss,
    augment: _,
    ...spec
  } = trainSpec.parse({ steps: 60, batch: 32, rate: 0.02, optimiser, validation: { share: 0.2 } });
  const settings: LearnSettings = { ...spec, loss, keep };
  const packed = await PackedSamples.read(samples());
  const { model, fit } = await learn({ model: net(), settings, samples: packed });
  return { model, losses: fit.curve.map((p) => p.loss) };
}

describe.each(['adamw', 'sgd'])('%s', (optimiser) => {
  it('keeps zeros and nothing else', async () => {
    const { model, losses } = await tuned(['zeros'], optimiser);
    expect(dataOf(model, 'w1').map((x) => x === 0)).toEqual(dataOf(net(), 'w1').map((x) => x === 0));
    expect(dataOf(model, 'w2').filter((x) => x === 0)).toHaveLength(12);
    expect(new Set(dataOf(model, 'w2')).size).toBeGreaterThan(4);
    expect(losses.at(-1)!).toBeLessThan(0.7 * losses[0]!); // steps gave points
  });
  it('keeps which weights share a value, and learns the values', async () => {
    const { model, losses } = await tuned(['codebooks'], optimiser);
    const w2 = dataOf(model, 'w2');
    expect(new Set(w2).size).toBe(4);
    w2.forEach((x, i) => expect(x).toBe(w2[i % 4]));
    expect(w2.slice(0, 4)).not.toEqual([-0.5, 0, 0.25, 1]);
    expect(new Set(dataOf(model, 'w1')).size).toBeGreaterThan(60); // it shares none but its zeros
    expect(losses.at(-1)!).toBeLessThan(0.8 * losses[0]!); // steps gave points
  });
  it('keeps both', async () => {
    const { model } = await tuned(['zeros', 'codebooks'], optimiser);
    const w2 = dataOf(model, 'w2');
    expect([new Set(w2).size, w2[1]]).toEqual([4, 0]);
  });
});

it('computes the same, and gives back what was learned', () => {
  const model = net();
  const kept = withKept(model, ['w1', 'b1', 'w2'], ['zeros', 'codebooks']);
  expect(kept.parameters).toEqual(['w1', 'b1', 'levels of w2']);
  expect([...model.graph.nodes]).toHaveLength(4); // the one given stays as it is
  const restored = kept.restore(new Map([['levels of w2', Tensor.f32([5, 6, 7, 8])]]));
  expect([...restored.get('w2')!.f32().slice(0, 4)]).toEqual([5, 6, 7, 8]); // ascending values
});

it('refuses to keep codebooks of weights that become integers', () => {
  expect(trainSpec.safeParse({ quantized: true, keep: ['codebooks'] }).success).toBe(false);
  expect(trainSpec.safeParse({ quantized: true, keep: ['zeros'] }).success).toBe(true);
});
