/** Searches on cases of bug reports. In faster lanes: as-fast.test.ts, and the search of test/whole/plugins.test.ts. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findRecipe } from '../../src/search/auto.js';
import { runRecipe } from '../../src/pipeline/run.js';
import { loadRecipe, resolveRecipe } from '../../src/recipe/load.js';
import { CASES, NO_CASES } from '../rooms/pipeline/models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-auto-cases-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const set = [
  'calibration.cache=false',
  'evaluation.layers=false',
  'evaluation.profile=false',
  'evaluation.latency.memory=false',
];

describe.skipIf(NO_CASES)('auto on cases of bug reports (skipped where ../shared/cases is absent)', () => {
  it('never ships a model that is slower than float', async () => {
    const base = await loadRecipe(path.join(CASES, 'models/auto-slower/hs.yaml'), { set });
    const { search, record } = await findRecipe({
      base,
      outDir: path.join(dir, 'hs'),
      maxAccuracyDrop: '5%',
      objective: 'latency',
      timeBudgetMs: 6e5,
    });
    const labels = search.trials.map((t) => t.label);
    expect(labels).toEqual(expect.arrayContaining(['stored int8', 'float16', 'optimized float']));
    // On a processor where integers win here, that is the answer; where they lose, a model at the speed of float, or
    // none.
    if (search.outcome === 'met') expect(record.latency!.speedupInterval![1]).toBeGreaterThanOrEqual(1);
    else expect(search.sentence).toMatch(/^Nothing that keeps the limit is faster than float/);
  }, 300_000);
  it('finds labels that lie beside the recipe, and its own recipe finds them again', async () => {
    const base = await loadRecipe(path.join(CASES, 'models/auto-labels-path/rec/mlp.yaml'), { set });
    const outDir = path.join(dir, 'deep/er/auto');
    const { outDir: made } = await findRecipe({
      base,
      outDir,
      maxAccuracyDrop: '5%',
      objective: 'size',
      timeBudgetMs: 6e5,
    });
    expect(existsSync(path.join(made, 'model.onnx'))).toBe(true);
    const again = await runRecipe({
      recipe: await loadRecipe(path.join(made, 'recipe.yaml'), { set: ['evaluation.latency=false'] }),
      outDir: path.join(dir, 'again'),
    });
    expect(again.record.evaluation!.metrics[0]!.name).toBe('top1');
  }, 300_000);
});

describe('the demo', () => {
  const data = path.join(import.meta.dirname, '..', '..', 'calibration-data');
  it('finds a recipe without calibration data: made-up images, and what BatchNormalization tells', async () => {
    const own = await resolveRecipe({
      version: 1,
      model: path.join(data, 'demo.onnx'),
      calibration: { samples: 32, cache: false },
      quantize: { format: 'dynamic' },
      evaluation: {
        data: { images: path.join(data, 'glyphs', 'test.tar'), preprocess: { scale: '1/255', mean: 0.5, std: 0.25 } },
        samples: 100,
        latency: { runs: 10, memory: false },
        layers: false,
        profile: false,
      },
    });
    const { search, record } = await findRecipe({
      base: own,
      tryBase: false,
      outDir: path.join(dir, 'dataless'),
      maxAccuracyDrop: '5%',
      objective: 'latency',
      timeBudgetMs: 6e5,
    });
    expect(search.outcome).toBe('met');
    expect(search.trials.map((t) => t.label)).toEqual(
      expect.arrayContaining([
        'int8 minmax + made-up images',
        'equalise + absorb-bias + int8 minmax + expected bias + made-up images',
      ]),
    );
    expect(search.trials.map((t) => t.label)).not.toContain('as given');
    expect(record.runtime!.integerMacsShare).toBe(1); // a run verifies
    const again = await loadRecipe(path.join(dir, 'dataless', 'recipe.yaml'), { set: ['evaluation.latency=false'] });
    await runRecipe({ recipe: again, outDir: path.join(dir, 'dataless-again') });
    expect(
      readFileSync(path.join(dir, 'dataless-again', 'model.onnx')).equals(
        readFileSync(path.join(dir, 'dataless', 'model.onnx')),
      ),
    ).toBe(true);
  }, 300_000);
});
