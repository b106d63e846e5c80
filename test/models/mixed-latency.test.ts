/** A budget of time, with times from onnxruntime. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { afterAll, expect, it } from 'vitest';
import { runRecipe } from '../../src/pipeline/run.js';
import { resolveRecipe } from '../../src/recipe/load.js';
import { withBudget } from '../rooms/pipeline/budget.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-mixed-latency-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

it('a latencyRatio takes real times from onnxruntime, and gives a recipe without the budget', async () => {
  const recipe = await withBudget(
    '{ latencyRatio: 50, samples: 4, choices: [ { weights: { dtype: int8 } }, { weights: { dtype: int8, ' +
      'granularity: tensor } } ] }',
  );
  const { record } = await runRecipe({ recipe, outDir: path.join(root, 'time') });
  const { mixed } = record;
  expect(mixed).toMatchObject({ budget: 'latencyRatio', limit: 50 });
  expect(mixed!.spent).toBeGreaterThan(0); // it ran
  expect(mixed!.layers.flatMap((l) => l.cost).every((c) => c !== null && c >= 0)).toBe(true);
  expect(mixed!.layers.some((l) => l.cost[0]! > 0)).toBe(true); // as above
  // the schema checks it
  const again = await resolveRecipe(parse(record.recipe.yaml) as never, { baseDir: recipe.baseDir });
  await runRecipe({ recipe: again, outDir: path.join(root, 'time-again') });
  expect(
    readFileSync(path.join(root, 'time-again', 'model.onnx')).equals(
      readFileSync(path.join(root, 'time', 'model.onnx')),
    ),
  ).toBe(true);
  await expect(
    runRecipe({
      recipe: await withBudget(
        '{ latencyRatio: 0.0001, samples: 4, choices: [ { weights: { dtype: int8 } }, float ] }',
      ),
      outDir: path.join(root, 'no-time'),
    }),
  ).rejects.toMatchObject({ code: 'RECIPE_INVALID' });
}, 60_000);
