/** Training as a stage of a run: what goes on, what is compared, and what the record and `explain` say. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { RunEvent } from '../../../src/base/events.js';
import { loadModel } from '../../../src/onnx/files.js';
import { explainRecipe } from '../../../src/pipeline/explain.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { derive, resolveRecipe } from '../../../src/recipe/load.js';
import { inputFiles } from '../../../src/recipe/inputs.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';
import { runRecordSpec } from '../../../src/record/run.js';
import { renderHtml, renderMarkdown } from '../../../src/report/index.js';
import { renderTraining } from '../../../src/report/training.js';
import { trainFile } from '../../../src/standalone/train.js';
import { tinyRecipe } from '../search/tiny.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-training-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));
const base = tinyRecipe(temp);
const recipe = (more: Partial<RecipeInput>): RecipeInput => ({
  ...base,
  calibration: { ...base.calibration, samples: 100 },
  evaluation: { ...base.evaluation, latency: false, sensitivity: false, collapse: 0 },
  ...more,
});
const train = { batch: 16, steps: 30, rate: 0.02, threads: 1, samples: 200 } as const;
const run = async (given: RecipeInput, name: string, onEvent?: (e: RunEvent) => void) =>
  runRecipe({
    recipe: await resolveRecipe(given, { baseDir: temp, name }),
    outDir: path.join(temp, name),
    ...(onEvent ? { onEvent } : {}),
  });

describe('train', () => {
  it('goes on with the trained weights, and compares with the model in the file', async () => {
    const events: RunEvent[] = [];
    const { record } = await run(recipe({ train }), 'train', (e) => events.push(e));
    expect(runRecordSpec.safeParse(record).success).toBe(true);
    expect(record.stages.map((s) => s.name).slice(0, 3)).toEqual(['train', 'optimise', 'plan']);
    const t = record.training!;
    expect(t.fitted).toMatchObject([{ name: 'model', steps: 30, learned: 180, judged: 20, batch: 16 }]);
    expect(t.fitted[0]!.curve.at(-1)!.loss).toBeLessThan(t.fitted[0]!.curve[0]!.loss);
    const of = (name: string) => t.scores.find((s) => s.name === name)!.metrics[0]!.value;
    const top1 = record.evaluation!.metrics.find((m) => m.name === 'top1')!;
    expect(of('before')).toBe(top1.float);
    // What is quantized is the trained model, which scores otherwise; so few small images teach it little.
    expect(Math.abs(top1.quantized - of('trained'))).toBeLessThan(6);
    expect(of('trained')).not.toBe(of('before'));
    expect(record.seeds.training).toBe(0);
    const notes = events.flatMap((e) => (e.type === 'progress' && e.stage === 'train' && e.note ? [e.note] : []));
    expect(notes.at(-1)).toMatch(/^model · loss [\d.]+ · best top1 [\d.]+ · \d+ samples\/s$/);
    const [text, page] = [renderMarkdown(record), renderHtml(record)];
    expect(text).toContain('## Training');
    expect(text).toContain('Curve of the model');
    expect(page).toContain('<path class="curve"');
    // Again: the checkpoint has it all, and the bytes are the same.
    const second = await run(recipe({ train }), 'train-again');
    expect(second.record.training!.fitted[0]!.resumedAt).toBe(30);
    expect(readFileSync(path.join(second.outDir, 'model.onnx'))).toEqual(
      readFileSync(path.join(temp, 'train', 'model.onnx')),
    );
    const anew = await run(recipe({ train: { ...train, checkpoint: false } }), 'train-anew');
    expect(anew.record.training!.fitted[0]).not.toHaveProperty('resumedAt');
    expect(readFileSync(path.join(anew.outDir, 'model.onnx'))).toEqual(
      readFileSync(path.join(temp, 'train', 'model.onnx')),
    );
  });
  it('is told of by explain', async () => {
    const resolved = await resolveRecipe(recipe({ train: { steps: 5, start: 'random' } }), { baseDir: temp });
    const [stage] = explainRecipe(resolved);
    expect(stage).toMatchObject({ name: 'train', does: expect.stringContaining('drawn weights') });
    expect(stage!.settings.find((s) => s.key === 'train.steps')).toMatchObject({ value: 5, said: true });
    expect(stage!.settings.find((s) => s.key === 'train.rate')).toMatchObject({ value: 0.001, said: false });
  });
});

describe('distill', () => {
  const student = { width: 0.5, start: 'random' } as const;
  it('puts a student in the place of the model, beside one that learned without a teacher', async () => {
    const given = recipe({
      train: { ...train, steps: 15, control: true },
      distill: { student, teacher: { finetune: { steps: 30 } }, features: {}, attention: { weight: 10 } },
    });
    const { record, outDir } = await run(given, 'distill');
    expect(record.stages[0]!.name).toBe('distill');
    const t = record.training!;
    expect(t.fitted.map((f) => [f.name, f.steps])).toEqual([
      ['teacher', 30],
      ['student', 15],
      ['control', 15],
    ]);
    expect(t.scores.map((s) => s.name)).toEqual(['before', 'teacher', 'start', 'control', 'trained']);
    expect(t.student).toMatchObject({ made: ['8 of 16 channels taken out', 'weights drawn'] });
    expect(t.student!.parameters.student).toBeLessThan(0.5 * t.student!.parameters.teacher);
    const widths = [...loadModel(path.join(outDir, 'model.onnx')).graph.initializers].map((v) => v.data!.dims.join());
    expect(widths).toContain('4,1,3,3');
    expect(renderTraining(t, 'x')).toContain('the same model trained without the teacher');
  });
  it('plans the student in a dry run', async () => {
    const given = recipe({ train, distill: { student } });
    const outDir = path.join(temp, 'dry');
    const resolved = await resolveRecipe(given, { baseDir: temp, name: 'dry' });
    const { record } = await runRecipe({ recipe: resolved, outDir, dryRun: true });
    const whole = await run(recipe({}), 'whole');
    expect(record.nodes.reduce((n, x) => n + x.macs, 0)).toBeLessThan(
      0.6 * whole.record.nodes.reduce((n, x) => n + x.macs, 0),
    );
    expect(record).not.toHaveProperty('training');
  });
  it.each<[string, Partial<RecipeInput>]>([
    ['nothing that is learned from the teacher', { distill: { student, soft: false } }],
    ['a student that is its teacher', { distill: { student: {} } }],
    ['a model and a form', { distill: { student: { model: 'x.onnx', width: 0.5 } } }],
    ['epochs and steps', { train: { epochs: 1, steps: 1 } }],
    ['an unknown loss', { train: { loss: 'crossentropy' as never } }],
    ['an option that a loss lacks', { train: { loss: { loss: 'mse', options: { smoothing: 1 } } as never } }],
    ['an unknown augmentation', { train: { augment: ['flop'] } }],
  ])('refuses %s', async (_, more) => {
    await expect(resolveRecipe(recipe(more), { baseDir: temp })).rejects.toMatchObject({
      code: expect.stringMatching(/^RECIPE_/),
    });
  });
  it('keeps its paths when the recipe moves, and tells of files that are not there', async () => {
    const given = recipe({
      train: { data: { images: 'data/x' }, checkpoint: 'kept' },
      distill: { student: { model: 's.onnx' }, teacher: { model: 't.onnx' } },
    });
    const resolved = await resolveRecipe(given, { baseDir: temp });
    const moved = await derive(resolved, {}, { baseDir: path.join(temp, 'below') });
    expect(moved.recipe).toMatchObject({
      train: { data: { images: '../data/x' }, checkpoint: '../kept' },
      distill: { student: { model: '../s.onnx' }, teacher: { model: '../t.onnx' } },
    });
    expect(inputFiles(resolved)).toEqual(
      expect.arrayContaining([path.join(temp, 's.onnx'), path.join(temp, 'data/x')]),
    );
    const missing = runRecipe({ recipe: resolved, outDir: path.join(temp, 'missing') });
    await expect(missing).rejects.toMatchObject({ more: expect.arrayContaining([expect.anything()]) });
  });
});

describe('trainFile()', () => {
  it('writes the float model and its report', async () => {
    const given = await resolveRecipe(recipe({ train: { ...train, validation: false } }), {
      baseDir: temp,
      name: 'alone',
    });
    const outDir = path.join(temp, 'alone');
    const { facts, files } = await trainFile({
      ...{ recipe: given, outDir, report: () => undefined },
      render: (f) => ({ 'training.md': renderTraining(f, 'alone') }),
    });
    expect(files.map((f) => path.basename(f))).toEqual(['model.onnx', 'training.json', 'training.md']);
    expect(facts.scores.map((s) => s.name)).toEqual(['before', 'trained']);
    const names = (file: string) => [...loadModel(file).graph.initializers].map((v) => v.name).sort();
    expect(names(path.join(outDir, 'model.onnx'))).toEqual(names(path.join(temp, 'tiny.onnx')));
    expect(JSON.parse(readFileSync(path.join(outDir, 'training.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(facts)),
    );
  });
});
