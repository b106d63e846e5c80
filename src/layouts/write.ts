/** Models of finished runs as the folder that a library of language models loads: its names, and its configuration. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fail } from '../base/errors.js';
import { writeFileAtomic } from '../base/files.js';
import { item } from '../base/lists.js';
import { writtenForm } from '../formats/written-form.js';
import type { Model } from '../ir/model.js';
import { loadModel, saveModel } from '../onnx/files.js';
import { genaiConfig } from './genai.js';
import { dataFileOf, fileOf, holdsSeveral, type Layout } from './names.js';
import { readBeside, type OriginFolder } from './origin.js';

/** A model, and what its weights are. */
export interface Given {
  readonly model: string;
  /** By the recipe: q4, q8, fp16. */
  readonly dtype: string;
  /** Most bytes of a data file. */
  readonly shardBytes?: number | undefined;
}
export interface Variant {
  /** What transformers.js calls it: q4, q4f16, q8, fp16. */
  readonly dtype: string;
  /** The model, relative to the folder that is written. */
  readonly file: string;
  /** Its data files, relative to the folder. */
  readonly data: readonly string[];
  readonly bytes: number;
}
export interface LaidOut {
  readonly variants: readonly Variant[];
  /** All that was written, in an order in which they may appear: a model behind its data. */
  readonly files: readonly string[];
}

/** Browsers hold no array of 2 GiB. */
const SHARD_BYTES = 2e9;

/**
 * Writes models, configuration and tokenizer files into `place`. Weights go from file to file some megabytes at a time.
 * Throws USAGE for two models of one name, DATA_FORMAT, MODEL_UNSUPPORTED, OUTPUT_WRITE, and what loading throws.
 */
export function writeLayout(
  given: readonly Given[],
  { layout, from, folder, place }: { layout: Layout; from: string; folder: OriginFolder; place: string },
): LaidOut {
  const loaded = given.map((g) => {
    const model = loadModel(g.model);
    const dtype = `${g.dtype}${isHalf(g.dtype, model) ? 'f16' : ''}`;
    return { ...g, model, source: g.model, dtype, file: fileOf(layout, dtype) };
  });
  const twice = loaded.find((v, i) => loaded.findIndex((w) => w.file === v.file) !== i);
  if (twice)
    fail(
      'USAGE',
      `two runs would be written to ${twice.file}`,
      { file: twice.source },
      holdsSeveral(layout)
        ? 'give runs of different types'
        : 'give one run: onnxruntime-genai loads one model a folder',
    );
  const files: string[] = [];
  const put = (name: string, data: string | Uint8Array): void => {
    writeFileAtomic(path.join(place, name), data);
    files.push(name);
  };
  const variants = loaded.map(({ model, file, dtype, shardBytes = Infinity }): Variant => {
    const at = path.join(place, file);
    mkdirSync(path.dirname(at), { recursive: true });
    const saved = saveModel(model, at, {
      externalData: [...model.graph.initializers].some((v) => v.data && isOutside(v.data)) ? 'always' : 'auto',
      shardBytes: Math.min(shardBytes, SHARD_BYTES),
      dataName: (name, i) => dataFileOf(layout, name, i),
    }).files;
    const names = saved.map((f) => path.relative(place, f.path).split(path.sep).join('/'));
    const data = names.filter((n) => n !== file);
    files.push(...data, file);
    if (!holdsSeveral(layout)) put('genai_config.json', text(genaiConfig(folder, model, file)));
    return { dtype, file, data, bytes: saved.reduce((n, f) => n + f.bytes, 0) };
  });
  const halves = loaded.filter(({ model }) => pastOf(model) === 'float16').map((v) => v.dtype);
  put('config.json', text(configOf(layout, folder, variants, halves)));
  for (const name of folder.beside) put(name, readBeside(from, name));
  return { variants, files };
}

const text = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** Whether weights of few bits are multiplied in float16. */
const isHalf = (dtype: string, { graph }: Model): boolean =>
  /^q\d/.test(dtype) && [...graph.nodes].some((n) => writtenForm(n) && n.inputs[2]?.data?.dtype === 'float16');
const isOutside = (t: NonNullable<Model['graph']['inputs'][number]['data']>): boolean =>
  t.dtype !== 'string' && t.source.file !== undefined;
const pastOf = ({ graph }: Model): string | undefined => graph.inputs.find((v) => /^past/.test(v.name))?.dtype;

/** source: `transformers.js_config` of https://huggingface.co/docs/transformers.js/api/configs */
function configOf(
  layout: Layout,
  { config }: OriginFolder,
  variants: readonly Variant[],
  halves: readonly string[],
): object {
  if (layout !== 'transformers.js') return config;
  const before = config['transformers.js_config'];
  const outside = variants.filter((v) => v.data.length).map((v) => [path.posix.basename(v.file), v.data.length]);
  const own = {
    ...(typeof before === 'object' ? before : {}),
    dtype: item(variants, 0).dtype,
    ...(outside.length ? { use_external_data_format: Object.fromEntries(outside) as object } : {}),
    ...(halves.length ? { kv_cache_dtype: Object.fromEntries(halves.map((d) => [d, 'float16'])) } : {}),
  };
  return { ...config, 'transformers.js_config': own };
}
