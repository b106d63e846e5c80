/** Batches that threads share: the same steps as by one, the same bytes each time, and errors that arrive. */
import { describe, expect, it } from 'vitest';
import { addLoss } from '../../../src/autodiff/add-loss.js';
import { addOptimiser, type OptimiserOptions, type TrainingStep } from '../../../src/autodiff/add-optimiser.js';
import { gradients } from '../../../src/autodiff/gradients.js';
import type { Feed } from '../../../src/ir/feed.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { ThreadSession } from '../../../src/runtime/thread-session.js';
import { Trainer, type TrainerOptions } from '../../../src/train/trainer.js';
import { batchOf } from './points.js';

const NET = parseModel(
  `<ir_version: 10, opset_import: ["" : 17]> g (float[N,2] x) => (y)
   <float[2,12] w1, float[12] b1 = {0,0,0,0,0,0,0,0,0,0,0,0}, float[12,2] w2,
    float[12] scale = {1,1,1,1,1,1,1,1,1,1,1,1}, float[12] mean = {0,0,0,0,0,0,0,0,0,0,0,0},
    float[12] var = {1,1,1,1,1,1,1,1,1,1,1,1}>
   { h = MatMul (x, w1) n = BatchNormalization (h, scale, b1, mean, var) r = Tanh (n) y = MatMul (r, w2) }`,
  { randomInitializers: 3 },
);
const WEIGHTS = new Map([...NET.graph.initializers].map((v) => [v.name, v.data!])); // initializers have data
const PARAMETERS = ['w1', 'scale', 'b1', 'w2'];

function stepOf(batch: number, batchNorm: 'batch' | 'frozen', more: Partial<OptimiserOptions> = {}): TrainingStep {
  const withLoss = addLoss(NET, [{ loss: 'cross-entropy', of: 'y', target: 'labels' }]);
  const options = { loss: 'loss', wrt: PARAMETERS, outputs: ['y'], batch, batchNorm, weightsAsInputs: true };
  return addOptimiser(gradients(withLoss, options), { optimiser: 'adam', parameters: PARAMETERS, ...more });
}
async function using<T>(
  step: TrainingStep,
  options: Partial<TrainerOptions>,
  use: (t: Trainer) => Promise<T>,
): Promise<T> {
  const trainer = await Trainer.open(step, { weights: WEIGHTS, ...options });
  try {
    return await use(trainer);
  } finally {
    await trainer.close();
  }
}
const few = async (t: Trainer): Promise<{ losses: number[]; rows: readonly number[]; weights: number[] }> => {
  const losses: number[] = [];
  let rows: readonly number[] = [];
  for (let i = 0; i < 4; i++) {
    const { loss, outputs } = await t.step(batchOf(i, 48), 0.05);
    losses.push(loss);
    rows = outputs.y!.dims;
  }
  return { losses, rows, weights: [...t.weights.values()].flatMap((w) => [...w.f32()]) };
};

describe('workers', () => {
  it.each([2, 3])('take the steps that one takes, %d of them', async (workers) => {
    const whole = await using(stepOf(48, 'frozen', { clipNorm: 0.3 }), {}, few);
    const apart = stepOf(48 / workers, 'frozen', { clipNorm: 0.3, apart: true });
    const shared = await using(apart, { workers }, few);
    expect(shared.rows).toEqual(whole.rows);
    shared.losses.forEach((l, i) => expect(l).toBeCloseTo(whole.losses[i]!, 5));
    shared.weights.forEach((w, i) => expect(w).toBeCloseTo(whole.weights[i]!, 4));
    expect(await using(apart, { workers }, few)).toEqual(shared);
  });
  it('keep running statistics of the mean of what the parts saw', async () => {
    const first = async (t: Trainer): Promise<Float32Array> => {
      await t.step(batchOf(1, 48), 0);
      return t.weights.get('mean')!.f32();
    };
    const whole = await using(stepOf(48, 'batch'), {}, first);
    const shared = await using(stepOf(24, 'batch', { apart: true }), { workers: 2 }, first);
    shared.forEach((m, i) => expect(m).toBeCloseTo(whole[i]!, 6)); // parts of one size: the mean of means
  });
  it('refuse batches that they cannot share, and go on', async () => {
    await using(stepOf(24, 'frozen', { apart: true }), { workers: 2 }, async (t) => {
      await expect(t.step(batchOf(1, 47), 0.05)).rejects.toMatchObject({ code: 'DATA_SHAPE' });
      expect((await t.step(batchOf(1, 48), 0.05)).loss).toBeGreaterThan(0);
    });
  });
  it('take no late answer for that of the next step, where one of them fails', async () => {
    await using(stepOf(24, 'frozen', { apart: true }), { workers: 2 }, async (t) => {
      const good = (await t.step(batchOf(1, 48), 0)).loss;
      const bad = batchOf(2, 48);
      (bad.labels!.data as BigInt64Array)[0] = 99n; // of the first
      await expect(t.step(bad, 0)).rejects.toMatchObject({ code: 'MODEL_RUNTIME' });
      expect((await t.step(batchOf(1, 48), 0)).loss).toBe(good);
    });
  });
  it('tell the first tensor that is not finite, and keep the weights', async () => {
    const weights = new Map([...WEIGHTS, ['w1', Tensor.f32(new Float32Array(24).fill(4), [2, 12])]]);
    await using(stepOf(24, 'frozen', { apart: true }), { workers: 2, weights }, async (t) => {
      const before = t.weights.get('w1')!.f32();
      const batch = batchOf(1, 48);
      (batch.x!.data as Float32Array)[90] = 3e38; // in the part of the second
      await expect(t.step(batch, 0.05)).rejects.toMatchObject({ code: 'TRAIN_NON_FINITE', where: { tensor: 'h' } });
      expect(t.weights.get('w1')!.f32()).toEqual(before);
    });
  });
});

describe('a session in a thread', () => {
  const model = (op: string): ReturnType<typeof parseModel> =>
    parseModel(`<ir_version: 10, opset_import: ["" : 17]> g (float[N,2] x) => (y) { y = ${op} (x) }`);
  const feed: Feed = { x: { dtype: 'float32', dims: [1, 2], data: Float32Array.of(-1, 2) } };
  it('gives what the model gives', async () => {
    const session = await ThreadSession.open(model('Relu'), {});
    expect((await session.run(feed)).y).toMatchObject({ dims: [1, 2], data: Float32Array.of(0, 2) });
    await expect(session.run({})).rejects.toMatchObject({ code: 'DATA_SHAPE', where: { tensor: 'x' } });
    expect((await session.run(feed)).y!.data).toEqual(Float32Array.of(0, 2));
    await session.close();
  });
  it('says why it does not open', async () => {
    await expect(ThreadSession.open(model('NoSuchOp'), {})).rejects.toMatchObject({ code: 'MODEL_RUNTIME' });
  });
});
