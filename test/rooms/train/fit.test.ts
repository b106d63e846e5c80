/** A whole training: schedules, accumulation, means of weights, validation, checkpoints, and what stops it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { addLoss } from '../../../src/autodiff/add-loss.js';
import { addOptimiser, type OptimiserOptions, type TrainingStep } from '../../../src/autodiff/add-optimiser.js';
import { gradients } from '../../../src/autodiff/gradients.js';
import type { RunEvent } from '../../../src/base/events.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { fit, type FitOptions } from '../../../src/train/fit.js';
import { rateOver } from '../../../src/train/rate.js';
import { Trainer } from '../../../src/train/trainer.js';
import { batchOf } from './points.js';

const NET = parseModel(
  `<ir_version: 10, opset_import: ["" : 17]> g (float[N,2] x) => (y)
   <float[2,12] w1, float[12] b1 = {0,0,0,0,0,0,0,0,0,0,0,0}, float[12,2] w2>
   { h = MatMul (x, w1) a = Add (h, b1) r = Tanh (a) y = MatMul (r, w2) }`,
  { randomInitializers: 3 },
);
const WEIGHTS = new Map([...NET.graph.initializers].map((v) => [v.name, v.data!])); // initializers have data
const PARAMETERS = ['w1', 'b1', 'w2'];

function stepOf(batch: number, more: Partial<OptimiserOptions> = {}): TrainingStep {
  const withLoss = addLoss(NET, [{ loss: 'cross-entropy', of: 'y', target: 'labels' }]);
  const made = gradients(withLoss, { loss: 'loss', wrt: PARAMETERS, batch, weightsAsInputs: true });
  return addOptimiser(made, { optimiser: 'adam', parameters: PARAMETERS, ...more });
}
/** Two halves of a batch. */
const halves = (b: Feed): Feed[] =>
  [0, 1].map((h) =>
    Object.fromEntries(
      Object.entries(b).map(([name, t]) => {
        const n = t.data.length / 2;
        // both are typed arrays
        const data = (t.data as Float32Array).slice(h * n, (h + 1) * n);
        return [name, { ...t, dims: [t.dims[0]! / 2, ...t.dims.slice(1)], data }];
      }),
    ),
  );
/** Five batches an epoch, others in each. */
async function* batches(epoch: number, from: number): AsyncGenerator<Feed> {
  for (let i = from; i < 5; i++) yield await Promise.resolve(batchOf(100 * epoch + i, 32));
}
const bytesOf = (weights: ReadonlyMap<string, Tensor>): unknown =>
  [...weights].map(([name, t]) => [name, Buffer.from(t.bytes()).toString('hex')]);
const base = (more: Partial<FitOptions> = {}): FitOptions => ({
  step: stepOf(32),
  weights: WEIGHTS,
  batches,
  steps: 23,
  rate: rateOver(23, { rate: 0.02, schedule: 'cosine' }),
  ...more,
});

const folders: string[] = [];
const folder = (): string => {
  const made = mkdtempSync(path.join(tmpdir(), 'fit-'));
  folders.push(made);
  return made;
};
afterEach(() => {
  for (const f of folders.splice(0)) rmSync(f, { recursive: true });
});

describe('rateOver()', () => {
  it.each([
    ['constant', { rate: 0.5 }, [0.5, 0.5, 0.5]],
    [
      'cosine',
      { rate: 1, schedule: 'cosine', options: { final: 0.2 } },
      [1, 0.6, 0.2 + 0.4 * (1 + Math.cos(0.9 * Math.PI))],
    ],
    ['step', { rate: 1, schedule: 'step', options: { at: [0.5, 0.9], factor: 0.1 } }, [1, 0.1, 0.01]],
    [
      'one-cycle',
      { rate: 1, schedule: 'one-cycle', options: { rise: 0.5, start: 0.1, final: 0 } },
      [0.1, 1, 0.5 * (1 + Math.cos(0.8 * Math.PI))],
    ],
    ['a rise before', { rate: 1, warmUp: 0.5 }, [1 / 6, 1, 1]],
  ])('%s', (_, options, expected) => {
    const rate = rateOver(10, options);
    [1, 6, 10].forEach((step, i) => expect(rate(step)).toBeCloseTo(expected[i]!, 12));
  });
  it('knows its schedules', () => {
    expect(() => rateOver(10, { rate: 1, schedule: 'cosin' })).toThrow(
      expect.objectContaining({ code: 'RECIPE_UNKNOWN_NAME' }),
    );
  });
});

