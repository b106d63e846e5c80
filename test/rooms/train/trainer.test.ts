/** Steps of training: what goes round, what is kept, and what is refused. */
import { describe, expect, it } from 'vitest';
import { addLoss } from '../../../src/autodiff/add-loss.js';
import { addOptimiser, type OptimiserOptions, type TrainingStep } from '../../../src/autodiff/add-optimiser.js';
import { gradients } from '../../../src/autodiff/gradients.js';
import { createRng } from '../../../src/base/rng.js';
import type { Feed, FeedTensor } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { openModel } from '../../../src/runtime/open.js';
import { Trainer } from '../../../src/train/trainer.js';
import { withWeights } from '../../../src/train/write-back.js';

const BATCH = 64;
/** Two layers with a normalisation between them, as an exporter writes them. */
const NET = parseModel(
  `<ir_version: 10, opset_import: ["" : 17]> g (float[N,2] x) => (y)
   <float[2,16] w1, float[16] s = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1},
    float[16] b = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0},
    float[16] mean = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0},
    float[16] var = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}, float[16,2] w2>
   { h = MatMul (x, w1) n = BatchNormalization (h, s, b, mean, var) r = Relu (n) y = MatMul (r, w2) }`,
  { randomInitializers: 3 },
);
const WEIGHTS = new Map([...NET.graph.initializers].map((v) => [v.name, v.data!])); // initializers have data
const PARAMETERS = ['w1', 's', 'b', 'w2'];

function stepOf(optimiser: string, more: Partial<OptimiserOptions> = {}): TrainingStep {
  const withLoss = addLoss(NET, [{ loss: 'cross-entropy', of: 'y', target: 'labels' }]);
  const made = gradients(withLoss, {
    loss: 'loss',
    wrt: PARAMETERS,
    batch: BATCH,
    batchNorm: 'batch',
    weightsAsInputs: true,
  });
  return addOptimiser(made, { optimiser, parameters: PARAMETERS, ...more });
}
/** Points, and whether both coordinates have the same sign: no line parts them. */
function batchOf(seed: number): Feed {
  const rng = createRng(seed, 'points');
  const x = Float32Array.from({ length: 2 * BATCH }, () => rng.normal());
  const labels = BigInt64Array.from({ length: BATCH }, (_, i) => (x[2 * i]! * x[2 * i + 1]! > 0 ? 1n : 0n));
  return {
    x: { dtype: 'float32', dims: [BATCH, 2], data: x },
    labels: { dtype: 'int64', dims: [BATCH], data: labels },
  };
}
async function trained(optimiser: string, steps: number, rate: number): Promise<{ losses: number[]; model: Model }> {
  const trainer = await Trainer.open(stepOf(optimiser), { weights: WEIGHTS });
  const losses: number[] = [];
  try {
    for (let i = 0; i < steps; i++) losses.push((await trainer.step(batchOf(i), rate)).loss);
    return { losses, model: withWeights(NET, trainer.weights) };
  } finally {
    await trainer.close();
  }
}
const mean = (list: readonly number[]): number => list.reduce((n, v) => n + v, 0) / list.length;
const bytesOf = (m: Model): unknown =>
  [...m.graph.initializers].map((v) => [v.name, Buffer.from(v.data!.bytes()).toString('hex')]);

