import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.js';
import { batches, fixedBatchOf, type Batch } from '../../../src/data/batch.js';
import { overlap } from '../../../src/data/overlap.js';
import { dataSpec } from '../../../src/data/spec.js';
import type { Sample, ValueInfo } from '../../../src/ir/feed.js';
import { all, errorOf, open, put, temp, vector2 } from './helpers.js';

const textInputs: ValueInfo[] = ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => ({
  name,
  dtype: 'int64',
  shape: ['batch', 'sequence'],
}));
const TOKENIZER = JSON.stringify({
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: ['[PAD]', '[CLS]', '[SEP]', '[UNK]'].map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })),
  normalizer: { type: 'Lowercase' },
  pre_tokenizer: { type: 'Whitespace' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '[CLS]', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '[SEP]', type_id: 0 } },
    ],
    pair: [
      { SpecialToken: { id: '[CLS]', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '[SEP]', type_id: 0 } },
      { Sequence: { id: 'B', type_id: 1 } },
      { SpecialToken: { id: '[SEP]', type_id: 1 } },
    ],
    special_tokens: {
      '[CLS]': { id: '[CLS]', ids: [1], tokens: ['[CLS]'] },
      '[SEP]': { id: '[SEP]', ids: [2], tokens: ['[SEP]'] },
    },
  },
  decoder: null,
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab: { '[PAD]': 0, '[CLS]': 1, '[SEP]': 2, '[UNK]': 3, a: 4, b: 5, c: 6, d: 7 },
  },
});
const ids = (s: Sample, feed = 0, name = 'input_ids'): number[] => Array.from(s.feeds[feed]![name]!.data, Number);

describe('text', () => {
  const setup = async (): Promise<string> => {
    const dir = await temp();
    await put(join(dir, 'tokenizer.json'), TOKENIZER);
    await put(join(dir, 't.tsv'), 's1\ts2\tscore\na "b\tc\t4.5\na b c d\td d\t1\n');
    await put(join(dir, 't.jsonl'), '{"s1":"a","s2":"b","score":2}\n\n{"s1":"c","s2":"d"}\n');
    return dir;
  };
  const spec = {
    text: 't.tsv',
    tokenizer: 'tokenizer.json',
    fields: ['s1', 's2'],
    label: 'score',
    order: 'listed' as const,
  };
  it('gives a feed per sentence, with scores and lines', async () => {
    const [one, two] = await all(await open(spec, textInputs, await setup()));
    expect(one).toMatchObject({ id: 't.tsv:2', label: 4.5 });
    expect([ids(one!), ids(one!, 1)]).toEqual([
      [1, 4, 3, 5, 2],
      [1, 6, 2],
    ]);
    expect(ids(two!, 0, 'attention_mask')).toEqual([1, 1, 1, 1, 1, 1]);
  });
  it('gives the text of a column as target', async () => {
    const dir = await setup();
    expect((await all(await open({ ...spec, target: 's2' }, textInputs, dir))).map((s) => s.target)).toEqual([
      { text: 'c' },
      { text: 'd d' },
    ]);
    expect(
      (
        await all(
          await open(
            { text: 't.jsonl', tokenizer: 'tokenizer.json', fields: ['s1'], target: 's2', order: 'listed' },
            textInputs,
            dir,
          ),
        )
      )[1]!.target,
    ).toEqual({ text: 'd' });
    expect(await errorOf(() => open({ ...spec, target: 's3' }, textInputs, dir))).toMatchObject({
      code: 'DATA_FORMAT',
    });
    expect(
      await errorOf(() =>
        open({ text: 't.jsonl', tokenizer: 'tokenizer.json', fields: ['s1'], target: 'score' }, textInputs, dir),
      ),
    ).toMatchObject({ code: 'DATA_FORMAT', where: { line: 1 } });
  });
  it('cuts the longer text and keeps special tokens', async () => {
    const dir = await setup();
    const single = await all(await open({ ...spec, maxLength: 4 }, textInputs, dir));
    expect(ids(single[1]!)).toEqual([1, 4, 5, 2]);
    const joint = await all(await open({ ...spec, joint: true, maxLength: 7 }, textInputs, dir));
    expect([ids(joint[1]!), ids(joint[1]!, 0, 'token_type_ids')]).toEqual([
      [1, 4, 5, 2, 7, 7, 2],
      [0, 0, 0, 0, 1, 1, 1],
    ]);
  });
  it('pads to the length of the model, to maxLength, or to the longest of a batch', async () => {
    const dir = await setup();
    const fixed = textInputs.map((i) => ({ ...i, shape: ['batch', 8] }));
    expect(ids((await all(await open(spec, fixed, dir)))[0]!)).toEqual([1, 4, 3, 5, 2, 0, 0, 0]);
    const data = await open({ ...spec, padTo: 'longest' }, textInputs, dir);
    const out: Batch[] = [];
    for await (const b of batches(data.samples(), { size: 2, inputs: textInputs, padding: data.padding })) out.push(b);
    expect(out).toHaveLength(1);
    expect(out[0]!.feeds[1]!['input_ids']).toEqual({
      dtype: 'int64',
      dims: [2, 4],
      data: BigInt64Array.of(1n, 6n, 2n, 0n, 1n, 7n, 7n, 2n),
    });
    expect(out[0]!.feeds[1]!['attention_mask']!.data).toEqual(BigInt64Array.of(1n, 1n, 1n, 0n, 1n, 1n, 1n, 1n));
  });
  it('names the line of a missing score, field or broken row', async () => {
    const dir = await setup();
    expect(await errorOf(async () => all(await open({ ...spec, text: 't.jsonl' }, textInputs, dir)))).toMatchObject({
      code: 'DATA_LABEL',
      where: { line: 3, sample: 't.jsonl:3' },
    });
    expect(await errorOf(() => open({ ...spec, fields: ['nope'] }, textInputs, dir))).toMatchObject({
      code: 'DATA_FORMAT',
      where: { line: 1 },
    });
    await put(join(dir, 'bad.tsv'), 's1\ts2\tscore\na\tb\n');
    expect(await errorOf(() => open({ ...spec, text: 'bad.tsv' }, textInputs, dir))).toMatchObject({
      code: 'DATA_FORMAT',
      where: { line: 2 },
    });
    await put(join(dir, 'bad.json'), '{"x":1}');
    expect(await errorOf(() => open({ ...spec, tokenizer: 'bad.json' }, textInputs, dir))).toMatchObject({
      code: 'DATA_FORMAT',
    });
    expect(await errorOf(() => open(spec, [vector2], dir))).toMatchObject({
      code: 'DATA_SHAPE',
      where: { tensor: 'x' },
    });
  });
});