describe('gradients of several batches', () => {
  it.each(['sgd', 'adam', 'lamb', 'muon'])('are those of one batch as large, with %s', async (optimiser) => {
    const options = { optimiser, clipNorm: 0.2 };
    const whole = await Trainer.open(stepOf(64, options), { weights: WEIGHTS });
    const parts = await Trainer.open(stepOf(32, { ...options, accumulate: 2 }), { weights: WEIGHTS });
    for (let i = 0; i < 5; i++) {
      const a = await whole.step(batchOf(i, 64), 0.05);
      const b = await parts.step(halves(batchOf(i, 64)), 0.05);
      expect(b.loss).toBeCloseTo(a.loss, 5);
    }
    expect(parts.steps).toBe(5);
    for (const name of PARAMETERS)
      parts.weights
        .get(name)!
        .f32()
        .forEach((v, i) => expect(v).toBeCloseTo(whole.weights.get(name)!.f32()[i]!, 4));
    await expect(parts.step(batchOf(9, 32), 0.05)).rejects.toMatchObject({ code: 'DATA_SHAPE' });
    await whole.close();
    await parts.close();
  });
});

describe('lamb', () => {
  it('steps as far as the rate says of the norm of the weight', async () => {
    const trainer = await Trainer.open(stepOf(32, { optimiser: 'lamb', withoutDecay: ['b1'] }), { weights: WEIGHTS });
    await trainer.step(batchOf(0, 32), 0.1);
    const before = WEIGHTS.get('w1')!.f32();
    const after = trainer.weights.get('w1')!.f32();
    const norm = (list: ArrayLike<number>): number => Math.hypot(...Array.from(list));
    expect(norm(after.map((v, i) => v - before[i]!)) / norm(before)).toBeCloseTo(0.1, 5);
    // Adam's first step: the rate along the sign of the gradient.
    trainer.weights
      .get('b1')!
      .f32()
      .forEach((v) => expect(Math.abs(v)).toBeCloseTo(0.1, 4));
    await trainer.close();
  });
});

describe('muon', () => {
  it('steps along all directions alike, as far as a step of Adam, and as AdamW where there is no matrix', async () => {
    const trainer = await Trainer.open(stepOf(32, { optimiser: 'muon', options: { decay: 0, iterations: 12 } }), {
      weights: WEIGHTS,
    });
    await trainer.step(batchOf(0, 32), 0.1);
    const change = (name: string): Float32Array =>
      trainer.weights
        .get(name)!
        .f32()
        .map((v, i) => v - WEIGHTS.get(name)!.f32()[i]!);
    // [2,12]: two directions, whose singular values are drawn to between 0.7 and 1.2.
    const w1 = change('w1');
    const rows = [w1.subarray(0, 12), w1.subarray(12)] as const;
    const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
    const unit = (0.1 * 0.2) ** 2 * 12;
    for (const row of rows) {
      expect(dot(row, row) / unit).toBeGreaterThan(0.45);
      expect(dot(row, row) / unit).toBeLessThan(1.3);
    }
    expect(Math.abs(dot(...rows)) / unit).toBeLessThan(0.4);
    change('b1').forEach((v) => expect(Math.abs(v)).toBeCloseTo(0.1, 4));
    await trainer.close();
  });
});

