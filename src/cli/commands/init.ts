/** `quantize init`: a first recipe for a model, with comments on what to check. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { fail } from '../../base/errors.js';
import { writeFileAtomic } from '../../base/files.js';
import { oneLine } from '../../base/text.js';
import { guessDataSpec } from '../../data/init.js';
import { PATH_KINDS, SOURCE_KINDS } from '../../data/spec.js';
import type { Value } from '../../ir/graph.js';
import { loadModel } from '../../onnx/files.js';
import { relativePath } from '../../recipe/override.js';
import type { CommandContext } from '../main.js';

/** Prints the recipe, or writes it where no file is yet. Throws QuantError. */
export async function init(modelFile: string, flags: { readonly data?: string; readonly out?: string }, { terminal }: CommandContext): Promise<number> {
  const model = loadModel(modelFile);
  const inputs = model.graph.inputs.filter((v) => !v.data);
  const baseDir = path.resolve(flags.out === undefined ? '.' : path.dirname(flags.out));
  const here = (file: string): string => relativePath(baseDir, path.resolve(file));
  const data = flags.data === undefined ? undefined : await guessDataSpec(flags.data);
  const text = starterRecipe({
    model: here(modelFile), inputs, outputs: model.graph.outputs,
    ...(data ? { data: Object.fromEntries(Object.entries(data).map(([k, v]) => [k, typeof v === 'string' && isPath(k) ? here(v) : v])) } : {}),
  });
  if (flags.out === undefined) { terminal.data(text); return 0; }
  if (existsSync(flags.out)) fail('OUTPUT_WRITE', `'${flags.out}' already exists`, { file: flags.out }, 'choose another --out, or remove the file');
  writeFileAtomic(flags.out, text);
  terminal.data(`${flags.out}\n`);
  return 0;
}

const isPath = (key: string): boolean => ([...PATH_KINDS, 'tokenizer', 'classes'] as readonly string[]).includes(key);

export interface Starter { readonly model: string; readonly inputs: readonly Value[]; readonly outputs: readonly Value[]; readonly data?: Readonly<Record<string, unknown>> }

/** The recipe text. What cannot be known from names and shapes is a comment that says to check, never a silent guess. */
export function starterRecipe({ model, inputs, outputs, data }: Starter): string {
  const show = (v: Value): string => `${oneLine(v.name)} ${v.dtype ?? '?'}[${(v.shape ?? []).map((d) => (d === null ? '?' : oneLine(String(d)))).join(', ')}]`;
  const image = imageOf(inputs);
  const isImages = data !== undefined && ['images', 'imageList', 'webdataset'].some((k) => k in data);
  return [
    '# A first recipe, written by `quantize init`. `quantize --recipe FILE --dry-run` shows what it would do.',
    ...inputs.map((v) => `# input   ${show(v)}`), ...outputs.map((v) => `# output  ${show(v)}`),
    'version: 1',
    stringify({ model }).trimEnd(),
    'target: onnxruntime-cpu', '',
    'calibration:',
    ...(data ? ['  data:', indent(stringify(data, { lineWidth: 0 }), 4), ...(isImages ? preprocessLines(image) : [])]
      : [`  # Samples like those the model will meet; one of ${SOURCE_KINDS.join(', ')}.`, '  # data: { images: path/to/folder }']),
    '  samples: 512', '',
    'quantize:',
    '  format: qdq            # qoperator for QLinear operators; dynamic for transformers and LSTMs without calibration data',
    '  activations: { observer: minmax }   # kl, percentile and mse clip outliers',
    '  # exclude: [ { position: last } ]   # nodes that stay float: names, globs, re:…, { opType: Softmax }', '',
    'evaluation:',
    '  # Other samples than those of calibration, with labels where there are any. How they are read is taken from calibration.',
    '  # data: { images: path/to/test }',
    '  # metrics: [ top1 ]',
    '  batchSize: 32', '',
  ].join('\n');
}

interface ImageInput { readonly channels: number; readonly height: number | undefined; readonly width: number | undefined }
/** The one input with four axes that looks like an image. */
function imageOf(inputs: readonly Value[]): ImageInput | undefined {
  const four = inputs.filter((v) => v.shape?.length === 4);
  const shape = four.length === 1 ? four[0]!.shape : undefined; // exactly one
  if (!shape) return undefined;
  const number = (d: unknown): number | undefined => (typeof d === 'number' ? d : undefined);
  if (shape[1] === 1 || shape[1] === 3) return { channels: shape[1], height: number(shape[2]), width: number(shape[3]) };
  return shape[3] === 1 || shape[3] === 3 ? { channels: shape[3], height: number(shape[1]), width: number(shape[2]) } : undefined;
}

function preprocessLines(image: ImageInput | undefined): string[] {
  const resize = image?.height !== undefined && image.width !== undefined ? [`      resize: { height: ${image.height}, width: ${image.width} }   # the size of the model input; check how training resized and cropped`] : ['      # resize: { height: 224, width: 224 }'];
  return [
    '    # CHECK: preprocessing must be what the model was trained with; a wrong one ruins accuracy without an error.',
    '    preprocess:', ...resize,
    `      colour: ${image?.channels === 1 ? 'gray' : 'RGB'}            # or BGR`,
    '      scale: 1/255           # 1 where the model takes 0 to 255',
    '      # mean: [ 0.485, 0.456, 0.406 ]   # those of ImageNet; only where the model was trained with them',
    '      # std: [ 0.229, 0.224, 0.225 ]',
  ];
}

const indent = (text: string, by: number): string => text.trimEnd().split('\n').map((l) => ' '.repeat(by) + l).join('\n');
