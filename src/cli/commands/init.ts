/** `quantize init`: a first recipe for a model, with comments on what to check. */
import { item } from '../../base/lists.js';
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { fail } from '../../base/errors.js';
import { writeFileAtomic } from '../../base/files.js';
import { oneLine } from '../../base/text.js';
import { guessDataSpec } from '../../data/init.js';
import { PATH_KINDS, SOURCE_KINDS } from '../../data/spec.js';
import type { Value } from '../../ir/graph.js';
import type { Suited } from '../../standalone/starter.js';
import { loadModel } from '../../onnx/files.js';
import { relativePath } from '../../recipe/override.js';
import type { CommandContext } from '../context.js';

/** Prints the recipe, or writes it where no file is yet. Throws QuantError. */
export async function init(
  modelFile: string,
  flags: { readonly data?: string; readonly out?: string },
  { terminal }: CommandContext,
): Promise<number> {
  const model = loadModel(modelFile);
  const inputs = model.graph.inputs.filter((v) => !v.data);
  const baseDir = path.resolve(flags.out === undefined ? '.' : path.dirname(flags.out));
  const here = (file: string): string => relativePath(baseDir, path.resolve(file));
  const data = flags.data === undefined ? undefined : await guessDataSpec(flags.data);
  const { suitedFormat, isAudio } = await import('../../standalone/starter.js');
  const text = starterRecipe({
    model: here(modelFile),
    inputs,
    outputs: model.graph.outputs,
    suited: await suitedFormat(model, modelFile),
    schema: schemaFrom(baseDir),
    sound: isAudio(inputs),
    ...(data
      ? {
          data: Object.fromEntries(
            Object.entries(data).map(([k, v]) => [k, typeof v === 'string' && isPath(k) ? here(v) : v]),
          ),
        }
      : {}),
  });
  if (flags.out === undefined) {
    terminal.data(text);
    return 0;
  }
  if (existsSync(flags.out))
    fail(
      'OUTPUT_WRITE',
      `'${flags.out}' already exists`,
      { file: flags.out },
      'choose another --out, or remove the file',
    );
  writeFileAtomic(flags.out, text);
  terminal.data(`${flags.out}\n`);
  return 0;
}

const SCHEMA = fileURLToPath(new URL('../../../schema/recipe.schema.json', import.meta.url));
/**
 * The schema from a folder: through its own node_modules where the package lies there, so that the path means the same
 * on other machines.
 */
function schemaFrom(folder: string): string {
  for (let at = folder; ; at = path.dirname(at)) {
    const there = path.join(at, 'node_modules/quantbench/schema/recipe.schema.json');
    if (existsSync(there) && realpathSync(there) === realpathSync(SCHEMA)) return relativePath(folder, there);
    if (path.dirname(at) === at) return relativePath(folder, SCHEMA);
  }
}

const isPath = (key: string): boolean => ([...PATH_KINDS, 'tokenizer', 'classes'] as readonly string[]).includes(key);

