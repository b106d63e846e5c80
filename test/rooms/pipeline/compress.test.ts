/** Compression as stages of a run: what goes on, what is compared, and what record, reports and `explain` say. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../../src/onnx/files.js';
import { explainRecipe } from '../../../src/pipeline/explain.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';
import { runRecordSpec } from '../../../src/record/run.js';
import { renderHtml, renderMarkdown } from '../../../src/report/index.js';
import { tinyRecipe } from '../search/tiny.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-compress-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));
const base = tinyRecipe(temp);
const recipe = (more: Partial<RecipeInput>): RecipeInput => ({
  ...base,
  evaluation: { ...base.evaluation, collapse: 0 },
  ...more,
});
const HALF: RecipeInput['compress'] = [{ name: 'prune', left: { macs: 0.5 } }];
const run = async (given: RecipeInput, name: string, dryRun = false) =>
  runRecipe({
    recipe: await resolveRecipe(given, { baseDir: temp, name }),
    outDir: path.join(temp, name),
    dryRun,
  });
/** Convolutions of 8 channels at 8 × 8 and 6 × 6 places, and a product. */
const WHOLE = 64 * 72 + 36 * 576 + 80;

describe('compress', () => {
  it('quantizes what is left, and compares with the model of the recipe', async () => {
    const { record, outDir } = await run(recipe({ compress: HALF }), 'half');
    expect(runRecordSpec.safeParse(record).success).toBe(true);
    expect(record.stages.map((s) => s.name).slice(0, 3)).toEqual(['prune', 'optimise', 'plan']);
    const [given, after] = record.compression!.states;
    expect(record.compression!.states).toHaveLength(2);
    expect(given).toMatchObject({ name: 'as given', macs: WHOLE, bytes: record.model.float.bytes });
    expect(after!.name).toBe('prune');
    expect(after!.macs / WHOLE).toBeLessThanOrEqual(0.5);
    expect(after!.macs / WHOLE).toBeGreaterThan(0.35);
    expect(after!.bytes).toBeLessThan(given!.bytes);
    expect(given!.latency!.ratio).toBe(1);
    expect(after!.latency!.ratio).toBeGreaterThan(0);
    // The model that accuracy is compared with is that of the file.
    const top1 = record.evaluation!.metrics.find((m) => m.name === 'top1')!;
    expect(given!.metrics).toMatchObject([{ name: 'top1', value: top1.float }]);
    expect(Math.abs(after!.metrics[0]!.value - top1.quantized)).toBeLessThan(8);
    expect([record.model.float.macs, record.model.quantized!.macs]).toEqual([WHOLE, after!.macs]);
    const weights = [...loadModel(path.join(outDir, 'model.onnx')).graph.initializers];
    expect(weights.some((v) => v.data!.dims.length === 4 && v.data!.dims[0] === 8 && v.data!.dims[1] === 8)).toBe(
      false,
    );
    const [text, page] = [renderMarkdown(record), renderHtml(record)];
    expect(text).toMatch(/## Compression[\s\S]*after prune/);
    expect(page).toContain('after prune');
  });
  it('trains what is left: the model as it was is the teacher, and the student needs no words', async () => {
    const train = { batch: 16, steps: 20, rate: 0.02, threads: 1, samples: 100, checkpoint: false } as const;
    const distilled = await run(recipe({ compress: HALF, train, distill: {} }), 'distilled');
    expect(distilled.record.stages.map((s) => s.name).slice(0, 3)).toEqual(['prune', 'distill', 'optimise']);
    const { scores, fitted } = distilled.record.training!;
    const of = (name: string): number => scores.find((s) => s.name === name)!.metrics[0]!.value;
    const [given, after] = distilled.record.compression!.states.map((s) => s.metrics[0]!.value);
    expect([of('before'), of('start')]).toEqual([given, after]);
    expect(fitted.map((f) => f.name)).toEqual(['student']);
    expect(fitted[0]!.curve.at(-1)!.loss).toBeLessThan(fitted[0]!.curve[0]!.loss);
    const trained = await run(recipe({ compress: HALF, train }), 'trained');
    expect(trained.record.training!.scores.map((s) => s.name)).toEqual(['before', 'trained']);
    expect(trained.record.training!.scores[0]!.metrics[0]!.value).toBe(given);
  });
  it('plans the smaller model without a look at samples', async () => {
    const { record } = await run(recipe({ compress: HALF }), 'dry', true);
    expect(record.compression).toBeUndefined();
    expect(record.nodes.reduce((n, x) => n + x.macs, 0) / WHOLE).toBeLessThanOrEqual(0.5);
  });
  it('scans families on calibration samples, and reports what the metric loses', async () => {
    const scan = { shares: [0.25, 0.75], samples: 20 };
    const compress: RecipeInput['compress'] = [{ name: 'prune', left: { macs: 0.6 }, scope: 'sensitivity', scan }];
    const { record } = await run(recipe({ compress }), 'scan');
    expect(runRecordSpec.safeParse(record).success).toBe(true);
    const found = record.compression!.states[1]!.scan!;
    expect(found).toMatchObject({ samples: 20, metric: { name: 'top1', unit: '%', higherIsBetter: true } });
    expect(found.families.map((f) => [f.makers, f.units]).sort()).toEqual([
      [['v'], 8],
      [['w'], 8],
    ]);
    const values = found.families.flatMap((f) => f.points.map((p) => p.value!));
    // of 20 samples
    for (const v of [...values, found.metric!.whole]) expect(v % 5).toBeCloseTo(0, 9);
    const [text, page] = [renderMarkdown(record), renderHtml(record)];
    const head = '| family | channels | top1 without 25 % | top1 without 75 % | outputs change without 25 % |';
    expect(text).toContain(head);
    expect(text).toMatch(/\| [vw] \| 8 \| [\d.]+ % \|/);
    expect(page).toContain('outputs change without 75 %');
    const plain = await run(recipe({ compress: HALF }), 'no-scan');
    expect(plain.record.compression!.states[1]).not.toHaveProperty('scan');
    const { calibration: _, ...noData } = recipe({ compress });
    await expect(resolveRecipe(noData)).rejects.toMatchObject({ code: 'RECIPE_INVALID' });
  });
  it('gives the same bytes twice', async () => {
    const hash = async (name: string): Promise<string> =>
      (await run(recipe({ compress: HALF }), name)).record.files.find((f) => f.path === 'model.onnx')!.sha256;
    expect(await hash('first')).toBe(await hash('second'));
  });
  it('is told of step by step', async () => {
    const two = await resolveRecipe(recipe({ compress: [...HALF, { name: 'prune', left: { parameters: 0.9 } }] }));
    const told = explainRecipe(two).slice(0, 2);
    expect(told.map((s) => s.name)).toEqual(['prune', 'prune']);
    expect(told[1]!.why).toContain('step 2 of 2');
    expect(told[0]!.settings.find((s) => s.key === 'compress[0].left')).toMatchObject({ said: true });
  });
  it.each<[string, Partial<RecipeInput>, string]>([
    ['two quantities', { compress: [{ name: 'prune', left: { macs: 0.5, parameters: 0.5 } }] }, 'RECIPE_INVALID'],
    ['a share of all', { compress: [{ name: 'prune', left: { macs: 1 } }] }, 'RECIPE_INVALID'],
    ['no such step', { compress: [{ name: 'prnue' }] }, 'RECIPE_INVALID'],
    ['a student that nothing says anything of', { train: {}, distill: {} }, 'RECIPE_INVALID'],
  ])('refuses %s', async (_, more, code) => {
    await expect(resolveRecipe(recipe(more))).rejects.toMatchObject({ code });
  });
});
