import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { guessDataSpec } from '../../../src/data/init.js';
import { dataSpec } from '../../../src/data/spec.js';
import { errorOf, f32, npy, png, put, tar, temp } from './helpers.js';

describe('guessDataSpec', () => {
  it('recognizes folders and files, and its guesses are valid specs', async () => {
    const d = await temp();
    await put(join(d, 'c/cat/a.png'), await png(1, 2, 3));
    await put(join(d, 'c/dog/a.png'), await png(1, 2, 3));
    await put(join(d, 'classes.txt'), 'dog\ncat\n');
    await put(join(d, 'flat/a.png'), await png(1, 2, 3));
    await put(join(d, 't/test_data_set_0/input_0.pb'), 'x');
    await put(join(d, 'w/a.tar'), tar([]));
    await put(join(d, 'n/a.npy'), npy('<f4', [1], f32(1)));
    await put(join(d, 'l.csv'), 'file,label\na.png,cat\n');
    await put(join(d, 's/pairs.tsv'), 'a\tb\tscore\nx\ty\t1.5\n');
    await put(join(d, 's/tokenizer.json'), '{}');
    await put(join(d, 'm.mjs'), '');
    const guesses = await Promise.all(
      ['c', 'flat', 't', 'w', 'n', 'l.csv', 's/pairs.tsv', 'm.mjs'].map((p) => guessDataSpec(join(d, p))),
    );
    expect(guesses).toEqual([
      { images: join(d, 'c'), classes: join(d, 'classes.txt') },
      { images: join(d, 'flat') },
      { testData: join(d, 't') },
      { webdataset: join(d, 'w') },
      { npy: join(d, 'n') },
      { imageList: join(d, 'l.csv'), columns: { path: 'file', label: 'label' } },
      { text: join(d, 's/pairs.tsv'), tokenizer: join(d, 's/tokenizer.json'), fields: ['a', 'b'], label: 'score' },
      { module: join(d, 'm.mjs') },
    ]);
    for (const guess of guesses) expect(dataSpec.safeParse(guess).success).toBe(true);
  });
  it('says so where nothing is recognized', async () => {
    const d = await temp();
    await put(join(d, 'readme.md'), 'x');
    expect(await errorOf(() => guessDataSpec(d))).toMatchObject({ code: 'DATA_FORMAT', where: { file: d } });
    expect(await errorOf(() => guessDataSpec(join(d, 'readme.md')))).toMatchObject({ code: 'DATA_FORMAT' });
    expect(await errorOf(() => guessDataSpec(join(d, 'none')))).toMatchObject({ code: 'DATA_MISSING' });
  });
});
