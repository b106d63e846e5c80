/** Budgets on the demo. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { afterAll, describe, expect, it } from 'vitest';
import { runRecipe } from '../../../src/pipeline/run.js';
import { loadRecipe, resolveRecipe } from '../../../src/recipe/load.js';
import type { Recipe } from '../../../src/recipe/schema.js';
import { runRecordSpec } from '../../../src/record/run.js';

const recipeFile = path.join(import.meta.dirname, '..', '..', '..', 'recipes', 'int8-minmax.yaml');
const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-mixed-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const set = ['calibration.cache=false', 'calibration.samples=32', 'evaluation.samples=64', 'evaluation.latency=false', 'evaluation.layers=false', 'evaluation.profile=false'];
const withBudget = (budget: string) => loadRecipe(recipeFile, { set: [...set, `quantize.budget=${budget}`] });

describe('quantize.budget', () => {
  it('keeps a size, writes what it chose into the resolved recipe, and that gives the same bytes', async () => {
    const recipe = await withBudget('{ sizeRatio: 0.25, samples: 8 }');
    const { record } = await runRecipe({ recipe, outDir: path.join(root, 'size') });
    const { mixed } = record;
    const bytes = statSync(path.join(root, 'size', 'model.onnx')).size;
    expect(bytes / record.model.float.bytes).toBeLessThanOrEqual(0.25);
    expect(mixed!.spent * record.model.float.bytes).toBeCloseTo(bytes, -3); // within 1 kB of what was estimated
    expect(new Set(mixed!.layers.map((l) => l.chosen))).toEqual(new Set([0, 1]));
    for (const l of mixed!.layers) expect(l.cost[1]!).toBeLessThan(l.cost[0]!);
    const resolved = record.recipe.resolved as Recipe; // this version made it
    expect(resolved.quantize.budget).toBeUndefined();
    expect(resolved.quantize.layers).toHaveLength(mixed!.layers.length);
    expect(() => runRecordSpec.parse(JSON.parse(JSON.stringify(record)))).not.toThrow();
    const again = await resolveRecipe(parse(record.recipe.yaml) as never, { baseDir: recipe.baseDir }); // the schema checks it
    await runRecipe({ recipe: again, outDir: path.join(root, 'again') });
    expect(readFileSync(path.join(root, 'again', 'model.onnx')).equals(readFileSync(path.join(root, 'size', 'model.onnx')))).toBe(true);
  }, 60_000);
  it('leaves layers in float where that buys most: automatic exclusion under bits', async () => {
    const { record } = await runRecipe({ recipe: await withBudget('{ macBits: 300, samples: 8, choices: [ { weights: { dtype: int8 } }, float ], solver: greedy }'), outDir: path.join(root, 'float') });
    const { mixed } = record;
    const floats = mixed!.layers.filter((l) => l.chosen === 1);
    expect(mixed!.spent).toBeLessThanOrEqual(300);
    expect(mixed!.spent).toBeGreaterThan(64); // all of int8
    expect(floats.length).toBeGreaterThan(0);
    for (const l of floats) expect(record.nodes.find((n) => n.name === l.node)?.planned).toBe('float');
  }, 60_000);
  it('says what the smallest is where the budget cannot be kept, and writes nothing', async () => {
    await expect(runRecipe({ recipe: await withBudget('{ sizeRatio: 0.05, samples: 4 }'), outDir: path.join(root, 'none') })).rejects.toMatchObject({ code: 'RECIPE_INVALID', message: expect.stringMatching(/sizeRatio 0\.05 cannot be kept: with the cheapest choice for each layer it is 0\.\d+/) });
    expect(() => statSync(path.join(root, 'none', 'model.onnx'))).toThrow();
  }, 60_000);
  it('asks for exactly one limit', async () => {
    await expect(withBudget('{ sizeRatio: 0.2, macBits: 64 }')).rejects.toMatchObject({ code: 'RECIPE_INVALID', message: expect.stringContaining('exactly one') });
  });
});
