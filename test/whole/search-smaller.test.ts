/** Searches that may make the float model smaller first. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runRecipe } from '../../src/pipeline/run.js';
import { loadRecipe, resolveRecipe } from '../../src/recipe/load.js';
import { findRecipe } from '../../src/search/auto.js';
import { tinyRecipe } from '../rooms/search/tiny.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-smaller-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Enough channels for weights that are worth storing in few bits when most of them are gone. */
const WIDTH = 32;

describe('a search', () => {
  const search = async (name: string, drop: string, allow: string[]) =>
    findRecipe({
      base: await resolveRecipe(tinyRecipe(root, WIDTH)),
      tryBase: false,
      outDir: path.join(root, name),
      maxAccuracyDrop: drop,
      objective: 'size',
      timeBudgetMs: 3e5,
      allow,
    });

  it('takes channels out as far as the limit allows, and its recipe makes the same file again', async () => {
    const { record, search: found } = await search('pruned', '100%', ['prune']);
    expect(found.chosen).toMatch(/^prune to 0\.\d+ × \+ /);
    const shares = found.trials.flatMap((t) => /^prune to (\S+) ×/.exec(t.label)?.[1] ?? []).map(Number);
    expect(shares.slice(0, 2)).toEqual([0.8, 0.65]);
    const file = path.join(root, 'pruned', 'recipe.yaml');
    const written = parse(readFileSync(file, 'utf8')) as { compress: unknown[] };
    expect(written.compress).toMatchObject([{ name: 'prune', left: { size: expect.any(Number) as number } }]);
    const states = record.compression!.states;
    expect(states.map((s) => s.name)).toEqual(['as given', 'prune']);
    expect(states[1]!.parameters).toBeLessThan(states[0]!.parameters);
    const again = await runRecipe({ recipe: await loadRecipe(file), outDir: path.join(root, 'again') });
    const hash = (r: typeof record): string => r.files.find((f) => f.path === 'model.onnx')!.sha256;
    expect(hash(again.record)).toBe(hash(record));
  });
  it('says why a compression was not tried', async () => {
    const { search: found } = await search('none', '0%', ['prune']);
    const tried = found.trials.filter((t) => t.label.startsWith('prune'));
    expect(tried.length > 0 || found.notes.some((n) => n.startsWith('prune was not tried'))).toBe(true);
  });
  it('tries none that was not allowed', async () => {
    const { search: found } = await search('plain', '100%', []);
    expect(found.trials.every((t) => !t.label.includes('prune'))).toBe(true);
  });
});
