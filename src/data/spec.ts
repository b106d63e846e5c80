/** The `data:` block of a recipe. Docs and the JSON Schema are generated from the descriptions. */
import { z } from 'zod';
import { languageFields } from './language/spec.js';
import { preprocessSpec } from './preprocess-spec.js';

const size = z.number().int().positive();
const path = z.string().min(1);
export const ARRAY_DTYPES = [
  'float32',
  'float64',
  'float16',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'uint64',
  'int64',
  'bool',
] as const;

const fields = {
  images: path
    .describe(
      'Folder of images, or a .tar or .zip archive of one: one subfolder per class (sorted names unless classes ' +
        'is given), or a flat folder without labels. A single folder that holds all of an archive is no class.',
    )
    .optional(),
  imageList: path.describe('CSV or TSV file that lists image paths, relative to the file, and labels.').optional(),
  npy: z
    .union([path, z.record(z.string(), path)])
    .describe('NumPy .npy file, a folder of them, or one file per model input: { input: file }.')
    .optional(),
  npz: path.describe('NumPy .npz file or a folder of them; keys are the names of the model inputs.').optional(),
  raw: path
    .describe('File or folder of files of little-endian numbers without a header; needs shape and dtype.')
    .optional(),
  testData: path.describe('ONNX backend-test folder with test_data_set_*/input_*.pb, or one such data set.').optional(),
  webdataset: z
    .union([path, z.array(path).min(1)])
    .describe(
      'WebDataset shard (.tar), a folder of shards, a pattern such as train-{0000..0003}.tar or *.tar, or a ' +
        'list of these.',
    )
    .optional(),
  text: path
    .describe(
      'Texts: a table (.tsv, .csv) with fields, JSON lines (.jsonl) of objects with text or chat messages, or plain ' +
        'text (.txt); needs tokenizer. What a language model takes besides token ids is filled in.',
    )
    .optional(),
  tokens: path
    .describe(
      'Token ids: JSON lines of arrays, or of objects with input_ids; or a .npy file of [samples, tokens] or [tokens].',
    )
    .optional(),
  synthetic: z
    .enum(['leaves', 'fractal', 'both'])
    .describe(
      'Images that are made up, where no data may be read: leaves are discs and rectangles of random colours ' +
        'that cover each other, fractal is noise with the 1/f spectrum of photographs, both takes them in turn. ' +
        'preprocess applies as to images.',
    )
    .optional(),
  module: path
    .describe(
      'JavaScript module that exports samples(options, inputs), an (async) iterable of { feed | feeds, label?, ' +
        'target?, id? }; target holds boxes with size, text or tensors. It runs with your rights: name only ' +
        'modules you trust.',
    )
    .optional(),
};
/** The keys of a data spec that name its source; exactly one is given. */
export const SOURCE_KINDS = [
  'images',
  'imageList',
  'npy',
  'npz',
  'raw',
  'testData',
  'webdataset',
  'text',
  'tokens',
  'synthetic',
  'module',
] as const satisfies readonly (keyof typeof fields)[];
/** Those whose value names files. */
export const PATH_KINDS = SOURCE_KINDS.filter((k) => k !== 'synthetic');
/** Keys of a data block whose value names a file, for every source. */
export const PATH_KEYS: readonly string[] = [
  ...PATH_KINDS,
  'tokenizer',
  'classes',
  'annotations',
  'chatTemplate',
  'encoder',
];
export type SourceKind = (typeof SOURCE_KINDS)[number];