describe('Trainer', () => {
  it.each([
    ['sgd', 0.05],
    ['adam', 0.03],
    ['adamw', 0.03],
    ['sign-sgd', 0.01],
  ] as const)('%s learns what no line parts, and the model can be used afterwards', async (optimiser, rate) => {
    const { losses, model } = await trained(optimiser, 300, rate);
    expect(mean(losses.slice(0, 5))).toBeGreaterThan(0.6);
    expect(mean(losses.slice(-20))).toBeLessThan(0.25);
    const session = await openModel(model);
    const { x, labels } = batchOf(1000);
    const y = (await session.run({ x: x! })).y!.data;
    await session.close();
    const right = Array.from({ length: BATCH }, (_, i) => Number(Number(y[2 * i + 1]) > Number(y[2 * i])));
    const hits = right.filter((v, i) => BigInt(v) === (labels!.data as BigInt64Array)[i]).length; // they are int64
    expect(hits).toBeGreaterThanOrEqual(54); // of 64, by chance 32; with running statistics
  });
  it('gives the same bytes twice, and from a checkpoint', async () => {
    const whole = await trained('adam', 20, 0.02);
    expect(bytesOf((await trained('adam', 20, 0.02)).model)).toEqual(bytesOf(whole.model));
    const first = await Trainer.open(stepOf('adam'), { weights: WEIGHTS });
    for (let i = 0; i < 12; i++) await first.step(batchOf(i), 0.02);
    const { state } = first;
    await first.close();
    const second = await Trainer.open(stepOf('adam'), { weights: WEIGHTS });
    second.restore(state);
    expect(second.steps).toBe(12);
    for (let i = 12; i < 20; i++) await second.step(batchOf(i), 0.02);
    expect(bytesOf(withWeights(NET, second.weights))).toEqual(bytesOf(whole.model));
    await second.close();
  });
  it('follows the statistics of batches by the momentum', async () => {
    const trainer = await Trainer.open(stepOf('sgd'), { weights: WEIGHTS, momentum: 0.75 });
    const { outputs } = await trainer.step(batchOf(0), 0.1);
    const [was, batch] = [outputs['batch of mean']!.data, outputs['batch of var']!.data];
    trainer.weights
      .get('mean')!
      .f32()
      .forEach((v, i) => expect(v).toBeCloseTo(0.25 * Number(was[i]), 6));
    trainer.weights
      .get('var')!
      .f32()
      .forEach((v, i) => expect(v).toBeCloseTo(0.75 + 0.25 * Number(batch[i]), 6));
    await trainer.close();
  });
  it('does not take a step that gives NaN, and says what held it', async () => {
    const trainer = await Trainer.open(stepOf('sgd'), { weights: WEIGHTS });
    await trainer.step(batchOf(0), 0.1);
    const before = bytesOf(withWeights(NET, trainer.weights));
    const bad: FeedTensor = { ...batchOf(1).x!, data: new Float32Array(2 * BATCH).fill(NaN) };
    await expect(trainer.step({ ...batchOf(1), x: bad }, 0.1)).rejects.toMatchObject({
      code: 'TRAIN_NON_FINITE',
      where: { tensor: 'x' },
    });
    expect(bytesOf(withWeights(NET, trainer.weights))).toEqual(before);
    expect(trainer.steps).toBe(1);
    expect((await trainer.step(batchOf(1), 0.1)).loss).toBeGreaterThan(0);
    await trainer.close();
  });
  it('needs a value for each weight', async () => {
    const some = new Map([...WEIGHTS].filter(([name]) => name !== 'w2'));
    await expect(Trainer.open(stepOf('sgd'), { weights: some })).rejects.toMatchObject({ where: { tensor: 'w2' } });
  });
});

