/** Data files of every format that is read, as small as they can be, and damaged. */
import { zipSync } from 'fflate';
import sharp from 'sharp';
import type { Rng } from '../../src/base/rng.js';
import { dataSpec, type DataSpec } from '../../src/data/spec.js';
import type { ValueInfo } from '../../src/ir/feed.js';
import { f32, npy, tar } from '../rooms/data/helpers.js';
import { EDGES, mutateBytes, mutateText, pick } from './bytes.js';

/** Files of one data set by name, and the spec and inputs to read them with. */
export interface DataCase {
  readonly files: Readonly<Record<string, Uint8Array>>;
  readonly spec: DataSpec;
  readonly inputs: readonly ValueInfo[];
}
export const DATA_KINDS = [
  'npy',
  'npz',
  'webdataset',
  'tsv',
  'csv',
  'jsonl',
  'tokenizer',
  'image',
  'coco',
  'raw',
] as const;
export type DataKind = (typeof DATA_KINDS)[number];

const ascii = (s: string): Uint8Array => new TextEncoder().encode(s);
const image: readonly ValueInfo[] = [{ name: 'x', dtype: 'float32', shape: [null, 3, 8, 8] }];
const rows: readonly ValueInfo[] = [{ name: 'x', dtype: 'float32', shape: [null, 3] }];
const tokens: readonly ValueInfo[] = ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => ({
  name,
  dtype: 'int64' as const,
  shape: [null, null],
}));

const TOKENIZER = {
  version: '1.0',
  truncation: { max_length: 8, strategy: 'LongestFirst' },
  padding: { pad_id: 0, pad_token: '[PAD]' },
  added_tokens: [
    { id: 0, content: '[PAD]', special: true },
    { id: 1, content: '[CLS]', special: true, lstrip: false, rstrip: false, normalized: false, single_word: false },
    { id: 2, content: '[SEP]', special: true },
  ],
  normalizer: {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'BertPreTokenizer' },
      { type: 'Split', pattern: { Regex: '\\s+' }, behavior: 'Removed', invert: false },
    ],
  },
  post_processor: {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '[CLS]', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '[SEP]', type_id: 0 } },
    ],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: {
      '[CLS]': { id: '[CLS]', ids: [1], tokens: ['[CLS]'] },
      '[SEP]': { id: '[SEP]', ids: [2], tokens: ['[SEP]'] },
    },
  },
  decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab: { '[PAD]': 0, '[CLS]': 1, '[SEP]': 2, '[UNK]': 3, good: 4, bad: 5, '##ly': 6 },
  },
};
const BPE = {
  ...TOKENIZER,
  normalizer: { type: 'NFC' },
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true },
  post_processor: { type: 'ByteLevel' },
  model: { type: 'BPE', unk_token: '[UNK]', vocab: { '[PAD]': 0, g: 4, o: 5, go: 6, '[UNK]': 3 }, merges: ['g o'] },
};
const UNIGRAM = {
  ...TOKENIZER,
  normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' },
  pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
  post_processor: null,
  model: {
    type: 'Unigram',
    unk_id: 0,
    vocab: [
      ['<unk>', 0],
      ['▁', -1],
      ['g', -2],
    ],
  },
};