/** Keys that only some sources understand. Anything else is common to all. */
const ONLY_FOR: Readonly<Record<string, readonly SourceKind[]>> = {
  preprocess: ['images', 'imageList', 'webdataset', 'synthetic'],
  maxPixels: ['images', 'imageList', 'webdataset'],
  input: ['images', 'imageList', 'webdataset', 'npy', 'raw', 'synthetic'],
  classes: ['images', 'imageList', 'webdataset'],
  columns: ['imageList'],
  labels: ['npy', 'npz'],
  targets: ['npy', 'npz'],
  annotations: ['images'],
  categoryIds: ['images'],
  batched: ['npy', 'npz', 'raw'],
  shape: ['raw'],
  dtype: ['raw'],
  tokenizer: ['text', 'tokens'],
  fields: ['text', 'tokens'],
  label: ['text'],
  target: ['text'],
  joint: ['text'],
  maxLength: ['text', 'tokens'],
  padTo: ['text', 'tokens'],
  unit: ['text'],
  chatTemplate: ['text'],
  special: ['text'],
  choices: ['text'],
  encoder: ['text'],
  decoderStart: ['text'],
  pack: ['text', 'tokens'],
  inputs: ['text', 'tokens'],
  options: ['module'],
  count: ['synthetic'],
};