describe('fit()', () => {
  it('takes the steps by the rates, and tells of each', async () => {
    const events: RunEvent[] = [];
    const result = await fit(base({ onEvent: (e) => events.push(e) }));
    expect(result).toMatchObject({ steps: 23, ended: 'steps', epochs: 5 });
    expect(result.curve.map((p) => p.step)).toEqual(Array.from({ length: 23 }, (_, i) => i + 1));
    expect(result.curve[0]!.rate).toBe(0.02);
    expect(events).toHaveLength(23);
    expect(events.at(-1)).toMatchObject({ type: 'progress', stage: 'train', done: 23, total: 23, secondsLeft: 0 });
    const plain = await Trainer.open(stepOf(32), { weights: WEIGHTS });
    for (let i = 0; i < 23; i++)
      await plain.step(
        batchOf(100 * Math.floor(i / 5) + (i % 5), 32),
        rateOver(23, { rate: 0.02, schedule: 'cosine' })(i + 1),
      );
    expect(bytesOf(result.weights)).toEqual(bytesOf(plain.weights));
    await plain.close();
  });

  it.each([
    ['in an epoch', 7, {}],
    ['between epochs', 10, { ema: 0.9 }],
    ['in sums of batches', 7, { step: stepOf(32, { accumulate: 2 }), steps: 9 }],
    ['with the best so far', 12, { every: 3, ema: 0.5, validate: judge }],
  ])('that was stopped %s goes on to the same bytes', async (_, at, more: Partial<FitOptions>) => {
    const whole = await fit(base(more));
    const kept = folder();
    const stop = new AbortController();
    const options = base({ ...more, checkpoint: { folder: kept, key: 'points' } });
    const first = fit({
      ...options,
      signal: stop.signal,
      onEvent: (e) => {
        if (e.type === 'progress' && e.done === at) stop.abort();
      },
    });
    await expect(first).rejects.toThrow(/abort/);
    const second = await fit(options);
    expect(second.resumedAt).toBe(at);
    expect(bytesOf(second.weights)).toEqual(bytesOf(whole.weights));
    expect(second.curve).toEqual(whole.curve);
    const third = await fit({ ...options, batches: () => expect.unreachable('it had ended') });
    expect(third.resumedAt).toBe(whole.steps);
    expect(bytesOf(third.weights)).toEqual(bytesOf(whole.weights));
  });

  it('does not go on from a checkpoint of another training', async () => {
    const kept = folder();
    const at = (key: string): Partial<FitOptions> => ({ checkpoint: { folder: kept, key } });
    await fit(base(at('a')));
    expect(await fit(base(at('b')))).not.toHaveProperty('resumedAt');
    expect(await fit(base({ ...at('a'), rate: () => 0.01 }))).not.toHaveProperty('resumedAt');
    expect(await fit(base(at('a')))).toHaveProperty('resumedAt', 23);
    expect(readdirSync(kept)).toHaveLength(3);
  });

  it('refuses a damaged checkpoint', async () => {
    const options = base({ checkpoint: { folder: folder(), key: 'a' } });
    const file = (await fit(options)).checkpoint!;
    const bytes = readFileSync(file);
    bytes[bytes.length - 100]! ^= 1;
    writeFileSync(file, bytes);
    await expect(fit(options)).rejects.toMatchObject({ code: 'TRAIN_CHECKPOINT', where: { file } });
  });

  it('gives the weights that were judged best, and ends where none are better', async () => {
    const seen: string[] = [];
    const values = [0.5, 0.7, 0.6, 0.7, 0.65, 0.9];
    const result = await fit(
      base({
        every: 2,
        patience: 3,
        validate: (weights) => {
          seen.push(JSON.stringify(bytesOf(weights)));
          return Promise.resolve({ name: 'top1', value: values[seen.length - 1]!, higherIsBetter: true });
        },
      }),
    );
    expect(result).toMatchObject({ steps: 10, ended: 'patience', best: { step: 4, score: { value: 0.7 } } });
    expect(JSON.stringify(bytesOf(result.weights))).toBe(seen[1]);
    expect(result.curve.filter((p) => p.metric !== undefined).map((p) => p.metric)).toEqual(values.slice(0, 5));
  });

  it('gives running means of the weights', async () => {
    const { weights } = await fit(base({ ema: 0.5, steps: 3 }));
    const plain = await Trainer.open(stepOf(32), { weights: WEIGHTS });
    let mean = WEIGHTS.get('w1')!.f64();
    for (let i = 0; i < 3; i++) {
      await plain.step(batchOf(i, 32), rateOver(23, { rate: 0.02, schedule: 'cosine' })(i + 1));
      const keep = Math.min(0.5, (2 + i) / (11 + i));
      const now = plain.weights.get('w1')!.f64();
      mean = mean.map((m, j) => keep * m + (1 - keep) * now[j]!);
    }
    weights
      .get('w1')!
      .f64()
      .forEach((v, i) => expect(v).toBeCloseTo(mean[i]!, 6));
    await plain.close();
  });

  it('stops where a step is not finite, names the first tensor that was not, and keeps the step before', async () => {
    const growing = parseModel(
      `<ir_version: 10, opset_import: ["" : 17]> g (float[N,1] x) => (y) <float[1,1] w = {0.5}>
       { h = MatMul (x, w) e = Exp (h) y = Sigmoid (e) }`,
    );
    const withLoss = addLoss(growing, [{ loss: 'mse', of: 'y', target: 't' }]);
    const made = gradients(withLoss, { loss: 'loss', wrt: ['w'], batch: 2, weightsAsInputs: true });
    const batch = (): Feed => {
      const column = { dtype: 'float32', dims: [2, 1], data: Float32Array.of(1, 1) } as const;
      return { x: column, t: column };
    };
    const options: FitOptions = {
      step: addOptimiser(made, { optimiser: 'sgd', options: { momentum: 0 }, parameters: ['w'] }),
      weights: new Map([...growing.graph.initializers].map((v) => [v.name, v.data!])), // initializers have data
      batches: async function* () {
        for (;;) yield await Promise.resolve(batch());
      },
      steps: 20,
      rate: (step) => (step === 6 ? 1e9 : 0.01),
      checkpoint: { folder: folder(), key: 'a' },
    };
    const error = await fit(options).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'TRAIN_NON_FINITE', where: { tensor: 'e' } });
    const { message, hint } = error as { message: string; hint: string }; // it is a QuantError
    expect(message).toMatch(/^step 7 of training: 'e'/);
    expect(hint).toContain('the checkpoint of step 6');
    expect(existsSync(/'(.+\.qbtrain)'/.exec(hint)![1]!)).toBe(true);
  });

  it('needs a batch in each epoch', async () => {
    const none = base({ step: stepOf(32, { accumulate: 6 }) });
    await expect(fit(none)).rejects.toMatchObject({ code: 'DATA_MISSING' });
  });
});

/** By a weight alone: what counts is that it is the same again. */
function judge(weights: ReadonlyMap<string, Tensor>): ReturnType<NonNullable<FitOptions['validate']>> {
  const value = weights
    .get('w1')!
    .f64()
    .reduce((n, v) => n + Math.abs(v), 0);
  return Promise.resolve({ name: 'size', value, higherIsBetter: false });
}
