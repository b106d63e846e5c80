/** Data files that are made to hang, to fill the memory, or to reach what expects something else. */
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../../src/base/errors.js';
import type { ValueInfo } from '../../../src/ir/feed.js';
import { all, errorOf, open, put, tar, temp } from './helpers.js';

const image: readonly ValueInfo[] = [{ name: 'x', dtype: 'float32', shape: [null, 3, 4, 4] }];
const ids: readonly ValueInfo[] = ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => ({
  name,
  dtype: 'int64' as const,
  shape: [null, null],
}));
const pax = (key: string, value: string): string => {
  const body = ` ${key}=${value}\n`;
  return `${body.length + String(body.length + 2).length}${body}`;
};

describe('tar archives', () => {
  const read = async (entries: Parameters<typeof tar>[0]): Promise<unknown> => {
    const dir = await temp();
    await put(join(dir, 'x.tar'), tar(entries));
    return all(await open({ webdataset: 'x.tar' }, image, dir));
  };
  it.each(['-1536', '-1', '-512', '-1024', '1e3', '0x10', ' 5', '', 'NaN', '9007199254740993', '-9007199254740993'])(
    'a pax size of "%s" is DATA_FORMAT and not read for ever',
    async (size) => {
      for (const type of ['5', '0']) {
        const error = await errorOf(() =>
          read([
            { name: 'p', data: pax('size', size), type: 'x' },
            { name: 'd', type },
            { name: 'a.png', data: 'x' },
          ]),
        );
        expect(error.code).toBe('DATA_FORMAT');
      }
    },
  );
  it('a negative size in base 256 is DATA_FORMAT', async () => {
    const archive = tar([{ name: 'a.png', data: 'x' }]);
    archive.fill(0xff, 124, 136);
    archive.fill(32, 148, 156);
    archive.set(
      new TextEncoder().encode(
        `${archive
          .subarray(0, 512)
          .reduce((a, b) => a + b, 0)
          .toString(8)
          .padStart(6, '0')}\0 `,
      ),
      148,
    );
    const dir = await temp();
    await put(join(dir, 'x.tar'), archive);
    expect((await errorOf(async () => all(await open({ webdataset: 'x.tar' }, image, dir)))).code).toBe('DATA_FORMAT');
  });
  it('a right pax size is taken', async () => {
    const png = await sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    expect(
      await read([
        { name: 'p', data: pax('size', String(png.length)), type: 'x' },
        { name: 'a.png', data: png, size: 0 },
      ]),
    ).toHaveLength(1);
  });
});

