/** Searches for runtimes that load files of their own. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runRecipe } from '../../src/pipeline/run.js';
import { loadRecipe, resolveRecipe } from '../../src/recipe/load.js';
import { findRecipe } from '../../src/search/auto.js';
import type { AutoResult } from '../../src/search/types.js';
import { tinyRecipe } from '../rooms/search/tiny.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-auto-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const FILES = {
  litert: ['model.tflite'],
  ncnn: ['tiny-64.bin', 'tiny-64.param', 'tiny-64.table'],
} as const;
type Name = keyof typeof FILES;

describe.each(Object.keys(FILES) as Name[])('the smallest model for %s', (target) => {
  const outDir = path.join(root, target);
  let found: AutoResult;
  it('is looked for by the bytes of what its runtime loads, on all samples that a search has', async () => {
    const base = await resolveRecipe({ ...tinyRecipe(root, 64), target }, { baseDir: root, name: 'tiny' });
    found = await findRecipe({ base, outDir, maxAccuracyDrop: '30%', objective: 'size', timeBudgetMs: 3e5 });
    const { trials, searchSamples, chosen } = found.search;
    const whole = trials.filter((t) => t.outcome === 'ok' && t.round > 1);
    expect(new Set(whole.map((t) => t.samples))).toEqual(new Set([searchSamples]));
    // fewer bits are codes of the same int8: no reason to ship them
    expect(new Set(whole.map((t) => t.bytes)).size).toBe(1);
    expect(chosen).not.toMatch(/[234]-bit/);
  }, 200_000);
  it('is written with the recipe that makes it again', async () => {
    const [main] = FILES[target];
    expect(readdirSync(outDir).sort()).toEqual(
      ['README.md', ...FILES[target], 'recipe.yaml', 'run.json', 'simulated.onnx'].sort(),
    );
    expect(found.record.files.find((f) => f.path === main)).toMatchObject({
      role: 'model',
      bytes: statSync(path.join(outDir, main)).size,
    });
    const recipe = await loadRecipe(path.join(outDir, 'recipe.yaml'), { set: ['evaluation.latency=false'] });
    const again = path.join(root, `${target}-again`);
    await runRecipe({ recipe, outDir: again });
    for (const file of FILES[target])
      expect(readFileSync(path.join(again, file)).equals(readFileSync(path.join(outDir, file))), file).toBe(true);
  }, 60_000);
});