const sts = resolve('../shared/data/sts');
describe.skipIf(!existsSync(sts))('sentence pairs (skipped: ../shared is absent)', () => {
  it('encodes with a real tokenizer', async () => {
    const data = await open(
      {
        text: join(sts, 'test.tsv'),
        tokenizer: join(sts, 'tokenizer.json'),
        fields: ['sentence1', 'sentence2'],
        label: 'score',
        order: 'listed',
      },
      textInputs,
      '.',
    );
    const [first] = await all(data, 1);
    expect(first).toMatchObject({ id: 'test.tsv:2', label: 3.3 });
    // "there is no boy playing outdoors and there is no man smiling" in bert-base-uncased
    expect(ids(first!)).toEqual([101, 2045, 2003, 2053, 2879, 2652, 19350, 1998, 2045, 2003, 2053, 2158, 5629, 102]);
  });
});

describe('module', () => {
  const run = async (
    code: string,
    inputs: readonly ValueInfo[] = [vector2],
    extra = {},
    found: Diagnostic[] = [],
  ): Promise<Sample[]> => {
    const dir = await temp();
    await put(join(dir, 'm.mjs'), code);
    return all(await open({ module: './m.mjs', ...extra }, inputs, dir, found));
  };
  it('accepts nested arrays, typed arrays and tensors, with options and ids', async () => {
    const samples = await run(
      `export async function* samples(o, inputs) {
      yield { feed: { [inputs[0].name]: [[1, 2]] }, label: o.label, id: 'one' };
      yield { feeds: [{ x: Float32Array.of(3, 4) }] };
      yield { feed: { x: { dims: [2], data: [5, 6] } } };
    }`,
      [vector2],
      { options: { label: 3 } },
    );
    expect(
      samples.map((s) => [s.id, s.label, s.feeds[0]!['x']!.dims, Array.from(s.feeds[0]!['x']!.data, Number)]),
    ).toEqual([
      ['one', 3, [1, 2], [1, 2]],
      ['m.mjs#1', undefined, [1, 2], [3, 4]],
      ['m.mjs#2', undefined, [1, 2], [5, 6]],
    ]);
  });
  it.each<{ name: string; code: string; error: string }>([
    { name: 'syntax error', code: 'export const = 1', error: 'DATA_MODULE' },
    { name: 'throws while loading', code: 'throw new Error("no")', error: 'DATA_MODULE' },
    { name: 'no samples', code: 'export const other = 1', error: 'DATA_MODULE' },
    { name: 'not iterable', code: 'export const samples = () => 5', error: 'DATA_MODULE' },
    {
      name: 'throws while yielding',
      code: 'export function* samples() { yield { feed: { x: [[1, 2]] } }; throw new Error("late"); }',
      error: 'DATA_MODULE',
    },
    { name: 'null sample', code: 'export function* samples() { yield null }', error: 'DATA_MODULE' },
    {
      name: 'text for numbers',
      code: 'export function* samples() { yield { feed: { x: [["a", "b"]] } } }',
      error: 'DATA_MODULE',
    },
    {
      name: 'ragged',
      code: 'export function* samples() { yield { feed: { x: [[1, 2], [3]] } } }',
      error: 'DATA_MODULE',
    },
    {
      name: 'wrong shape',
      code: 'export function* samples() { yield { feed: { x: [[1, 2, 3]] } } }',
      error: 'DATA_SHAPE',
    },
    {
      name: 'unknown input',
      code: 'export function* samples() { yield { feed: { x: [[1, 2]], y: [1] } } }',
      error: 'DATA_SHAPE',
    },
    {
      name: 'bad label',
      code: 'export function* samples() { yield { feed: { x: [[1, 2]] }, label: "cat" } }',
      error: 'DATA_LABEL',
    },
    { name: 'nothing', code: 'export function* samples() {}', error: 'DATA_MISSING' },
  ])('$name → $error', async ({ code, error }) => {
    expect((await errorOf(() => run(code))).code).toBe(error);
  });
  it('leaves out bad samples where asked to', async () => {
    const found: Diagnostic[] = [];
    const samples = await run(
      'export function* samples() { yield { feed: { x: [[1]] } }; yield { feed: { x: [[1, 2]] } } }',
      [vector2],
      { onBadSample: 'skip' },
      found,
    );
    expect(samples.map((s) => s.id)).toEqual(['m.mjs#1']);
    expect(found).toMatchObject([{ code: 'DATA_SHAPE', where: { sample: 'm.mjs#0' } }]);
  });
});

