/** Text for language models: what is fed beside token ids, and texts, chats, choices and ids as samples. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { batches, type Batch } from '../../../src/data/batch.js';
import { guessDataSpec } from '../../../src/data/init.js';
import { filledInputs, isDecoder, rolesOf } from '../../../src/data/language/roles.js';
import { windowsOf } from '../../../src/data/language/windows.js';
import { openDataset, type Dataset } from '../../../src/data/dataset.js';
import { dataSpec, type DataSpecInput } from '../../../src/data/spec.js';
import type { FeedTensor, Sample, ValueInfo } from '../../../src/ir/feed.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { all, errorOf, npy, open, put, temp } from './helpers.js';

const int = (name: string, ...shape: (string | number)[]): ValueInfo => ({ name, dtype: 'int64', shape });
const float = (name: string, ...shape: (string | number)[]): ValueInfo => ({ name, dtype: 'float32', shape });
const decoder: ValueInfo[] = [
  { ...int('input_ids', 'batch', 'sequence'), below: 30 },
  int('attention_mask', 'batch', 'total_sequence'),
  int('position_ids', 'batch', 'sequence'),
  float('past_key_values.0.key', 'batch', 2, 'past_sequence', 4),
  float('past_key_values.0.value', 'batch', 2, 'past_sequence', 4),
];
const merged: ValueInfo[] = [
  int('encoder_attention_mask', 'batch', 'encoder_sequence'),
  { ...int('input_ids', 'batch', 'decoder_sequence'), below: 30 },
  float('encoder_hidden_states', 'batch', 'encoder_sequence', 6),
  float('past_key_values.0.decoder.key', 'batch', 2, 'past_decoder_sequence', 4),
  float('past_key_values.0.encoder.key', 'batch', 2, 'encoder_sequence_out', 4),
  { name: 'use_cache_branch', dtype: 'bool', shape: [1] },
];
const shapes = (feed: Readonly<Record<string, FeedTensor>>): object =>
  Object.fromEntries(Object.entries(feed).map(([name, t]) => [name, t.dims]));
const values = (s: Sample, name: string, feed = 0): number[] => Array.from(s.feeds[feed]![name]!.data, Number);

/** Bytes as letters, words by spaces: a tokenizer of whole words. */
const words = ['<s>', '</s>', '<pad>', '<unk>', 'a', 'b', 'c', 'd', 'user', 'bot', 'yes', 'no'];
const WORDS = (post = false): string =>
  JSON.stringify({
    version: '1.0',
    added_tokens: words.slice(0, 4).map((content, id) => ({ id, content, special: true })),
    normalizer: null,
    pre_tokenizer: { type: 'WhitespaceSplit' },
    post_processor: post
      ? {
          type: 'TemplateProcessing',
          single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
          pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
          special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
        }
      : null,
    decoder: null,
    model: { type: 'WordLevel', unk_token: '<unk>', vocab: Object.fromEntries(words.map((w, i) => [w, i])) },
  });
const setup = async (files: Readonly<Record<string, string | Uint8Array>>, post = false): Promise<string> => {
  const dir = await temp();
  await put(join(dir, 'tokenizer.json'), WORDS(post));
  for (const [name, text] of Object.entries(files)) await put(join(dir, name), text);
  return dir;
};
const read = async (spec: DataSpecInput, dir: string, inputs = decoder): Promise<Sample[]> =>
  all(await open({ order: 'listed', ...spec }, inputs, dir));
const text = (name: string): DataSpecInput => ({ text: name, tokenizer: 'tokenizer.json' });