/** A damaged data set of a kind. */
export async function dataCase(kind: DataKind, rng: Rng): Promise<DataCase> {
  const bytes = (good: Uint8Array): Uint8Array => (rng.int(8) ? mutateBytes(good, rng) : good);
  const table = (good: string): Uint8Array =>
    ascii(mutateText(good, rng, ['\t', ',', '"', '""', '\u0000', '\ufeff', '1e999', 'NaN', '[', '{']));
  switch (kind) {
    case 'npy':
      return {
        files: { 'x.npy': bytes(header(npy('<f4', [4, 3], f32(...Array.from({ length: 12 }, (_, i) => i))), rng)) },
        spec: dataSpec.parse({ npy: 'x.npy' }),
        inputs: rows,
      };
    case 'npz':
      return {
        files: {
          'x.npz': bytes(
            zipSync({
              'x.npy': bytes(header(npy('<f4', [4, 3], f32(...Array.from({ length: 12 }, (_, i) => i))), rng)),
              'y.npy': npy('<f4', [4], f32(1, 2, 3, 4)),
            }),
          ),
        },
        spec: dataSpec.parse({ npz: 'x.npz', labels: 'y' }),
        inputs: rows,
      };
    case 'webdataset':
      return {
        files: { 'x.tar': archive(await png(), rng) },
        spec: dataSpec.parse({ webdataset: 'x.tar' }),
        inputs: image,
      };
    case 'tsv':
      return {
        files: { 't.tsv': table('text\tlabel\ngood\t1\nbad\t0\n'), 'tokenizer.json': json(TOKENIZER) },
        spec: dataSpec.parse({ text: 't.tsv', tokenizer: 'tokenizer.json', fields: ['text'], label: 'label' }),
        inputs: tokens,
      };
    case 'csv':
      return {
        files: { 't.csv': table('text,label\n"good, ""bad""",1\nbad,0\n'), 'tokenizer.json': json(TOKENIZER) },
        spec: dataSpec.parse({ text: 't.csv', tokenizer: 'tokenizer.json', fields: ['text'], label: 'label' }),
        inputs: tokens,
      };
    case 'jsonl':
      return {
        files: {
          't.jsonl': table('{"a":"good","b":"bad","s":1}\n{"a":"bad","b":"goodly","s":"0"}\n'),
          'tokenizer.json': json(TOKENIZER),
        },
        spec: dataSpec.parse({
          text: 't.jsonl',
          tokenizer: 'tokenizer.json',
          fields: ['a', 'b'],
          label: 's',
          joint: true,
        }),
        inputs: tokens,
      };
    case 'tokenizer':
      return {
        files: {
          't.tsv': ascii(`text\nGoodly bad\n${'good '.repeat(rng.int(30))}\n`),
          'tokenizer.json': json(mutateJson(pick(rng, [TOKENIZER, BPE, UNIGRAM]), rng)),
          ...(rng.int(3)
            ? {}
            : {
                'tokenizer_config.json': json(
                  mutateJson({ pad_token: '[PAD]', model_max_length: 8, tokenizer_class: 'BertTokenizer' }, rng),
                ),
              }),
        },
        spec: dataSpec.parse({ text: 't.tsv', tokenizer: 'tokenizer.json', fields: ['text'] }),
        inputs: tokens,
      };
    case 'image':
      return {
        files: { 'i/a/1.png': bytes(await png()), 'i/a/2.jpg': bytes(await jpeg()), 'i/b/3.gif': bytes(await gif()) },
        spec: dataSpec.parse({ images: 'i', preprocess: { resize: { height: 8, width: 8 } }, onBadSample: 'skip' }),
        inputs: image,
      };
    case 'coco':
      return {
        files: {
          'i/1.png': await png(),
          'c.json': rng.int(2) ? json(mutateJson(COCO, rng)) : table(JSON.stringify(COCO)),
        },
        spec: dataSpec.parse({ images: 'i', annotations: 'c.json', preprocess: { resize: { height: 8, width: 8 } } }),
        inputs: image,
      };
    case 'raw':
      return {
        files: { 'x.bin': bytes(new Uint8Array(48)) },
        spec: dataSpec.parse({ raw: 'x.bin', shape: [3], dtype: 'float32', batched: true }),
        inputs: rows,
      };
    default:
      return kind satisfies never;
  }
}
const COCO = {
  images: [{ id: 1, file_name: '1.png', width: 8, height: 8 }],
  annotations: [{ id: 1, image_id: 1, category_id: 1, bbox: [1, 1, 3, 3], area: 9, iscrowd: 0 }],
  categories: [{ id: 1, name: 'cat' }],
};

const drawn = () => sharp({ create: { width: 8, height: 8, channels: 3, background: { r: 9, g: 120, b: 200 } } });
const png = (): Promise<Uint8Array> => drawn().png().toBuffer();
const jpeg = (): Promise<Uint8Array> => drawn().jpeg().toBuffer();
const gif = (): Promise<Uint8Array> => drawn().gif().toBuffer();
const json = (value: unknown): Uint8Array => ascii(JSON.stringify(value) ?? 'null');

/** The text of an npy header with another number in it. */
function header(file: Uint8Array, rng: Rng): Uint8Array {
  if (rng.int(2)) return file;
  const text = new TextDecoder('latin1').decode(file);
  return Uint8Array.from(
    text.replace(/\((\d+), (\d+)\)/, () => `(${pick(rng, EDGES)}, ${pick(rng, EDGES)})`),
    (c) => c.charCodeAt(0),
  );
}

/** An archive of samples with pax records and sizes at edges, checksums right. */
function archive(picture: Uint8Array, rng: Rng): Uint8Array {
  const pax = (key: string, value: string): string => {
    const body = ` ${key}=${value}\n`;
    return `${body.length + String(body.length + 2).length}${body}`;
  };
  const edge = (): string => String(pick(rng, [...EDGES, 0.5, -512, -1536, -1024, 1536]));
  const extra = rng.int(2)
    ? [
        {
          name: 'pax',
          data: ascii(pax(pick(rng, ['size', 'path', 'mtime']), edge())),
          type: pick(rng, ['x', 'g', 'L']),
        },
      ]
    : [];
  const made = tar([
    { name: 'a.png', data: picture },
    ...extra,
    { name: pick(rng, ['b', '../b', 'b/', '']), data: new Uint8Array(0), type: pick(rng, ['0', '5', '1', '7']) },
    { name: 'a.cls', data: ascii('1') },
  ]);
  return rng.int(2) ? made : mutateBytes(made, rng);
}

/** A value somewhere in a JSON document replaced by one of another kind. */
export function mutateJson(value: unknown, rng: Rng): unknown {
  const root: unknown = structuredClone(value);
  const odd: readonly unknown[] = [
    null,
    true,
    -1,
    0.5,
    1e308,
    '',
    'x',
    '(a+)+$',
    [],
    {},
    [[]],
    { type: 'Sequence' },
    { id: {} },
    2 ** 53,
    'Infinity',
    { Regex: '(' },
    { String: '' },
  ];
  for (let k = rng.int(3) + 1; k > 0; k--) {
    const slots: { holder: Record<string, unknown>; key: string }[] = [];
    const see = (v: unknown): void => {
      if (typeof v !== 'object' || v === null) return;
      for (const key of Object.keys(v)) {
        slots.push({ holder: v as Record<string, unknown>, key });
        see((v as Record<string, unknown>)[key]);
      } // any object can be indexed
    };
    see(root);
    if (!slots.length) return root;
    const { holder, key } = pick(rng, slots);
    if (rng.int(4)) holder[key] = structuredClone(pick(rng, [...odd, holder[pick(rng, Object.keys(holder))]]));
    else delete holder[key];
  }
  return root;
}
