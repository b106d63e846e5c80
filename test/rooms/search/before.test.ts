/** What a search refuses before any work. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findRecipe } from '../../../src/search/auto.js';
import { loadRecipe } from '../../../src/recipe/load.js';

const recipeFile = path.join(import.meta.dirname, '..', '..', '..', 'recipes', 'int8-minmax.yaml');
const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-before-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The error of a search that must not begin, and the stages that it ran all the same. */
async function refused(
  set: readonly string[],
  maxAccuracyDrop: string | number,
  objective: 'latency' | 'size',
  named = true,
): Promise<{ code: string; message: string; hint: string | undefined; stages: string[] }> {
  const base = await loadRecipe(recipeFile, { set: ['calibration.cache=false', ...set] });
  const { metrics: _metrics, ...evaluation } = base.recipe.evaluation;
  const stages: string[] = [];
  const outDir = path.join(root, 'out');
  const error: unknown = await findRecipe({
    base: named ? base : { ...base, recipe: { ...base.recipe, evaluation } },
    outDir,
    maxAccuracyDrop,
    objective,
    timeBudgetMs: 6e5,
    onEvent: (e) => {
      if (e.type === 'stage-start') stages.push(e.stage);
    },
  }).catch((e: unknown) => e);
  expect(existsSync(outDir)).toBe(false);
  expect(error).toMatchObject({ name: 'QuantError' });
  const { code, message, hint } = error as { code: string; message: string; hint?: string }; // as expected above
  return { code, message, hint, stages };
}

describe('auto before any work', () => {
  it('refuses latency as the objective for a target whose times are not known here', async () => {
    expect(await refused(['target=tensorrt'], '1%', 'latency')).toEqual({
      code: 'USAGE',
      message:
        'the objective is latency, and target tensorrt does not run here: its numbers are simulated, its times unknown',
      hint: expect.stringMatching(/^use --objective size, or a target that runs here: onnxruntime-cpu/) as string,
      stages: [],
    });
  });
  it('refuses a limit whose unit is not that of the metric, named or chosen by the data', async () => {
    const wrong = expect.stringContaining('has no unit, and top1 is in %') as string;
    expect(await refused([], 0.01, 'size')).toMatchObject({ code: 'USAGE', message: wrong, stages: [] });
    const chosen = await refused([], 0.01, 'size', false);
    expect(chosen).toMatchObject({ code: 'USAGE', message: wrong, stages: ['look'] });
  });
});