export const dataSpec = z
  .strictObject({
    ...fields,
    preprocess: preprocessSpec
      .describe(
        'How an image becomes the model input: decode, resize, crop, pad, colour, ×scale, −mean, ÷std, dtype ' +
          'and layout, in this order.',
      )
      .optional(),
    input: z
      .string()
      .min(1)
      .describe('Name of the model input that receives the data. Default: the only input.')
      .optional(),
    classes: z
      .union([path, z.array(z.string().min(1)).min(1)])
      .describe(
        'Class names in label order: a list, or a text file of names separated by spaces or lines. Default for ' +
          'folders: classes.txt or labels.txt in the folder, else the names in the metadata of the model, else ' +
          'sorted folder names, which must then be as many as there are scores.',
      )
      .optional(),
    columns: z
      .strictObject({
        path: z
          .union([z.string(), z.number().int().min(0)])
          .default('path')
          .describe('Header name or 0-based position of the column of paths.'),
        label: z
          .union([z.string(), z.number().int().min(0), z.null()])
          .default('label')
          .describe('Header name or 0-based position of the column of labels; null where there are none.'),
      })
      .describe('Columns of imageList. Positions mean that the file has no header line.')
      .optional(),
    labels: path
      .describe(
        'Labels of npy or npz data: a .npy file of one number per sample, or the key of an array within the .npz.',
      )
      .optional(),
    targets: z
      .union([path, z.record(z.string(), path)])
      .describe(
        'Tensors that the outputs should equal: for npy, a .npy file of a row per sample, or { output: file }; ' +
          'for npz, the key of an array within the .npz, or { output: key }.',
      )
      .optional(),
    annotations: path
      .describe(
        'Objects in the images: a COCO .json file (its file_name relative to images), or a folder of Pascal ' +
          'VOC .xml files. Only images that it names are used; labels of folders are not.',
      )
      .optional(),
    categoryIds: z
      .boolean()
      .describe(
        'Class indices are the category ids of the COCO file, instead of positions in classes or, without ' +
          'classes, among the ids in order. Default: false.',
      )
      .optional(),
    batched: z
      .boolean()
      .describe('Whether the first axis of a file counts samples. Default: yes for one file, no for a folder of files.')
      .optional(),
    shape: z.array(size).min(1).max(8).describe('Shape of one raw sample, without the batch axis.').optional(),
    dtype: z.enum(ARRAY_DTYPES).describe('Element type of raw data.').optional(),
    tokenizer: path.describe('Hugging Face tokenizer.json; tokenizer_config.json beside it is read too.').optional(),
    fields: z
      .array(z.string().min(1))
      .min(1)
      .max(2)
      .describe('Columns or JSON fields that hold the text; two for sentence pairs.')
      .optional(),
    label: z.string().min(1).describe('Column or JSON field of the score or class index.').optional(),
    target: z
      .string()
      .min(1)
      .describe('Column or JSON field of the text that the output should be, as wer needs it.')
      .optional(),
    count: size
      .describe('How many images synthetic makes. Default: 1024. They depend on the seed of calibration.')
      .optional(),
    joint: z
      .boolean()
      .describe(
        'Encodes both texts as one sequence with separators (cross-encoder) instead of two feeds (bi-encoder). ' +
          'Default: false.',
      )
      .optional(),
    maxLength: size
      .describe(
        'Longest token sequence, special tokens included; longer ones are cut. Default: that of ' +
          'tokenizer.json, else 512.',
      )
      .optional(),
    padTo: z
      .enum(['none', 'longest', 'maxLength'])
      .describe(
        'none stacks only sequences of equal length, so that no statistic sees padding; longest pads to the ' +
          'longest of a batch; maxLength pads all. Default: none.',
      )
      .optional(),
    ...languageFields,
    options: z.record(z.string(), z.json()).describe('Passed to samples() of the module.').optional(),
    split: z
      .strictObject({
        part: z.enum(['calibration', 'evaluation']).describe('The part that this data uses.'),
        fraction: z.number().gt(0).lt(1).describe('Share of samples in the calibration part.'),
        seed: z.number().int().default(0).describe('Must be the same for both parts.'),
      })
      .describe('Uses one part of the source; each sample belongs to a part by the hash of its id, whatever the order.')
      .optional(),
    order: z
      .enum(['interleaved', 'shuffled', 'listed'])
      .describe(
        'interleaved takes the classes in turn, so that any prefix is balanced (default for class folders); ' +
          'shuffled uses the seed (default elsewhere); listed keeps the order of the source (default for ' +
          'testData and module).',
      )
      .optional(),
    onBadSample: z
      .enum(['fail', 'skip'])
      .default('fail')
      .describe('What an unreadable or mis-shaped sample does: stop, or be left out with a warning.'),
    maxPixels: size
      .default(50_000_000)
      .describe('Largest width × height that is decoded, a guard against decompression bombs.'),
  })
  .superRefine((spec, context) => {
    const kinds = SOURCE_KINDS.filter((k) => spec[k] !== undefined);
    if (kinds.length !== 1)
      context.addIssue({
        code: 'custom',
        message:
          `name exactly one source of ${SOURCE_KINDS.join(', ')}; this has ` +
          `${kinds.length ? kinds.join(' and ') : 'none'}`,
      });
    const kind = kinds[0];
    if (!kind) return;
    for (const key of Object.keys(spec)) {
      // maxPixels has a default, so its presence says nothing.
      if (key === 'maxPixels' || ONLY_FOR[key]?.includes(kind) !== false) continue;
      context.addIssue({
        code: 'custom',
        path: [key],
        message: `${key} does not apply to ${kind}; it belongs to ${ONLY_FOR[key].join(', ')}`,
      });
    }
    const need = (key: keyof typeof spec): void => {
      if (spec[key] === undefined) context.addIssue({ code: 'custom', path: [key], message: `${kind} needs ${key}` });
    };
    if (spec.categoryIds !== undefined && spec.annotations === undefined)
      context.addIssue({ code: 'custom', path: ['categoryIds'], message: 'categoryIds needs annotations' });
    if (kind === 'raw') {
      need('shape');
      need('dtype');
    }
    if (kind === 'text') {
      need('tokenizer');
      if (/\.(tsv|tab|csv)$/i.test(spec.text ?? '')) need('fields');
    }
    if (spec.pack && (spec.choices ?? spec.encoder ?? spec.joint ?? spec.label) !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['pack'],
        message: 'pack cuts plain texts; it does not go with choices, encoder, joint or label',
      });
  });

/** A checked data spec, defaults filled in. */
export type DataSpec = z.output<typeof dataSpec>;
/** What a recipe may write: defaults left out. */
export type DataSpecInput = z.input<typeof dataSpec>;
/** The key that names the source of a checked spec. */
export const sourceKind = (spec: DataSpec): SourceKind => SOURCE_KINDS.find((k) => spec[k] !== undefined) ?? 'images';