describe('tokenizer.json of any kind', () => {
  const WORDS = { '[UNK]': 3, '[CLS]': 1, '[SEP]': 2, good: 4 };
  const GOOD = {
    added_tokens: [
      { id: 1, content: '[CLS]', special: true },
      { id: 2, content: '[SEP]', special: true },
    ],
    normalizer: { type: 'BertNormalizer', lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '[CLS]', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '[CLS]': { id: '[CLS]', ids: [1], tokens: ['[CLS]'] } },
    },
    decoder: { type: 'WordPiece', prefix: '##' },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: WORDS,
    },
  };
  const read = async (tokenizer: unknown, maxLength?: number): Promise<unknown[]> => {
    const dir = await temp();
    await put(join(dir, 'tokenizer.json'), JSON.stringify(tokenizer));
    await put(join(dir, 't.tsv'), `text\nGood news\n${'good '.repeat(40)}\n`);
    return all(
      await open(
        {
          text: 't.tsv',
          tokenizer: 'tokenizer.json',
          fields: ['text'],
          ...(maxLength === undefined ? {} : { maxLength }),
        },
        ids,
        dir,
      ),
    );
  };
  it('a good one is read', async () => {
    expect(await read(GOOD, 8)).toHaveLength(2);
  });
  const model = (change: object): unknown => ({ ...GOOD, model: { ...GOOD.model, ...change } });
  it.each<[string, unknown, ErrorCode]>([
    ['null', null, 'DATA_FORMAT'],
    ['a list', [], 'DATA_FORMAT'],
    ['a number', 5, 'DATA_FORMAT'],
    ['an empty object', {}, 'DATA_FORMAT'],
    ['ids that are objects', model({ vocab: { '[UNK]': { id: 3 }, good: {} } }), 'DATA_FORMAT'],
    ['ids beyond every number', model({ vocab: { '[UNK]': '1e999', good: 'Infinity' } }), 'DATA_FORMAT'],
    ['ids that are fractions', model({ vocab: { '[UNK]': 0.5, good: 1.5 } }), 'DATA_FORMAT'],
    ['negative ids', model({ vocab: { '[UNK]': -1, good: -2 } }), 'DATA_FORMAT'],
    ['ids of lists', model({ vocab: { '[UNK]': [1], good: [[2]] } }), 'DATA_FORMAT'],
    [
      'an added token without a number',
      { ...GOOD, added_tokens: [{ id: {}, content: 'good', special: true }] },
      'DATA_FORMAT',
    ],
    ['a template that is no list', { ...GOOD, post_processor: { ...GOOD.post_processor, single: 5 } }, 'DATA_FORMAT'],
    ['a template of texts', { ...GOOD, post_processor: { ...GOOD.post_processor, single: ['x'] } }, 'DATA_FORMAT'],
    ['a length of -1', { ...GOOD, truncation: { max_length: -1 } }, 'DATA_FORMAT'],
    ['padding with 0.5', { ...GOOD, padding: { pad_id: 0.5 } }, 'DATA_FORMAT'],
    [
      'an expression that takes for ever',
      {
        ...GOOD,
        pre_tokenizer: { type: 'Split', pattern: { Regex: '^((g|o|d)+)+$' }, behavior: 'Removed', invert: false },
      },
      'DATA_FORMAT',
    ],
    [
      'one in a sequence',
      {
        ...GOOD,
        normalizer: {
          type: 'Sequence',
          normalizers: [{ type: 'Replace', pattern: { Regex: '(\\w+\\s*)*!' }, content: '' }],
        },
      },
      'DATA_FORMAT',
    ],
  ])('%s', async (_what, tokenizer, code) => {
    expect((await errorOf(() => read(tokenizer))).code).toBe(code);
  });
  it('expressions of real tokenizers are taken', async () => {
    const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    const llama3 =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n" +
      ']*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
    for (const Regex of [gpt2, llama3, '(?:[a-z]{2}){1,3}', '(ab)+c*'])
      expect(
        await read({
          ...GOOD,
          pre_tokenizer: { type: 'Split', pattern: { Regex }, behavior: 'Removed', invert: true },
        }),
      ).toHaveLength(2);
  });
});

describe('images and paths', () => {
  it('a picture of 18 million pixels in 300 bytes is DATA_IMAGE, a large one of one colour is read', async () => {
    const dir = await temp();
    const gif = Buffer.from('4749463839610002078c800000ff0000ffffff2c000000000002078c0002028401003b', 'hex');
    await put(join(dir, 'a/1.gif'), gif);
    const error = await errorOf(async () =>
      all(await open({ images: dir, preprocess: { resize: { height: 4, width: 4 } } }, image, dir)),
    );
    expect([error.code, error.message]).toEqual(['DATA_IMAGE', expect.stringContaining('pixels in')]);
    const white = await sharp({ create: { width: 4000, height: 3000, channels: 3, background: 'white' } })
      .png()
      .toBuffer();
    const fine = await temp();
    await put(join(fine, 'a/1.png'), white);
    expect(
      await all(await open({ images: fine, preprocess: { resize: { height: 4, width: 4 } } }, image, fine)),
    ).toHaveLength(1);
  });
  it('braces that stand for millions of names are refused quickly', async () => {
    const dir = await temp();
    const start = performance.now();
    expect((await errorOf(() => open({ webdataset: join(dir, `${'{a,b}'.repeat(40)}.tar`) }, image, dir))).code).toBe(
      'DATA_FORMAT',
    );
    expect(performance.now() - start).toBeLessThan(3000);
  });
});
