/** One list of stages: what `explain` announces is what a run does and its record lists. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { OnEvent } from '../../../src/base/events.js';
import { familyOf, type Candidate } from '../../../src/search/candidates.js';
import { explainRecipe } from '../../../src/pipeline/explain.js';
import { Forecast } from '../../../src/search/forecast.js';
import { runRecipe, runRecipes } from '../../../src/pipeline/run.js';
import { asksOf, stagesOf } from '../../../src/pipeline/stages.js';
import { loadRecipe, type ResolvedRecipe } from '../../../src/recipe/load.js';
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
    expect(stagesOf(asksOf(recipe.recipe)).join(' ')).toBe(stages);
    expect(
      explainRecipe(recipe)
        .map((s) => s.name)
        .join(' '),
    ).toBe(stages);
    const { record } = await runRecipe({ recipe, outDir: path.join(root, name) });
    expect(record.stages.map((s) => s.name).join(' ')).toBe(stages);
  });
});

/** As a search tells its time: a candidate of the same settings, measured as the recipe asks. */
function forecastOf({ recipe }: ResolvedRecipe): string[] {
  const { calibration, evaluation: e } = recipe;
  const candidate: Candidate = {
    label: 'c',
    why: '',
    family: familyOf(recipe.quantize.format),
    adjust: recipe.adjust,
    quantize: recipe.quantize,
  };
  return new Forecast(1, calibration.data !== undefined)
    .stages({
      candidates: [candidate],
      samples: 8,
      latency: e.latency !== false,
      sensitivity: e.sensitivity === false ? 0 : e.sensitivity.samples,
      layers: e.layers !== false,
    })
    .map((s) => s.name);
}

describe('real recipes: what a run reports, its record holds, explain lists and a forecast knows', () => {
  const demo = path.resolve(import.meta.dirname, '../../../recipes/int8-kl.yaml');
  // Which stages there are does not depend on how many samples they see.
  const fast = ['calibration.samples=8', 'calibration.cache=false', 'evaluation.samples=8', 'evaluation.profile=false'];
  const few = 'evaluation.sensitivity={ samples: 1 }';
  const short = 'evaluation.latency={ runs: 5, warmup: 1, memory: false }';
  const noLatency = 'evaluation.latency=false';
  it.each<[string, string[], string]>([
    ['demo', [short, few], 'optimise plan calibrate sensitivity quantize evaluate layers verify latency'],
    [
      'dynamic',
      ['quantize={ format: dynamic, dynamicConv: true }', few, noLatency],
      'optimise plan sensitivity quantize evaluate layers verify',
    ],
    [
      'float16, which looks at ranges',
      ['quantize={ format: float16 }', 'evaluation.sensitivity=false', noLatency],
      'optimise plan calibrate quantize evaluate layers verify',
    ],
    [
      'adjusted twice',
      ['adjust=[equalise, absorb-bias]', 'evaluation.sensitivity=false', 'evaluation.layers=false', noLatency],
      'optimise equalise absorb-bias plan calibrate quantize evaluate verify',
    ],
    [
      'mixed, with a method for a choice',
      [
        'quantize.budget={ sizeRatio: 0.3, samples: 2, choices: [{ weights: { dtype: int8 } }, ' +
          '{ weights: { dtype: int8, bits: 4, method: gptq } }] }',
        'evaluation.sensitivity=false',
        'evaluation.layers=false',
        noLatency,
      ],
      'optimise budget plan calibrate weights quantize evaluate verify',
    ],
    [
      'weights alone, in codes',
      [
        'quantize={ format: coded, coding: { name: integer, bits: 4 } }',
        'evaluation.sensitivity=false',
        'evaluation.layers=false',
        short,
      ],
      'optimise plan quantize evaluate verify latency',
    ],
  ])('%s', { timeout: 60_000 }, async (name, set, stages) => {
    const recipe = await loadRecipe(demo, { set: [...fast, ...set] });
    const started: string[] = [];
    const ended: string[] = [];
    const onEvent: OnEvent = (e) => {
      if (e.type === 'stage-start') started.push(e.stage);
      if (e.type === 'stage-end') ended.push(e.stage);
    };
    const { record } = await runRecipe({ recipe, outDir: path.join(root, name), onEvent });
    const expected = stages.split(' ');
    expect(started).toEqual(expected);
    expect(ended).toEqual(expected);
    expect(record.stages.map((s) => s.name)).toEqual(expected);
    expect(explainRecipe(recipe).map((s) => s.name)).toEqual([...expected, 'gate']);
    expect(forecastOf(recipe)).toEqual(expected);
  });
  it('recipes that run together have the stages of each, without what only explains', async () => {
    const of = (more: readonly string[]) => loadRecipe(demo, { set: [...fast, noLatency, ...more] });
    const recipes = [await of(['quantize={ format: float16 }']), await of(['quantize.weights.method=gptq'])];
    const results = await runRecipes({
      title: 'both',
      detail: false,
      runs: recipes.map((recipe, i) => ({ recipe, outDir: path.join(root, `both${i}`) })),
    });
    for (const r of results)
      expect(r.error ?? r.record.stages.map((s) => s.name)).toEqual(
        'optimise plan calibrate weights quantize evaluate verify'.split(' '),
      );
  });
});
