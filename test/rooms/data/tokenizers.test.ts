/** Tokenizers of every kind, by hand, and files that are broken. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openTokenizer } from '../../../src/data/tokenize.js';
import { errorOf, put, temp } from './helpers.js';

const none = { version: '1.0', added_tokens: [], normalizer: null, post_processor: null, decoder: null };
const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const wordPiece = { type: 'WordPiece', unk_token: '?', continuing_subword_prefix: '##', max_input_chars_per_word: 9 };
const of = async (json: object, config?: object): ReturnType<typeof openTokenizer> => {
  const dir = await temp();
  if (config) await put(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
  return openTokenizer(await put(join(dir, 'tokenizer.json'), JSON.stringify({ ...none, ...json })), undefined);
};

describe('tokenizer.json', () => {
  it('BPE: merges in their order', async () => {
    const vocab = { l: 0, o: 1, w: 2, lo: 3, low: 4, '<unk>': 5 };
    const model = { type: 'BPE', unk_token: '<unk>', vocab, merges: ['l o', 'lo w'] };
    const t = await of({ pre_tokenizer: { type: 'Whitespace' }, model });
    expect(t.ids('low ol', true)).toEqual([4, 1, 0]);
    const listed = await of({ pre_tokenizer: { type: 'Whitespace' }, model: { ...model, merges: [['l', 'o']] } });
    expect(listed.ids('low', true)).toEqual([3, 2]);
  });
  it('byte-level BPE: every text has tokens, and comes back', async () => {
    const vocab = { h: 0, i: 1, Ġ: 2, hi: 3, Ġhi: 4, Ã: 5, '¤': 6 };
    const model = { type: 'BPE', vocab, merges: ['h i', 'Ġ hi'] };
    const t = await of({ pre_tokenizer: bytes, decoder: bytes, model });
    expect(t.ids('hi hiä', true)).toEqual([3, 4, 5, 6]);
    expect(t.decode([3, 4, 5, 6])).toBe('hi hiä');
  });
  it('Unigram: the likeliest parts', async () => {
    const vocab = [
      ['<unk>', 0],
      ['▁a', -1],
      ['b', -2],
      ['▁ab', -2.5],
      ['c', -3],
    ];
    const model = { type: 'Unigram', unk_id: 0, vocab };
    const t = await of({ pre_tokenizer: metaspace, decoder: metaspace, model });
    expect(t.ids('ab ac', true)).toEqual([3, 1, 4]); // −2.5 beats −1 − 2
    expect(t.decode([3, 1, 4])).toBe('ab ac');
  });
  it('WordPiece: the longest parts first', async () => {
    const vocab = { '?': 0, un: 1, '##aff': 2, '##able': 3, a: 4 };
    const t = await of({ pre_tokenizer: { type: 'BertPreTokenizer' }, model: { ...wordPiece, vocab } });
    expect(t.ids('unaffable a x', true)).toEqual([1, 2, 3, 4, 0]);
  });
  it('says which token ends a text and which one a decoder starts with', async () => {
    const vocab = { '?': 0, a: 1, '</s>': 2, '<s>': 3, '<pad>': 4 };
    const json = { pre_tokenizer: { type: 'BertPreTokenizer' }, model: { ...wordPiece, vocab } };
    const named = await of(json, { eos_token: { content: '</s>' }, bos_token: '<s>', pad_token: '<pad>' });
    expect([named.endId, named.startId, named.padId]).toEqual([2, 3, 4]);
    const plain = await of(json);
    expect([plain.endId, plain.startId, plain.padId]).toEqual([2, 0, 0]); // </s> is so called everywhere
  });
  it.each([
    ['no JSON', '{"model": ', 'is not JSON'],
    ['no model', '{}', 'is not a tokenizer'],
    ['a kind that nobody knows', '{"model": {"type": "Nothing", "vocab": {}}}', 'is not a tokenizer'],
  ])('%s is told', async (_what, text, words) => {
    const dir = await temp();
    await put(join(dir, 'tokenizer.json'), text);
    const error = await errorOf(() => openTokenizer(join(dir, 'tokenizer.json'), undefined));
    expect([error.code, error.message.includes(words)]).toEqual(['DATA_FORMAT', true]);
    expect(error.where.file).toBe(join(dir, 'tokenizer.json'));
  });
});

const TINYLM = resolve(import.meta.dirname, '../../../../shared/data/tinylm/tokenizer.json');
describe.skipIf(!existsSync(TINYLM))('a trained tokenizer (skipped: ../shared is absent)', () => {
  it('gives back what it was given', async () => {
    const t = await openTokenizer(TINYLM, undefined);
    const text = 'And he commanded them to be baptized in the name of the Lord. Ünï → 12!';
    const ids = t.ids(text, true);
    expect([t.decode(ids), t.endId]).toEqual([text, 0]);
    expect(ids.every((id) => id < 4096)).toBe(true);
  });
});