describe('batches', () => {
  const sample = (id: number, length = 2): Sample => ({
    id: String(id),
    hash: `h${id}`,
    feeds: [{ x: { dtype: 'float32', dims: [1, length], data: new Float32Array(length).fill(id) } }],
  });
  const collect = async (
    samples: Sample[],
    shape: ValueInfo['shape'],
    size: number,
  ): Promise<[string, number, readonly number[]][]> => {
    const out: [string, number, readonly number[]][] = [];
    for await (const b of batches(samples, { size, inputs: [{ name: 'x', dtype: 'float32', shape }] }))
      out.push([b.samples.map((s) => s.id).join(), b.realRows[0]!, b.feeds[0]!['x']!.dims]);
    return out;
  };
  it('stacks, obeys fixed batches and fills the last one', async () => {
    const three = [sample(1), sample(2), sample(3)];
    expect(await collect(three, ['n', 2], 2)).toEqual([
      ['1,2', 2, [2, 2]],
      ['3', 1, [1, 2]],
    ]);
    expect(await collect(three, [1, 2], 8)).toEqual([
      ['1', 1, [1, 2]],
      ['2', 1, [1, 2]],
      ['3', 1, [1, 2]],
    ]);
    expect(await collect(three, [2, 2], 8)).toEqual([
      ['1,2', 2, [2, 2]],
      ['3', 1, [2, 2]],
    ]);
  });
  it('keeps shapes apart and loses none', async () => {
    expect(await collect([sample(1), sample(2, 3), sample(3), sample(4, 3), sample(5)], ['n', 'l'], 2)).toEqual([
      ['1,3', 2, [2, 2]],
      ['2,4', 2, [2, 3]],
      ['5', 1, [1, 2]],
    ]);
    const many = Array.from({ length: 60 }, (_, i) => sample(i, 1 + (i % 30)));
    expect(
      (await collect(many, ['n', 'l'], 8))
        .flatMap(([names]) => names.split(','))
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual(many.map((s) => Number(s.id)));
  });
  it('reads the fixed batch from the inputs', () => {
    const input = (...shape: (number | string)[]): ValueInfo => ({ name: 'x', dtype: 'float32', shape });
    expect([
      fixedBatchOf([input('n', 3)]),
      fixedBatchOf([input(4, 3), input(4)]),
      fixedBatchOf([input('n', 3), input(2, 3)]),
      fixedBatchOf([input()]),
    ]).toEqual([undefined, 4, 1, 1]);
  });
});

describe('spec', () => {
  it('needs exactly one source and only keys that apply to it', () => {
    const issues = (spec: unknown): string[] =>
      dataSpec.safeParse(spec).error?.issues.map((i) => i.path.join('.')) ?? [];
    expect(issues({ images: 'a' })).toEqual([]);
    expect(issues({})).toEqual(['']);
    expect(issues({ images: 'a', npy: 'b' })).toEqual(['']);
    expect(issues({ images: 'a', tokenizer: 't' })).toEqual(['tokenizer']);
    expect(issues({ raw: 'a' })).toEqual(['shape', 'dtype']);
    expect(issues({ images: 'a', preprocess: { resize: { height: 3 } } })).toEqual(['preprocess.resize']);
    expect(issues({ images: 'a', preprocess: { std: [1, 0, 1] } })).toEqual(['preprocess.std']);
  });
  it('finds samples that two sets share', () => {
    expect(
      overlap(
        [
          { id: 'a', hash: '1' },
          { id: 'b', hash: '2' },
        ],
        [
          { id: 'c', hash: '2' },
          { id: 'd', hash: '3' },
        ],
      ),
    ).toEqual([{ a: 'b', b: 'c', hash: '2' }]);
  });
});
