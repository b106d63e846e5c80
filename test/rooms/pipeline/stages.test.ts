/** One list of stages: what `explain` announces is what a run does and its record lists. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { explainRecipe } from '../../../src/pipeline/explain.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { stagesOf } from '../../../src/pipeline/stages.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';
import { recipeOf, weight, writeModel, writeNpy } from './models.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-stages-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
writeModel(
  path.join(root, 'm.onnx'),
  `g (float[N,8] x) => (float[N,4] y) <${weight('w', [8, 4])}> { y = MatMul (x, w) }`,
);
writeNpy(path.join(root, 'x.npy'), [16, 8]);
const data = { npy: 'x.npy' };
const quiet = { layers: false, profile: false, latency: false } as const;

describe('the stages of a recipe', () => {
  it.each<[string, Omit<RecipeInput, 'version' | 'model'>, string]>([
    [
      'static',
      { calibration: { data }, evaluation: { ...quiet, data, layers: {} } },
      'optimise plan calibrate quantize evaluate layers verify',
    ],
    [
      'with sensitivity and a method',
      { calibration: { data }, quantize: { weights: { method: 'gptq' } }, evaluation: { ...quiet, sensitivity: {} } },
      'optimise plan calibrate sensitivity weights quantize evaluate verify',
    ],
    [
      'without data',
      {
        quantize: { format: 'dynamic' },
        evaluation: { layers: {}, sensitivity: {}, profile: false, latency: { runs: 3, memory: false } },
      },
      'optimise plan quantize evaluate verify latency',
    ],
    [
      'that observes for float16',
      { calibration: { data }, quantize: { format: 'float16' }, evaluation: quiet },
      'optimise plan calibrate quantize evaluate verify',
    ],
    [
      'not cleaned',
      { optimize: { enabled: false }, quantize: { format: 'dynamic' }, evaluation: quiet },
      'optimise plan quantize evaluate verify',
    ],
  ])('%s', async (name, input, stages) => {
    const recipe = await recipeOf(root, { model: 'm.onnx', ...input });
    expect(stagesOf(recipe.recipe).join(' ')).toBe(stages);
    expect(
      explainRecipe(recipe)
        .map((s) => s.name)
        .join(' '),
    ).toBe(stages);
    const { record } = await runRecipe({ recipe, outDir: path.join(root, name) });
    expect(record.stages.map((s) => s.name).join(' ')).toBe(stages);
  });
});