describe('addOptimiser()', () => {
  it('scales gradients whose norm over all weights is beyond the limit', async () => {
    const free = await Trainer.open(stepOf('sgd', { clipNorm: 1e9 }), { weights: WEIGHTS });
    const { outputs } = await free.step(batchOf(0), 1);
    const norm = Number(outputs['gradient norm']!.data[0]);
    const moved = (t: Trainer): number[] =>
      [...t.weights.get('w2')!.f32()].map((v, i) => v - WEIGHTS.get('w2')!.f32()[i]!);
    const clipped = await Trainer.open(stepOf('sgd', { clipNorm: norm / 4 }), { weights: WEIGHTS });
    await clipped.step(batchOf(0), 1);
    const long = moved(free);
    moved(clipped).forEach((v, i) => expect(v).toBeCloseTo(long[i]! / 4, 6));
    await free.close();
    await clipped.close();
  });
  it('spares weights of decay', async () => {
    const options = { options: { momentum: 0, decay: 0.5 }, withoutDecay: ['w1'] };
    const [plain, decayed] = (await Promise.all(
      [stepOf('sgd', { options: { momentum: 0 } }), stepOf('sgd', options)].map((s) =>
        Trainer.open(s, { weights: WEIGHTS }),
      ),
    )) as [Trainer, Trainer]; // one for each
    for (const t of [plain, decayed]) await t.step(batchOf(0), 0.1);
    expect(decayed.weights.get('w1')!.f32()).toEqual(plain.weights.get('w1')!.f32());
    const [a, b] = [plain, decayed].map((t) => t.weights.get('w2')!.f32()) as [Float32Array, Float32Array]; // of each
    a.forEach((v, i) => expect(v - b[i]!).toBeCloseTo(0.1 * 0.5 * WEIGHTS.get('w2')!.f32()[i]!, 6));
    await plain.close();
    await decayed.close();
  });
  it('steps by the sign of the running mean', async () => {
    const trainer = await Trainer.open(stepOf('sign-sgd', { options: { momentum: 0.5 } }), { weights: WEIGHTS });
    await trainer.step(batchOf(0), 0.25);
    const before = WEIGHTS.get('w2')!.f32();
    trainer.weights
      .get('w2')!
      .f32()
      .forEach((v, i) => expect(Math.abs(v - before[i]!)).toBeCloseTo(0.25, 6));
    await trainer.close();
  });
  it.each([
    ['an unknown optimiser', { optimiser: 'sdg' }, 'RECIPE_UNKNOWN_NAME'],
    ['an option out of range', { optimiser: 'sgd', options: { momentum: 1 } }, 'RECIPE_INVALID'],
    ['an unknown option', { optimiser: 'sgd', options: { speed: 1 } }, 'RECIPE_INVALID'],
    ['a weight without a gradient', { optimiser: 'sgd', parameters: ['x'] }, 'GRADIENT_UNKNOWN_NAME'],
  ])('refuses %s', (_, { optimiser, ...more }, code) => {
    expect(() => stepOf(optimiser, more)).toThrow(expect.objectContaining({ code }));
  });
});

describe('addLoss()', () => {
  it('sums weighted terms, and returns each', async () => {
    const made = addLoss(NET, [
      { loss: 'mse', of: 'y', target: 't', weight: 0.25 },
      { loss: 'cosine', of: 'r', weight: 2 },
    ]);
    const session = await openModel(made);
    const row = (n: number, v: number): FeedTensor => ({
      dtype: 'float32',
      dims: [2, n],
      data: new Float32Array(2 * n).fill(v),
    });
    const r = await session.run({ x: row(2, 1), t: row(2, 0.5), 'target of r': row(16, 1) });
    await session.close();
    const at = (name: string): number => Number(r[name]!.data[0]);
    expect(at('loss')).toBeCloseTo(0.25 * at('loss of y') + 2 * at('loss of r'), 5);
    expect(at('loss of y')).toBeGreaterThan(0);
  });
  it('takes what the model itself computes as the target: a teacher', () => {
    const made = addLoss(NET, [{ loss: 'mse', of: 'r', target: 'h' }]);
    expect(made.graph.inputs.map((v) => v.name)).toEqual(['x']);
  });
  it.each([
    ['an unknown loss', { loss: 'mean-square', of: 'y' }, 'RECIPE_UNKNOWN_NAME'],
    ['an unknown value', { loss: 'mse', of: 'z' }, 'GRADIENT_UNKNOWN_NAME'],
    ['an option out of range', { loss: 'kl', of: 'y', options: { temperature: 0 } }, 'RECIPE_INVALID'],
  ])('refuses %s', (_, term, code) => {
    expect(() => addLoss(NET, [term])).toThrow(expect.objectContaining({ code }));
  });
  it('refuses weights that no initializer takes', () => {
    expect(() => withWeights(NET, new Map([['q', Tensor.f32([1])]]))).toThrow(
      expect.objectContaining({ code: 'RECIPE_UNKNOWN_NAME' }),
    );
  });
});
