import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.js';
import { collapseCheck } from '../../../src/pipeline/collapse.js';
import { optimizeFile } from '../../../src/standalone/optimize.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { benchFiles, evaluateFiles } from '../../../src/standalone/standalone.js';
import { loadRecipe } from '../../../src/recipe/load.js';
import { CASES, CRASHES, NO_CASES, recipeOf, weight, writeModel, writeNpy } from './models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-look-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const x = writeNpy(path.join(dir, 'x.npy'), [24, 4]);

describe('a float model that crashes the runtime', () => {
  const model = writeModel(path.join(dir, 'crashes.onnx'), CRASHES);
  const report = (): void => undefined;
  it('is an error with a name in every command, and leaves nothing behind', async () => {
    const out = path.join(dir, 'crashed');
    const refused = { code: 'MODEL_RUNTIME', where: { file: model } };
    const recipe = await recipeOf(dir, { model, quantize: { format: 'dynamic' } });
    await expect(runRecipe({ recipe, outDir: out })).rejects.toMatchObject(refused);
    expect(existsSync(out)).toBe(false);
    await expect(
      benchFiles({ files: [model], runs: 1, warmup: 0, threads: 1, batch: 1, report }),
    ).rejects.toMatchObject(refused);
    await expect(
      evaluateFiles({
        files: [model],
        recipe: await recipeOf(dir, { model, quantize: { format: 'dynamic' }, evaluation: { data: { npy: x } } }),
        report,
      }),
    ).rejects.toMatchObject(refused);
    await expect(optimizeFile(model, path.join(dir, 'optimized.onnx'), { level: 'default' })).rejects.toMatchObject(
      refused,
    );
    expect(readdirSync(dir).filter((f) => f.startsWith('optimized'))).toEqual([]);
  }, 30_000);
});

describe('what is finite in float alone', () => {
  const output = { name: 'y', cosine: 1, mse: 0, maxAbsError: 0 };
  const facts = { samples: 8, sampleSet: '', metrics: [], data: '' };
  it('is a failure under any limit', () => {
    const lost = { ...facts, outputs: [{ ...output, nonFinite: { float: 3, quantized: 4, lost: 1 } }] };
    expect(() => collapseCheck(lost as never /* the rest is not read */, 0)).toThrow(
      expect.objectContaining({ code: 'QUANTIZE_COLLAPSED', where: { tensor: 'y' } }),
    );
    expect(() =>
      collapseCheck({ ...facts, outputs: [{ ...output, nonFinite: { float: 3, quantized: 3 } }] }, 0),
    ).not.toThrow();
  });
});

describe('a model that runs on one sample at a time', () => {
  const w = weight('w', [4, 4]);
  const HEAD = 'g (float[N,4] x) => (float[A,B] y)';
  const refuses = writeModel(
    path.join(dir, 'refuses.onnx'),
    `${HEAD} <${w}, int64[2] s = {1, 4}> { a = MatMul (x, w)  b = Reshape (a, s)  y = Relu (b) }`,
  );
  const mixes = writeModel(
    path.join(dir, 'mixes.onnx'),
    `${HEAD} <${w}, int64[2] s = {1, -1}> { a = MatMul (x, w)  b = Relu (a)  y = Reshape (b, s) }`,
  );
  const many = writeModel(path.join(dir, 'many.onnx'), `${HEAD} <${w}> { a = MatMul (x, w)  y = Relu (a) }`);
  it.each([
    ['refuses more', refuses, true],
    ['takes more for one', mixes, true],
    ['takes many', many, false],
  ])('%s', async (_what, model, one) => {
    const found: Diagnostic[] = [];
    const recipe = await recipeOf(dir, {
      model,
      calibration: { data: { npy: x }, batchSize: 8 },
      evaluation: { data: { npy: x }, batchSize: 8, collapse: 0 },
    });
    const outDir = path.join(dir, path.basename(model, '.onnx'));
    const { record } = await runRecipe({
      recipe,
      outDir,
      onEvent: (e) => {
        if (e.type === 'diagnostic') found.push(e.diagnostic);
      },
    });
    expect(found.some((d) => d.code === 'BATCH_OF_ONE')).toBe(one);
    expect(record.calibration).toMatchObject({ samples: 24, batches: one ? 24 : 3 });
    expect(record.evaluation!.outputs[0]!.sqnrDb).toBeGreaterThan(25);
    expect(record.recipe.resolved).toMatchObject({ evaluation: { batchSize: one ? 1 : 8 } });
  });
});

describe.skipIf(NO_CASES)('cases of bug reports (skipped where ../shared/cases is absent)', () => {
  const outcome = async (recipeFile: string, ...set: string[]) => {
    const recipe = await loadRecipe(path.join(CASES, recipeFile), {
      set: ['calibration.cache=false', 'evaluation.latency=false', ...set],
    });
    return (await runRecipe({ recipe, outDir: path.join(dir, 'cases', path.basename(recipeFile, '.yaml')) })).record;
  };
  it('batch-one-only and batch-one run, one sample at a time', async () => {
    for (const file of ['models/batch-one-only/batch-one-only.yaml', 'field/messages/recipe-batch-one.yaml']) {
      const record = await outcome(file);
      expect(record.diagnostics.map((d) => d.code)).toContain('BATCH_OF_ONE');
      expect(record.evaluation!.outputs[0]!.sqnrDb).toBeGreaterThan(15);
    }
  });
  it.each(['qdq', 'dynamic', 'weight-only'])(
    'zipmap-mlp is judged by its tensors in %s, and keeps its map',
    async (format) => {
      const record = await outcome('models/zipmap-mlp/zipmap-mlp.yaml', `quantize.format=${format}`);
      expect(record.evaluation!.outputs.map((o) => o.name)).toEqual(['label']);
      expect(record.diagnostics.find((d) => d.code === 'OUTPUT_NOT_COMPARED')?.where).toEqual({
        tensor: 'probabilities',
      });
    },
  );
  it.each([
    ['field/messages/recipe.yaml', /its 2 MatMul are float16 already/],
    ['field/messages/recipe-weight-left.yaml', /left operand/],
    ['models/ml-only/ml-only.yaml', /tree ensembles and linear ai\.onnx\.ml operators/],
  ])('%s is refused for the right reason', async (file, why) => {
    await expect(outcome(file)).rejects.toMatchObject({
      code: 'QUANTIZE_NOTHING',
      message: expect.stringMatching(why) as unknown,
    });
  });
  it('fp16-log-epsilon and fp16-transpose-matmul are finite and run, or are refused with nothing written', async () => {
    for (const name of ['fp16-log-epsilon', 'fp16-transpose-matmul']) {
      const file = `models/${name}/${name}.yaml`;
      const found = await outcome(file).catch((e: unknown) => e);
      if (found instanceof Error) {
        expect(found).toMatchObject({ code: expect.stringMatching(/^QUANTIZE_(COLLAPSED|VERIFY)$/) as unknown });
        expect(existsSync(path.join(dir, 'cases', name))).toBe(false);
      } else
        expect((found as Awaited<ReturnType<typeof outcome>>).evaluation!.outputs.every((o) => !o.nonFinite)).toBe(
          true,
        );
    }
  });
});
