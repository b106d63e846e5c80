/** `quantize init`: a first recipe for a model, with comments on what to check. */
import { item } from '../../base/lists.js';
import { existsSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { fail } from '../../base/errors.js';
import { writeFileAtomic } from '../../base/files.js';
import { oneLine } from '../../base/text.js';
import { guessDataSpec } from '../../data/init.js';
import { filledInputs, isDecoder } from '../../data/language/roles.js';
import { PATH_KEYS, SOURCE_KINDS } from '../../data/spec.js';
import type { Value } from '../../ir/graph.js';
import type { Suited } from '../../standalone/starter.js';
import { loadModel } from '../../onnx/files.js';
import { inputInfo } from '../../pipeline/inputs.js';
import { relativePath } from '../../recipe/override.js';
import type { CommandContext } from '../context.js';

/** Prints the recipe, or writes it where no file is yet. Throws QuantError. */
export async function init(
  given: string,
  flags: { readonly data?: string; readonly out?: string },
  { terminal }: CommandContext,
): Promise<number> {
  const modelFile = modelIn(given);
  const model = loadModel(modelFile);
  const inputs = model.graph.inputs.filter((v) => !v.data);
  const baseDir = path.resolve(flags.out === undefined ? '.' : path.dirname(flags.out));
  const here = (file: string): string => relativePath(baseDir, path.resolve(file));
  const data = flags.data === undefined ? undefined : await guessDataSpec(flags.data, foldersOf(modelFile));
  const { suitedFormat, isAudio } = await import('../../standalone/starter.js');
  const text = starterRecipe({
    model: here(modelFile),
    inputs,
    outputs: model.graph.outputs,
    filled: filledInputs(inputInfo(model)),
    language: isDecoder(inputInfo(model), model.graph.outputs),
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

const isPath = (key: string): boolean => PATH_KEYS.includes(key);

export interface Starter {
  readonly model: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** What is filled in for inputs of a language model. */ readonly filled: readonly string[];
  /** Whether it continues text. */ readonly language: boolean;
  readonly suited: Suited;
  /** Whether an input is a waveform. */ readonly sound: boolean;
  /** Path of the recipe schema. */ readonly schema: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/**
 * The recipe text. What cannot be known from names and shapes is a comment that says to check, never a silent guess.
 */
export function starterRecipe(starter: Starter): string {
  const { model, inputs, outputs, suited: best, schema, sound, data: given } = starter;
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
  const head = [
    `# yaml-language-server: $schema=${schema}`,
    '# A first recipe, written by `quantize init`. `quantize --recipe FILE --dry-run` shows what it would do.',
    ...inputs.map((v) => `# input   ${show(v)}`),
    ...outputs.map((v) => `# output  ${show(v)}`),
    ...starter.filled.map((line) => `# filled in  ${oneLine(line)}`),
    'version: 1',
    stringify({ model }).trimEnd(),
    'target: onnxruntime-cpu',
    '',
  ];
  if (starter.language && suited.format === 'weight-only') return [...head, ...languageLines(data, suited)].join('\n');
  return [
    ...head,
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

/** Sections for a model that continues text: weights alone, judged by what it makes of text. */
function languageLines(data: Readonly<Record<string, unknown>> | undefined, suited: Suited): string[] {
  return [
    'quantize:',
    `  format: ${suited.format.padEnd(15)}# ${suited.because}; others: ${OTHERS[suited.format]}`,
    '  weights: { dtype: uint4, granularity: { block: 32 } }   # method: gptq is closer, and needs calibration.data',
    '',
    'evaluation:',
    ...(data
      ? [
          '  data:',
          indent(stringify(data, { lineWidth: 0 }), 4),
          '    maxLength: 256   # or pack: 256, to join short texts',
        ]
      : [
          '  # Text that the model was not trained on: .txt, .jsonl with text or chat messages, or token ids.',
          '  # data: { text: path/to/test.jsonl, tokenizer: path/to/tokenizer.json, maxLength: 256 }',
        ]),
    `  ${data ? '' : '# '}metrics: [ perplexity, kl, top1-agreement ]`,
    '  samples: 200',
    '  batchSize: 8',
    '',
  ];
}

/** Models of a folder as Hugging Face has it, the one to quantize first. */
const IN_FOLDER = ['decoder_model_merged.onnx', 'model.onnx', 'decoder_model.onnx', 'encoder_model.onnx'] as const;

/** The model file of a folder, or the file itself. Throws MODEL_MISSING. */
function modelIn(given: string): string {
  if (!statSync(given, { throwIfNoEntry: false })?.isDirectory()) return given;
  for (const folder of [path.join(given, 'onnx'), given])
    for (const name of IN_FOLDER) if (existsSync(path.join(folder, name))) return path.join(folder, name);
  return fail(
    'MODEL_MISSING',
    `'${given}' is a folder without a model`,
    { file: given },
    `expected onnx/ with one of ${IN_FOLDER.join(', ')}; or name the file`,
  );
}

/** Where the tokenizer of a model may lie: beside it, or beside its folder onnx/. */
const foldersOf = (modelFile: string): readonly string[] => {
  const folder = path.dirname(modelFile);
  return path.basename(path.resolve(folder)) === 'onnx' ? [folder, path.dirname(path.resolve(folder))] : [folder];
};

const OTHERS: Readonly<Record<Suited['format'], string>> = {
  qdq: 'qoperator for QLinear operators; dynamic needs no calibration data',
  dynamic: 'qdq with calibration data; weight-only for weights of 4 bits',
  float16: 'coded for a smaller file; qdq with calibration data',
  coded: 'dynamic and qdq for what has convolutions or matrix products',
  'weight-only': 'dynamic for 8-bit integers in the products, float16 for half of the file',
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