describe('inputs of language models', () => {
  it('are known by name and rank, and nothing is where no tokens are taken', () => {
    expect([...rolesOf(merged).values()]).toEqual([
      'encoder-mask',
      'tokens',
      'encoder-states',
      'past',
      'past-crossed',
      'branch',
    ]);
    expect(rolesOf([float('x', 1, 3, 8, 8), int('attention_mask', 'b', 's')]).size).toBe(0);
    expect([...rolesOf([int('input_ids', 'b', 's'), float('past_key_self_0', 'b', 2, 'p', 4)])]).toHaveLength(2);
    expect(rolesOf([int('input_ids', 'b', 's'), float('past_0', 2, 'b', 2, 'p', 4)]).get('past_0')).toBe('past');
    expect(filledInputs(decoder)).toEqual([
      'input_ids: token ids',
      'attention_mask: ones, 0 for padding',
      'position_ids: 0, 1, 2 …',
      'past_key_values.0.key: empty',
      'past_key_values.0.value: empty',
    ]);
    expect(isDecoder(decoder, [])).toBe(true);
    expect(isDecoder(decoder.slice(0, 2), [float('last_hidden_state', 'b', 's', 8)])).toBe(false);
  });
  it('have random feeds that fit together: an empty past, or with an odd seed one that is not', () => {
    expect(shapes(randomFeed(decoder, 0, 16))).toEqual({
      input_ids: [1, 16],
      attention_mask: [1, 16],
      position_ids: [1, 16],
      'past_key_values.0.key': [1, 2, 0, 4],
      'past_key_values.0.value': [1, 2, 0, 4],
    });
    const past = randomFeed(decoder, 1, 10);
    expect(shapes(past)).toMatchObject({
      input_ids: [1, 10],
      attention_mask: [1, 20],
      'past_key_values.0.key': [1, 2, 10, 4],
    });
    expect(Array.from(past.attention_mask!.data, Number)).toEqual(Array(20).fill(1));
    expect(Array.from(past.position_ids!.data, Number)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    const ids = Array.from(past.input_ids!.data, Number);
    expect(ids.every((id) => id >= 0 && id < 30)).toBe(true);
    expect(new Set(ids).size).toBeGreaterThan(2);
    const [first, cached] = [randomFeed(merged, 0, 3), randomFeed(merged, 1, 3)];
    expect(shapes(first)).toMatchObject({
      encoder_attention_mask: [1, 8],
      encoder_hidden_states: [1, 8, 6],
      'past_key_values.0.decoder.key': [1, 2, 0, 4],
      'past_key_values.0.encoder.key': [1, 2, 0, 4],
    });
    expect([first, cached].map((f) => f.use_cache_branch!.data[0])).toEqual([0, 1]);
    expect(shapes(cached)).toMatchObject({
      'past_key_values.0.decoder.key': [1, 2, 3, 4],
      'past_key_values.0.encoder.key': [1, 2, 8, 4],
    });
  });
  it('of a cache of fixed size: its places are masked until something is in them', () => {
    const fixed = [int('input_ids', 1, 4), int('attention_mask', 1, 12), float('past_key_values.0.key', 1, 2, 8, 4)];
    const feed = randomFeed(fixed, 0);
    expect(shapes(feed)).toEqual({ input_ids: [1, 4], attention_mask: [1, 12], 'past_key_values.0.key': [1, 2, 8, 4] });
  });
});

describe('text for a decoder', () => {
  it('plain text: paragraphs, lines or the file, with masks, positions and an empty past', async () => {
    const dir = await setup({ 't.txt': 'a b\nc\n\n\n  d a b \n' });
    const [one, two] = await read(text('t.txt'), dir);
    expect([one!.id, two!.id]).toEqual(['t.txt:1', 't.txt:5']);
    expect(values(one!, 'input_ids')).toEqual([4, 5, 6]);
    expect(values(one!, 'attention_mask')).toEqual([1, 1, 1]);
    expect(values(one!, 'position_ids')).toEqual([0, 1, 2]);
    expect(one!.feeds[0]!['past_key_values.0.key']!.dims).toEqual([1, 2, 0, 4]);
    expect((await read({ ...text('t.txt'), unit: 'lines' }, dir)).map((s) => values(s, 'input_ids'))).toEqual([
      [4, 5],
      [6],
      [7, 4, 5],
    ]);
    expect(await read({ ...text('t.txt'), unit: 'file' }, dir)).toHaveLength(1);
  });
  it('JSON lines take the key text unless fields name another', async () => {
    const dir = await setup({ 't.jsonl': '{"id":"1","text":"a b","other":"c"}\n' });
    expect(values((await read(text('t.jsonl'), dir))[0]!, 'input_ids')).toEqual([4, 5]);
    expect(values((await read({ ...text('t.jsonl'), fields: ['other'] }, dir))[0]!, 'input_ids')).toEqual([6]);
    await put(join(dir, 'n.jsonl'), '{"number":1}\n');
    expect(await errorOf(() => read(text('n.jsonl'), dir))).toMatchObject({ code: 'DATA_FORMAT', where: { line: 1 } });
  });
  it('texts of one length are stacked with their pasts, and padding is masked', async () => {
    const dir = await setup({ 't.txt': 'a b\n\nc d\n\na' });
    const found: Batch[] = [];
    const dataset = await open({ ...text('t.txt'), order: 'listed', padTo: 'longest' }, decoder, dir);
    for await (const b of batches(dataset.samples(), { size: 3, inputs: decoder, padding: dataset.padding }))
      found.push(b);
    expect(shapes(found[0]!.feeds[0]!)).toMatchObject({ input_ids: [3, 2], 'past_key_values.0.key': [3, 2, 0, 4] });
    expect(Array.from(found[0]!.feeds[0]!.attention_mask!.data, Number)).toEqual([1, 1, 1, 1, 1, 0]);
  });
  it('inputs that all samples share stay one', async () => {
    const shared = [...decoder.slice(0, 2), int('cache_position', 'sequence'), int('num_logits_to_keep')];
    const dir = await setup({ 't.txt': 'a b\n\nc d' });
    const dataset = await open({ ...text('t.txt'), order: 'listed' }, shared, dir);
    for await (const b of batches(dataset.samples(), { size: 2, inputs: shared })) {
      expect(shapes(b.feeds[0]!)).toEqual({
        input_ids: [2, 2],
        attention_mask: [2, 2],
        cache_position: [2],
        num_logits_to_keep: [],
      });
    }
  });
  it('inputs by hand override what is filled in, and stand for what is not known', async () => {
    const dir = await setup({ 't.txt': 'a b' });
    const odd = [...decoder, float('temperature'), float('bias', 'batch', 'width')];
    const inputs = { temperature: 0.5, bias: { shape: [1, 3], fill: 2 }, position_ids: 7 };
    const [one] = await read({ ...text('t.txt'), inputs }, dir, odd);
    expect([values(one!, 'temperature'), values(one!, 'bias'), values(one!, 'position_ids')]).toEqual([
      [0.5],
      [2, 2, 2],
      [7, 7],
    ]);
    expect(await errorOf(() => read(text('t.txt'), dir, odd))).toMatchObject({
      code: 'DATA_SHAPE',
      where: { tensor: 'temperature' },
      hint: expect.stringContaining('inputs: { temperature: 0 }') as unknown,
    });
    expect(await errorOf(() => read({ ...text('t.txt'), inputs: { tempeature: 1 } }, dir, odd))).toMatchObject({
      code: 'DATA_SHAPE',
      message: expect.stringContaining("Did you mean 'temperature'?") as unknown,
    });
    expect(
      await errorOf(() => read({ ...text('t.txt'), inputs: { temperature: 1, bias: 1 } }, dir, odd)),
    ).toMatchObject({ code: 'DATA_SHAPE', where: { tensor: 'bias' } });
  });
  it('a tokenizer of another model is told by its ids', async () => {
    const dir = await setup({ 't.txt': 'a no' });
    const small = [{ ...int('input_ids', 'b', 's'), below: 10 }];
    expect(await errorOf(() => read(text('t.txt'), dir, small))).toMatchObject({
      code: 'DATA_SHAPE',
      message: expect.stringContaining('token 11') as unknown,
      hint: 'the tokenizer is that of another model',
    });
  });
});

describe('windows', () => {
  it('join texts with the token that ends one, and leave out what fills no window', async () => {
    const dir = await setup({
      't.txt': 'a b\n\nc d\n\na',
      'tokenizer_config.json': '{"eos_token":{"content":"</s>"}}',
    });
    const packed = await read({ ...text('t.txt'), pack: 3 }, dir);
    expect(packed.map((s) => values(s, 'input_ids'))).toEqual([
      [4, 5, 1],
      [6, 7, 1],
    ]);
    expect(packed.map((s) => s.id)).toEqual(['t.txt:1#0', 't.txt:3#1']);
    expect(packed.every((s) => s.target === undefined)).toBe(true);
  });
  it('that overlap count each token once: labels of the context are −100', async () => {
    const dir = await setup({ 't.txt': 'a b c d a' });
    const packed = await read({ ...text('t.txt'), pack: { length: 4, stride: 2, join: false } }, dir);
    expect(packed.map((s) => values(s, 'input_ids'))).toEqual([
      [4, 5, 6, 7],
      [6, 7, 4],
    ]);
    const labels = packed[1]!.target!.tensors!.labels!;
    expect([labels.dims, Array.from(labels.data, Number)]).toEqual([[3], [-100, -100, 4]]);
  });
  it('count every token of a long text once, whatever the stride', () => {
    const ids = Array.from({ length: 23 }, (_, i) => i);
    for (const stride of [1, 2, 3, 5]) {
      const windows = windowsOf([ids], { length: 5, stride, join: false }, undefined);
      const counted = windows.flatMap((w) => Array.from(w.ids).slice(w.context));
      expect(counted).toEqual(ids);
    }
  });
  it('of too little text are refused, and so are windows of labelled data', async () => {
    const dir = await setup({ 't.txt': 'a b' });
    expect((await errorOf(() => read({ ...text('t.txt'), pack: 9 }, dir))).code).toBe('DATA_MISSING');
    expect(dataSpec.safeParse({ ...text('t.jsonl'), pack: 9, label: 'y' }).success).toBe(false);
    expect(dataSpec.safeParse({ ...text('t.jsonl'), pack: { length: 4, stride: 5 } }).success).toBe(false);
  });
});

describe('chats', () => {
  const chat = '{"messages":[{"role":"user","content":"a"},{"role":"bot","content":"b c"}]}\n';
  const TEMPLATE = "{{ bos_token }}{% for m in messages %} {{ m['role'] }} {{ m.content }} {{ eos_token }}{% endfor %}";
  const config = JSON.stringify({ bos_token: '<s>', eos_token: '</s>', chat_template: TEMPLATE });
  it('are written by the template of the tokenizer, whose special tokens are not added twice', async () => {
    const dir = await setup({ 'c.jsonl': chat, 'tokenizer_config.json': config }, true);
    const [one] = await read(text('c.jsonl'), dir);
    expect(values(one!, 'input_ids')).toEqual([0, 8, 4, 1, 9, 5, 6, 1]);
    expect(values((await read({ ...text('c.jsonl'), special: true }, dir))[0]!, 'input_ids').slice(0, 2)).toEqual([
      0, 0,
    ]);
  });
  it('by a declared template, or one beside the tokenizer', async () => {
    const dir = await setup({ 'c.jsonl': chat, 'own.jinja': '{% for m in messages %}{{ m.content }} {% endfor %}' });
    expect(values((await read({ ...text('c.jsonl'), chatTemplate: 'own.jinja' }, dir))[0]!, 'input_ids')).toEqual([
      4, 5, 6,
    ]);
    expect(await errorOf(() => read(text('c.jsonl'), dir))).toMatchObject({
      code: 'DATA_MISSING',
      hint: expect.stringContaining('chatTemplate') as unknown,
    });
    await put(join(dir, 'chat_template.jinja'), 'c {% if messages | length == 2 %}d{% endif %}');
    expect(values((await read(text('c.jsonl'), dir))[0]!, 'input_ids')).toEqual([6, 7]);
  });
  it.each([
    ['is no template', '{% for m in %}', 'is no Jinja template'],
    ['refuses the roles', "{{ raise_exception('roles must alternate') }}", 'roles must alternate'],
    ['never ends', '{% for i in range(500) %}{% for j in range(500) %}x{% endfor %}{% endfor %}', 'steps'],
    ['makes long lists', '{{ range(100000000) | length }}', 'numbers'],
  ])('a template that %s is told', async (_what, template, words) => {
    const dir = await setup({ 'c.jsonl': chat, 'x.jinja': template });
    const error = await errorOf(() => read({ ...text('c.jsonl'), chatTemplate: 'x.jinja' }, dir));
    expect([error.code, error.message.includes(words)]).toEqual(['DATA_FORMAT', true]);
  });
});

describe('choices', () => {
  const line = (answer: unknown): string => JSON.stringify({ prompt: 'a b', choices: ['yes', 'no no'], answer });
  it('give a feed each, say where they begin, and which is right', async () => {
    const dir = await setup({ 'q.jsonl': `${line(1)}\n${line('A')}\n${line('no no')}\n` });
    const found = await read({ ...text('q.jsonl'), choices: {} }, dir);
    expect(found.map((s) => s.label)).toEqual([1, 0, 1]);
    expect([values(found[0]!, 'input_ids'), values(found[0]!, 'input_ids', 1)]).toEqual([
      [4, 5, 10],
      [4, 5, 11, 11],
    ]);
    expect(found[0]!.target).toEqual({ starts: [2, 2] });
  });
  it.each([5, -1, 'Z', null])('an answer that is none of them: %s', async (answer) => {
    const dir = await setup({ 'q.jsonl': `${line(answer)}\n` });
    expect(await errorOf(() => read({ ...text('q.jsonl'), choices: {} }, dir))).toMatchObject({ code: 'DATA_LABEL' });
  });
});

describe('token ids', () => {
  it('of JSON lines and of .npy files', async () => {
    const dir = await setup({
      'a.jsonl': '[4,5,6]\n[7]\n',
      'b.jsonl': '{"input_ids":[4,5]}\n',
      'c.npy': npy('<i4', [2, 2], new Uint8Array(Int32Array.from([4, 5, 6, 7]).buffer)),
      'd.npy': npy('<i8', [5], new Uint8Array(BigInt64Array.from([4n, 5n, 6n, 7n, 4n]).buffer)),
    });
    const ids = async (spec: DataSpecInput): Promise<number[][]> =>
      (await read(spec, dir)).map((s) => values(s, 'input_ids'));
    expect(await ids({ tokens: 'a.jsonl', maxLength: 2 })).toEqual([[4, 5], [7]]);
    expect(await ids({ tokens: 'b.jsonl' })).toEqual([[4, 5]]);
    expect(await ids({ tokens: 'c.npy' })).toEqual([
      [4, 5],
      [6, 7],
    ]);
    expect(await ids({ tokens: 'd.npy', pack: 2 })).toEqual([
      [4, 5],
      [6, 7],
    ]);
  });
  it.each([
    ['x.jsonl', '["a"]\n'],
    ['y.jsonl', '{"ids":[1]}\n'],
    ['z.npy', npy('<f4', [2], new Uint8Array(8))],
    ['w.npy', npy('<i4', [1], new Uint8Array(Int32Array.from([-1]).buffer))],
  ])('%s holds none', async (name, bytes) => {
    const dir = await setup({ [name]: bytes });
    expect(await errorOf(() => read({ tokens: name }, dir))).toMatchObject({ code: 'DATA_FORMAT' });
  });
});

describe('an encoder', () => {
  it('reads the first field, and the decoder gets what it gives and the text of the second', async () => {
    const dir = await setup({ 'p.jsonl': '{"from":"a b","to":"c d"}\n' });
    await put(join(dir, 'config.json'), '{"decoder_start_token_id":2}');
    const seen: number[][] = [];
    const spec: DataSpecInput = { ...text('p.jsonl'), fields: ['from', 'to'], encoder: 'encoder.onnx' };
    const dataset: Dataset = await openDataset(dataSpec.parse(spec), merged, {
      baseDir: dir,
      seed: 1,
      openModel: () =>
        Promise.resolve({
          inputs: decoder.slice(0, 2),
          outputs: [float('last_hidden_state', 'b', 's', 6)],
          run: (feed) => {
            seen.push(Array.from(feed.input_ids!.data, Number));
            return Promise.resolve({
              last_hidden_state: { dtype: 'float32', dims: [1, 2, 6], data: new Float32Array(12).fill(3) },
            });
          },
        }),
    });
    const [one] = await all(dataset);
    expect(seen).toEqual([[4, 5]]);
    expect(values(one!, 'input_ids')).toEqual([2, 6, 7]);
    expect(values(one!, 'encoder_hidden_states')).toEqual(Array(12).fill(3));
    expect(values(one!, 'encoder_attention_mask')).toEqual([1, 1]);
    expect(one!.target).toEqual({ text: 'c d', prompt: 1 });
    expect(dataset.vocabulary?.decode([6, 7])).toBe('c d');
  });
});

it('data are guessed from names and keys, with the tokenizer of the model', async () => {
  const dir = await setup({ 'c.jsonl': '{"messages":[{"role":"user","content":"a"}]}\n', 'i.jsonl': '[1,2]\n' });
  const other = await temp();
  await put(join(other, 't.txt'), 'a');
  await put(join(other, 't.jsonl'), '{"id":"x","source":"y","text":"a"}\n');
  await put(join(other, 'q.jsonl'), '{"prompt":"a","choices":["b","c"],"answer":0}\n');
  const tokenizer = join(dir, 'tokenizer.json');
  expect(await guessDataSpec(join(dir, 'c.jsonl'))).toEqual({
    text: join(dir, 'c.jsonl'),
    tokenizer,
    fields: ['messages'],
  });
  expect(await guessDataSpec(join(dir, 'i.jsonl'))).toEqual({ tokens: join(dir, 'i.jsonl') });
  expect(await guessDataSpec(join(other, 't.txt'), [dir])).toEqual({ text: join(other, 't.txt'), tokenizer });
  expect(await guessDataSpec(join(other, 't.jsonl'), [dir])).toMatchObject({ tokenizer, fields: ['text'] });
  expect(await guessDataSpec(join(other, 'q.jsonl'), [dir])).toMatchObject({ choices: { answer: 'answer' } });
  expect(await errorOf(() => guessDataSpec(join(other, 't.txt')))).toMatchObject({ code: 'DATA_FORMAT' });
});
