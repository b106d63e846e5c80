/** A bad sample among many is told of before the work, by what costs little to look at. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { QuantError } from '../../../src/base/errors.js';
import { lookAhead } from '../../../src/pipeline/look-ahead.js';
import { asksOf } from '../../../src/pipeline/stages.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import { errorOf, f32, image4, npy, open, png, put, tar, temp, vector2 } from './helpers.js';

const MANY = 1000;
const BAD = 900;
let dir = '';
const name = (i: number): string => String(i).padStart(4, '0');
const MINUTE = { ms: 60_000 };

beforeAll(async () => {
  dir = await temp();
  const [good, picture] = [npy('<f4', [2], f32(1, 2)), await png(1, 2, 3)];
  const wide = npy('<f4', [3], f32(1, 2, 3));
  for (let i = 0; i < MANY; i++) {
    await put(join(dir, 'npy', `${name(i)}.npy`), i === BAD ? wide : good);
    await put(join(dir, 'npz', `${name(i)}.npz`), zipSync({ 'x.npy': i === BAD ? wide : good }));
    await put(join(dir, 'images', `${name(i)}.png`), i === BAD ? '<html>not found</html>' : picture);
    if (i !== BAD) await put(join(dir, 'listed', `${name(i)}.png`), picture);
  }
  await put(
    join(dir, 'listed', 'list.csv'),
    ['path,label', ...Array.from({ length: MANY }, (_, i) => `${name(i)}.png,0`)].join('\n'),
  );
  const files = Array.from({ length: MANY }, (_, i) => ({
    name: `${name(i)}.png`,
    data: i === BAD ? new TextEncoder().encode('not an image') : picture,
  }));
  await put(join(dir, 'images.tar'), tar(files));
}, 120_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('looking through data', () => {
  const cases = [
    ['npy', { npy: 'npy' }, vector2, 'DATA_SHAPE', `${name(BAD)}.npy`],
    ['npz', { npz: 'npz' }, vector2, 'DATA_SHAPE', `${name(BAD)}.npz`],
    ['images', { images: 'images', preprocess: {} }, image4, 'DATA_IMAGE', `${name(BAD)}.png`],
    ['images of an archive', { images: 'images.tar', preprocess: {} }, image4, 'DATA_IMAGE', `${name(BAD)}.png`],
    ['listed images', { imageList: 'listed/list.csv', preprocess: {} }, image4, 'DATA_MISSING', `${name(BAD)}.png`],
  ] as const;
  it.each(cases)('names the one bad sample of 1,000: %s', async (_what, spec, input, code, sample) => {
    const dataset = await open(spec, [input], dir);
    const error = await errorOf(() => dataset.lookThrough(MINUTE));
    expect([error.code, error.where.sample]).toEqual([code, sample]);
    const skipping = await open({ ...spec, onBadSample: 'skip' }, [input], dir);
    await skipping.lookThrough(MINUTE);
  });
  it('looks at what is used only, and stops when its time is up', async () => {
    const dataset = await open({ npy: 'npy', order: 'listed' }, [vector2], dir);
    await dataset.lookThrough({ ...MINUTE, limit: BAD });
    expect((await errorOf(() => dataset.lookThrough({ ...MINUTE, limit: BAD + 1 }))).code).toBe('DATA_SHAPE');
    await dataset.lookThrough({ ms: 0 });
  });
  it('is done before any stage of a run, which tells the place in the recipe', async () => {
    const recipe = { version: 1 as const, model: 'm.onnx', calibration: { data: { npy: 'npy' }, samples: MANY } };
    const resolved = await resolveRecipe(recipe, { baseDir: dir });
    const asks = [asksOf(resolved.recipe)];
    const look = (): Promise<void> =>
      lookAhead(resolved, [vector2], { metadata: new Map(), outputs: [], metrics: undefined }, asks, undefined);
    const error: QuantError = await errorOf(look);
    expect([error.code, error.where.sample]).toEqual(['DATA_SHAPE', `${name(BAD)}.npy`]);
  });
});
