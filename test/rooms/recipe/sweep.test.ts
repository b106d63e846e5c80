import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadRecipe, loadRecipes, type ResolvedRecipe } from '../../../src/recipe/load.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-sweep-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = path.join(dir, 'obs.yaml');
const load = (quantize: string, set: readonly string[] = []): Promise<ResolvedRecipe[]> => {
  writeFileSync(file, `version: 1\nmodel: m.onnx\ncalibration:\n  data: { images: data }\nquantize:\n${quantize}`);
  return loadRecipes(file, { set });
};

describe('a sweep', () => {
  it('makes a recipe of each value, named after it', async () => {
    const all = await load('  activations:\n    observer: [minmax, kl, { name: percentile, percentile: 99.9 }]\n');
    expect(all.map((r) => r.name)).toEqual([
      'obs observer=minmax',
      'obs observer=kl',
      'obs observer=percentile(percentile:99.9)',
    ]);
    expect(all.map((r) => r.recipe.quantize.activations.observer.name)).toEqual(['minmax', 'kl', 'percentile']);
    expect(all[1]!.sweep).toEqual({ name: 'obs', label: 'observer=kl' });
    expect(all.every((r) => !r.yaml.includes('minmax, kl'))).toBe(true);
  });
  it('multiplies lists, the last changing fastest, with longer names where keys meet', async () => {
    const all = await load(
      '  format: [qdq, qoperator]\n  activations: { observer: [minmax, kl] }\n  weights: { observer: [minmax, mse] }\n',
    );
    expect(all.map((r) => r.sweep?.label)).toEqual([
      'format=qdq activations.observer=minmax weights.observer=minmax',
      'format=qdq activations.observer=minmax weights.observer=mse',
      'format=qdq activations.observer=kl weights.observer=minmax',
      'format=qdq activations.observer=kl weights.observer=mse',
      'format=qoperator activations.observer=minmax weights.observer=minmax',
      'format=qoperator activations.observer=minmax weights.observer=mse',
      'format=qoperator activations.observer=kl weights.observer=minmax',
      'format=qoperator activations.observer=kl weights.observer=mse',
    ]);
  });
  it('lists in the options of a step of compress are swept, and the list of steps is not', async () => {
    const all = await load(
      '  format: qdq\ncompress:\n  - { name: prune, importance: [l1, random], left: { macs: [0.8, 0.5] } }\n' +
        '  - { name: depth, left: { blocks: 0.5 } }\n',
    );
    expect(all.map((r) => r.sweep?.label)).toEqual([
      'importance=l1 macs=0.8',
      'importance=l1 macs=0.5',
      'importance=random macs=0.8',
      'importance=random macs=0.5',
    ]);
    expect(all.map((r) => r.recipe.compress.map((c) => c.left))).toEqual(
      [0.8, 0.5, 0.8, 0.5].map((macs) => [{ macs }, { blocks: 0.5 }]),
    );
  });
  it('comes from the command line too, and leaves keys that take lists alone', async () => {
    expect(
      (await load('  exclude: [ a, b ]\n', ['quantize.activations.symmetric=[true, false]'])).map((r) => [
        r.recipe.quantize.activations.symmetric,
        r.recipe.quantize.exclude,
      ]),
    ).toEqual([
      [true, ['a', 'b']],
      [false, ['a', 'b']],
    ]);
    const [one, ...none] = await load('  exclude: [ a ]\n');
    expect(none).toEqual([]);
    expect(one).not.toHaveProperty('sweep');
  });
  it.each([
    ['  activations: { observer: [] }\n', /`quantize.activations.observer` is an empty list/, 6],
    ['  format: qdq\n  activations: { observer: [kl, kl] }\n', /lists a value twice/, 7],
    ['  activations: { observer: [minmax, kld] }\n', /"kld" is not .*Did you mean "kl"/, 6],
    [`  seed: [${Array.from({ length: 65 }, (_, i) => i).join(', ')}]\n`, /make 65 recipes; at most 64/, 6],
  ])('is refused at its line: %s', async (quantize, message, line) => {
    const error = await load(quantize).then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(error).toMatchObject({
      code: expect.stringMatching(/^RECIPE_/) as string,
      message: expect.stringMatching(message) as string,
      where: { line },
    });
  });
  it('is refused where one recipe is needed', async () => {
    await load('  activations: { observer: [minmax, kl] }\n');
    await expect(loadRecipe(file)).rejects.toMatchObject({
      code: 'RECIPE_INVALID',
      message: 'the recipe is a sweep of 2 recipes, where one is needed',
    });
  });
});
