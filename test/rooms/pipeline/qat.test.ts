/** Recipes that train the quantized model: the record says how, explain that, and the bytes are the same each time. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { sha256File } from '../../../src/base/files.js';
import { createRng } from '../../../src/base/rng.js';
import { loadModel } from '../../../src/onnx/files.js';
import { explainRecipe } from '../../../src/pipeline/explain.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { readRun } from '../../../src/record/read.js';
import type { RunRecord } from '../../../src/record/index.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';
import { renderHtml, renderMarkdown } from '../../../src/report/index.js';
import { trainFile } from '../../../src/standalone/train.js';
import { recipeOf, weight, writeModel, writeNpy } from './models.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-qat-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const COUNT = 256;
const [ones, zeros] = [1, 0].map((x) => Array<number>(32).fill(x).join(','));
writeModel(
  path.join(root, 'm.onnx'),
  `g (float[N,4] x) => (float[N,2] y)
   <${weight('w1', [4, 32])}, ${weight('b1', [32])}, ${weight('w2', [32, 2], 0.3)}, ${weight('b2', [2])}>
   { p = MatMul (x, w1) h = Add (p, b1) r = Relu (h) q = MatMul (r, w2) y = Add (q, b2) }`,
);
const rng = createRng(1, 'samples');
const x = Float32Array.from({ length: 4 * COUNT }, () => rng.normal());
writeNpy(path.join(root, 'x.npy'), [COUNT, 4], x);
// No line parts the two classes.
writeNpy(
  path.join(root, 'labels.npy'),
  [COUNT],
  Array.from({ length: COUNT }, (_, i) => Number(x[4 * i]! * x[4 * i + 1]! > 0)),
);
const data = { npy: 'x.npy', labels: 'labels.npy' };
const train: NonNullable<RecipeInput['train']> = {
  quantized: true,
  steps: 150,
  batch: 64,
  rate: 0.02,
  optimiser: 'adam',
  checkpoint: false,
};

const noMore = { latency: false, layers: false, profile: false } as const;

async function run(out: string, input: Omit<RecipeInput, 'version'>): Promise<RunRecord> {
  const recipe = await recipeOf(root, {
    model: 'm.onnx',
    calibration: { data },
    ...input,
    evaluation: { data, metrics: ['top1'], collapse: 0, ...noMore, ...input.evaluation },
  });
  const { record } = await runRecipe({ recipe, outDir: path.join(root, out) });
  return readRun(path.join(root, out, 'run.json')) && record;
}
const top1 = (r: RunRecord): number => r.evaluation?.metrics[0]?.quantized ?? NaN;

it.each<[string, NonNullable<RecipeInput['quantize']>, NonNullable<RecipeInput['train']>]>([
  ['2 bits', { weights: { bits: 2 } }, train],
  ['2 bits behind a method', { weights: { bits: 2, method: 'gptq' } }, train],
  ['learned zero points', { weights: { bits: 2 } }, { ...train, quantized: { scales: 'lsq+' } }],
  ['learned bounds', { weights: { bits: 2 } }, { ...train, quantized: { scales: 'pact' } }],
  ['ternary', { weights: { bits: 2, narrow: true } }, train],
  ['steps by gradients', { weights: { bits: 4 } }, { ...train, optimiser: 'sgd', rate: 0.1 }],
  ['dynamic', { format: 'dynamic', weights: { bits: 4 } }, train],
])('%s: learns two classes', async (name, quantize, how) => {
  const record = await run(name.replaceAll(' ', '-'), { quantize, train: how });
  expect(top1(record)).toBeGreaterThan(85); // by chance 50
  expect(record.training?.fitted[0]).toMatchObject({ name: 'quantized', steps: 150, best: { metric: 'top1' } });
});

it('holds the result against the float model, trained the same way, and gives the same bytes each time', async () => {
  const input = { quantize: { weights: { bits: 3 } } };
  const first = await run('first', { ...input, train: { ...train, control: true, steps: 60 } });
  const { training } = first;
  expect(training?.fitted.map((f) => [f.name, f.learned, f.judged, f.steps])).toEqual([
    ['quantized', 230, 26, 60],
    ['control', 230, 26, 60],
  ]);
  const [before, control] = training!.scores; // it was trained
  expect([before?.name, control?.name]).toEqual(['before', 'control']);
  expect(before?.metrics[0]?.value).toBeLessThan(70);
  expect(control?.metrics[0]?.value).toBeGreaterThan(80);
  expect(renderMarkdown(first)).toContain('the control, trained the same way');
  expect(renderHtml(first)).toContain('Loss of the quantized model by step');
  expect(first.stages.map((s) => s.name)).toEqual([
    'optimise',
    'plan',
    'calibrate',
    'qat',
    'quantize',
    'evaluate',
    'verify',
  ]);
  await run('second', { ...input, train: { ...train, steps: 60 } });
  const [a, b] = ['first', 'second'].map((d) => sha256File(path.join(root, d, 'model.onnx')));
  expect(a).toBe(b);
});

it('learns from the float model, without labels', async () => {
  const record = await run('teacher', {
    calibration: { data: { npy: 'x.npy' } },
    quantize: { weights: { bits: 3 } },
    train: { ...train, data: { npy: 'x.npy' }, loss: { loss: 'mse', target: 'teacher' }, validation: { share: 0.3 } },
    evaluation: { data: { npy: 'x.npy' }, metrics: [] },
  });
  const { curve, best } = record.training!.fitted[0]!; // it was trained
  expect(best?.metric).toBe('loss');
  expect(curve.at(-1)!.loss).toBeLessThan(0.3 * curve[0]!.loss); // steps gave points
});

it('learns from the teacher of distill, which is trained first, with what lies in between', async () => {
  const pairs = [{ student: 'r', teacher: 'r' }];
  // without labels but for the teacher's: what is learned is what it has learned
  const finetune = { steps: 200, optimiser: 'sgd', rate: 0.1, schedule: 'one-cycle' };
  const distill = { teacher: { finetune }, hard: 0, features: { pairs, weight: 0.1 } };
  const quantize = { weights: { bits: 2 } };
  const record = await run('taught', { quantize, train: { ...train, quantized: true, control: true }, distill });
  const { fitted, scores } = record.training!; // it was trained
  expect(fitted.map((f) => [f.name, f.steps])).toEqual([
    ['teacher', 200],
    ['quantized', 150],
    ['control', 150],
  ]);
  expect(scores.map((s) => s.name)).toEqual(['before', 'teacher', 'control']);
  expect(scores[1]!.metrics[0]!.value).toBeGreaterThan(85);
  expect(top1(record)).toBeGreaterThan(85);
  expect(record.stages.map((s) => s.name)).not.toContain('distill');
  const other = { ...distill, features: { pairs: [{ student: 'r', teacher: 'absent' }] } };
  await expect(run('untaught', { quantize, train, distill: other })).rejects.toMatchObject({
    code: 'GRADIENT_UNKNOWN_NAME',
  });
  const words = explainRecipe(
    await recipeOf(root, { model: 'm.onnx', calibration: { data }, distill, train, quantize }),
  );
  expect(JSON.stringify(words)).toContain('It learns from the teacher, trained on the same samples first.');
});

it('trains the teacher as it is in the file, BatchNormalization and all', async () => {
  writeModel(
    path.join(root, 'norm.onnx'),
    `g (float[N,4] x) => (float[N,2] y)
     <${weight('w1', [32, 4, 1])}, ${weight('w2', [32, 2], 0.3)}, float[32] s = {${ones}}, float[32] b = {${zeros}},
      float[32] m = {${zeros}}, float[32] v = {${ones}}, int64[3] places = {0, 4, 1}, int64[2] flat = {0, 32}>
     { p = Reshape (x, places) c = Conv (p, w1) n = BatchNormalization (c, s, b, m, v) r = Relu (n)
       f = Reshape (r, flat) y = MatMul (f, w2) }`,
  );
  const distill = { teacher: { finetune: { steps: 20 } } };
  const quantize = { weights: { bits: 4 } };
  const record = await run('norm', { model: 'norm.onnx', quantize, train: { ...train, steps: 5 }, distill });
  const [teacher] = record.training!.fitted; // it was trained
  expect(teacher).toMatchObject({ name: 'teacher', parameters: 32 * 4 + 2 * 32 + 32 * 2 }); // folded, a bias: 32 fewer
});

it('goes on learning from the teacher of a student that was made smaller first', async () => {
  const distill = { student: { width: 0.5 }, teacher: { finetune: { steps: 100 } } };
  const record = await run('after-student', { quantize: { weights: { bits: 4 } }, train, distill });
  expect(record.training?.fitted.map((f) => f.name)).toEqual(['teacher', 'student', 'quantized']);
  expect(record.stages.map((s) => s.name)).toContain('distill');
});

it.each(['batch', 'frozen'] as const)('keeps a BatchNormalization that cannot be folded: %s', async (batchNorm) => {
  writeModel(
    path.join(root, 'bn.onnx'),
    `g (float[N,4] x) => (float[N,2] y)
     <${weight('w1', [4, 32])}, ${weight('w2', [32, 2], 0.3)}, ${weight('w3', [32, 2], 0.3)}, float[32] s = {${ones}},
      float[32] b = {${zeros}}, float[32] m = {${zeros}}, float[32] v = {${ones}}>
     { p = MatMul (x, w1) r = Relu (p) n = BatchNormalization (r, s, b, m, v) q = MatMul (n, w2) t = Tanh (n)
       u = MatMul (t, w3) y = Add (q, u) }`,
  );
  const recipe = await recipeOf(root, {
    model: 'bn.onnx',
    calibration: { data },
    quantize: { weights: { bits: 4 } },
    train: { ...train, steps: 60, batchNorm },
    evaluation: { data, metrics: ['top1'], collapse: 0, ...noMore },
  });
  const { record } = await runRecipe({ recipe, outDir: path.join(root, `bn-${batchNorm}`) });
  expect(top1(record)).toBeGreaterThan(80);
  const { graph } = loadModel(path.join(root, `bn-${batchNorm}`, 'model.onnx'));
  const node = [...graph.nodes].find((n) => n.op === 'BatchNormalization')!; // it was not folded
  const [mean, variance] = [3, 4].map((i) => node.inputs[i]!.data!.f32()); // they are constants
  expect(mean!.every((x) => x === 0)).toBe(batchNorm === 'frozen');
  expect(variance!.every((x) => x === 1)).toBe(batchNorm === 'frozen');
});

it('says in explain that it trains', async () => {
  const recipe = await recipeOf(root, { model: 'm.onnx', calibration: { data }, train: { ...train, control: true } });
  const found = explainRecipe(recipe).find((s) => s.name === 'qat');
  expect(found?.does).toContain('the float model the same way');
  expect(found?.settings.some((s) => s.key === 'train.steps')).toBe(true);
});

it('is not what the command for float models does', async () => {
  const recipe = await recipeOf(root, { model: 'm.onnx', calibration: { data }, train });
  await expect(trainFile({ recipe, outDir: path.join(root, 'float'), report: () => undefined })).rejects.toMatchObject({
    code: 'RECIPE_INVALID',
  });
});