export interface Starter {
  readonly model: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly suited: Suited;
  /** Whether an input is a waveform. */ readonly sound: boolean;
  /** Path of the recipe schema. */ readonly schema: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/**
 * The recipe text. What cannot be known from names and shapes is a comment that says to check, never a silent guess.
 */
export function starterRecipe({ model, inputs, outputs, suited: best, schema, sound, data: given }: Starter): string {
  const show = (v: Value): string =>
    `${oneLine(v.name)} ` +
    `${v.dtype ?? '?'}[${(v.shape ?? []).map((d) => (d === null ? '?' : oneLine(String(d)))).join(', ')}]`;
  const image = imageOf(inputs);
  // Static int8 needs ranges: without data, made-up images give them, so that the recipe runs as it is.
  const madeUp = given === undefined && best.format === 'qdq' && image !== undefined;
  const suited: Suited =
    given === undefined && best.format === 'qdq' && !madeUp
      ? { format: 'coded', because: `needs no data; with calibration data qdq, for ${best.because}` }
      : best;
  const data = given ?? (madeUp ? { synthetic: 'both' } : undefined);
  const isImages = data !== undefined && ['images', 'imageList', 'webdataset', 'synthetic'].some((k) => k in data);
  return [
    `# yaml-language-server: $schema=${schema}`,
    '# A first recipe, written by `quantize init`. `quantize --recipe FILE --dry-run` shows what it would do.',
    ...inputs.map((v) => `# input   ${show(v)}`),
    ...outputs.map((v) => `# output  ${show(v)}`),
    'version: 1',
    stringify({ model }).trimEnd(),
    'target: onnxruntime-cpu',
    '',
    'calibration:',
    ...(madeUp
      ? ['  # CHECK: made-up images only show that all works; give real ones, with data: { images: path/to/folder }.']
      : []),
    ...(data
      ? ['  data:', indent(stringify(data, { lineWidth: 0 }), 4), ...(isImages ? preprocessLines(image) : [])]
      : [
          `  # Samples like those the model will meet; one of ${SOURCE_KINDS.join(', ')}.`,
          `  # data: { ${sound ? 'npz: path/to/waveforms' : 'images: path/to/folder'} }`,
        ]),
    '  samples: 512',
    '',
    'quantize:',
    `  format: ${suited.format.padEnd(15)}# ${suited.because}; others: ${OTHERS[suited.format]}`,
    ...(suited.format === 'qdq'
      ? ['  activations: { observer: minmax }   # kl, percentile and mse clip outliers']
      : []),
    '  # exclude: [ { position: last } ]   # nodes that stay float: names, globs, re:…, { opType: Softmax }',
    '',
    'evaluation:',
    '  # Other samples than those of calibration, with labels where there are any. How they are read is taken ' +
      'from calibration.',
    `  # data: { ${sound ? 'npz: path/to/test' : 'images: path/to/test'} }`,
    `  # metrics: [ ${metricOf(inputs, outputs)} ]`,
    '  batchSize: 32',
    '',
  ].join('\n');
}

const OTHERS: Readonly<Record<Suited['format'], string>> = {
  qdq: 'qoperator for QLinear operators; dynamic needs no calibration data',
  dynamic: 'qdq with calibration data; weight-only for weights of 4 bits',
  float16: 'coded for a smaller file; qdq with calibration data',
  coded: 'dynamic and qdq for what has convolutions or matrix products',
};

/** What the shapes suggest; a guess to look at, for it stands in a comment. */
function metricOf(inputs: readonly Value[], outputs: readonly Value[]): string {
  const ranks = outputs.map((y) => y.shape?.length);
  if (imageOf(inputs) && (ranks.includes(3) || outputs.length > 1)) return 'map';
  const [first] = outputs;
  const last = first?.shape?.at(-1);
  if (ranks[0] === 2 && typeof last === 'number' && last >= 100) return 'top1, top5';
  if (ranks[0] === 3 && imageOf(inputs) === undefined && inputs.some((v) => v.dtype === 'float32')) return 'wer';
  return 'top1';
}

interface ImageInput {
  readonly channels: number;
  readonly height: number | undefined;
  readonly width: number | undefined;
}
/** The one input with four axes that looks like an image. */
function imageOf(inputs: readonly Value[]): ImageInput | undefined {
  const four = inputs.filter((v) => v.shape?.length === 4);
  const shape = four.length === 1 ? item(four, 0).shape : undefined; // exactly one
  if (!shape) return undefined;
  const number = (d: unknown): number | undefined => (typeof d === 'number' ? d : undefined);
  if (shape[1] === 1 || shape[1] === 3)
    return { channels: shape[1], height: number(shape[2]), width: number(shape[3]) };
  return shape[3] === 1 || shape[3] === 3
    ? { channels: shape[3], height: number(shape[1]), width: number(shape[2]) }
    : undefined;
}

function preprocessLines(image: ImageInput | undefined): string[] {
  const resize =
    image?.height !== undefined && image.width !== undefined
      ? [
          `      resize: { height: ${image.height}, width: ${image.width} }   # the size of the model input; ` +
            'check how training resized and cropped',
        ]
      : ['      # resize: { height: 224, width: 224 }'];
  return [
    '    # CHECK: preprocessing must be what the model was trained with; a wrong one ruins accuracy without an error.',
    '    preprocess:',
    ...resize,
    `      colour: ${image?.channels === 1 ? 'gray' : 'RGB'}            # or BGR`,
    '      scale: 1/255           # 1 where the model takes 0 to 255',
    '      # mean: [ 0.485, 0.456, 0.406 ]   # those of ImageNet; only where the model was trained with them',
    '      # std: [ 0.229, 0.224, 0.225 ]',
  ];
}

const indent = (text: string, by: number): string =>
  text
    .trimEnd()
    .split('\n')
    .map((l) => ' '.repeat(by) + l)
    .join('\n');
