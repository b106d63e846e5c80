import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { PATH_KINDS } from '../../../src/data/spec.js';
import { loadRecipes } from '../../../src/recipe/load.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const recipes = readdirSync(path.join(root, 'recipes'), { recursive: true, encoding: 'utf8' }).filter((f) =>
  f.endsWith('.yaml'),
);

describe.each(recipes)('recipes/%s', (name) => {
  const file = path.join(root, 'recipes', name);
  it('points editors to the schema', () => {
    const [first = ''] = readFileSync(file, 'utf8').split('\n');
    const schema = /^# yaml-language-server: \$schema=(\S+)$/.exec(first)?.[1];
    expect(schema).toBeDefined();
    expect(existsSync(path.resolve(path.dirname(file), schema!))).toBe(true); // expected above
  });
  it('loads, and names files that exist', async (context) => {
    const [first] = await loadRecipes(file);
    const { recipe, baseDir } = first!; // a recipe stands for at least one
    const data = [recipe.calibration.data, recipe.evaluation.data].flatMap((d) =>
      d ? PATH_KINDS.map((k) => d[k]) : [],
    );
    const files = [recipe.model, ...data].filter((p): p is string => typeof p === 'string');
    const shared = files.some((f) => f.includes('/shared/'));
    if (shared && !existsSync(path.join(root, '../shared'))) return context.skip('../shared is not there');
    for (const f of files) expect(existsSync(path.resolve(baseDir, f)), f).toBe(true);
  });
});
