import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { derive, resolveRecipe } from '../../../src/recipe/load.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';

const from = path.resolve('/from/recipes');
const to = path.resolve('/to/a/b');
type Data = NonNullable<NonNullable<RecipeInput['evaluation']>['data']>;

/** The data of a recipe that was moved to another folder. */
async function moved(data: Data): Promise<Record<string, unknown>> {
  const base = await resolveRecipe(
    { version: 1, model: 'm.onnx', quantize: { format: 'dynamic' }, evaluation: { data } },
    { baseDir: from },
  );
  const { recipe } = await derive(base, {}, { baseDir: to });
  return JSON.parse(JSON.stringify(recipe.evaluation.data)) as Record<string, unknown>; // a checked spec is a mapping
}
const abs = (p: unknown): string => path.resolve(to, String(p));

describe('a recipe that is moved', () => {
  it.each<[string, Data, readonly string[]]>([
    ['npy', { npy: '../data/x.npy', labels: '../data/y.npy', targets: '../data/t.npy' }, ['npy', 'labels', 'targets']],
    [
      'images',
      { images: '../data/img', annotations: '../data/a.json', classes: '../data/c.txt' },
      ['images', 'annotations', 'classes'],
    ],
    ['imageList', { imageList: '../data/list.csv', classes: '../data/c.txt' }, ['imageList', 'classes']],
    ['text', { text: '../data/t.tsv', tokenizer: '../data/tokenizer.json', fields: ['a'] }, ['text', 'tokenizer']],
    ['module', { module: '../data/m.mjs' }, ['module']],
    ['raw', { raw: '../data/x.bin', shape: [4], dtype: 'float32' }, ['raw']],
    ['webdataset', { webdataset: '../data/x-{0000..0003}.tar' }, ['webdataset']],
    ['testData', { testData: '../data/tests' }, ['testData']],
  ])('names the same files of %s', async (_kind, data, keys) => {
    const found = await moved(data);
    const given = data as Record<string, unknown>; // read by key
    for (const key of keys) expect(abs(found[key])).toBe(path.resolve(from, String(given[key])));
  });
  it('names the same files where a file is given for each input or output', async () => {
    const found = await moved({ npy: { x: 'x.npy' }, targets: { y: 'y.npy' } });
    expect(abs((found.npy as { x: string }).x)).toBe(path.join(from, 'x.npy')); // as given
    expect(abs((found.targets as { y: string }).y)).toBe(path.join(from, 'y.npy')); // as above
  });
  it('leaves what are no files: keys of an archive, names of classes', async () => {
    expect(await moved({ npz: 'x.npz', labels: 'label', targets: { y: 'key' } })).toMatchObject({
      labels: 'label',
      targets: { y: 'key' },
    });
    expect(await moved({ images: 'img', classes: ['cat', 'dog'] })).toMatchObject({ classes: ['cat', 'dog'] });
  });
});
