/** Finished runs as the folder that a library of language models loads: files under its names, with their configuration. */
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { fail } from '../base/errors.js';
import { writeFileAtomic } from '../base/files.js';
import { item } from '../base/lists.js';
import { refuseOverwriting } from '../base/outputs.js';
import { loadModel, saveModel } from '../onnx/files.js';
import { readRun } from '../record/read.js';
import type { RunRecord } from '../record/index.js';
import { mainFile } from '../pipeline/output-folder.js';
import { genaiConfig, type ModelConfig } from './genai-config.js';

export const LAYOUTS = ['huggingface', 'transformers.js', 'onnxruntime-genai'] as const;
export type Layout = (typeof LAYOUTS)[number];

export interface Variant {
  /** Folder of the run. */
  readonly run: string;
  readonly record: RunRecord;
  /** What transformers.js calls it: q4, q8, fp16. */
  readonly dtype: string;
  /** The model, relative to the folder that is written. */
  readonly file: string;
  readonly bytes: number;
}

/** Files of a model's repository that go along, where they are there. */
const BESIDE = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.model',
  'vocab.json',
  'vocab.txt',
  'merges.txt',
  'chat_template.jinja',
  'preprocessor_config.json',
];
const MOST_CONFIG = 2 ** 20;
/** A tokenizer of 256,000 tokens has about 20 MB. */
const MOST_BYTES = 2 ** 28;

/** Suffixes of model files. source: DEFAULT_DTYPE_SUFFIX_MAPPING of https://github.com/huggingface/transformers.js */
const SUFFIXES: Readonly<Record<string, string>> = { fp32: '', q8: '_quantized' };

/**
 * Writes `out`: the models of the runs, configuration and tokenizer files from `from`. Gives the models and all files.
 * Throws DATA_MISSING, DATA_FORMAT, USAGE where runs do not fit the layout, OUTPUT_WRITE, and what loading throws.
 */
export function layOut(
  runs: readonly string[],
  o: { readonly layout: Layout; readonly from: string; readonly out: string },
): { readonly variants: readonly Variant[]; readonly files: readonly string[] } {
  const genai = o.layout === 'onnxruntime-genai';
  const config = readConfig(o.from);
  const chosen = runs.map((run) => {
    const record = readRun(run);
    const dtype = dtypeOf(record);
    const file = genai ? 'model.onnx' : `onnx/model${SUFFIXES[dtype] ?? `_${dtype}`}.onnx`;
    return { run, record, dtype, file };
  });
  const twice = chosen.find((v, i) => chosen.findIndex((w) => w.file === v.file) !== i);
  if (twice)
    fail(
      'USAGE',
      `two runs would be written to ${twice.file}`,
      { file: twice.run },
      genai ? 'give one run: onnxruntime-genai loads one model a folder' : 'give runs of different types',
    );
  const written: string[] = [];
  const put = (name: string, data: string | Uint8Array): void => {
    mkdirSync(path.dirname(path.join(o.out, name)), { recursive: true });
    writeFileAtomic(path.join(o.out, name), data);
    written.push(name);
  };
  const given = ['config.json', ...BESIDE].map((name) => path.join(o.from, name)).filter((f) => existsSync(f));
  const sources = [...given, ...chosen.map((v) => path.join(v.run, mainFile(v.record.files).path))];
  const targets = [...chosen.map((v) => v.file), 'config.json', 'genai_config.json', 'README.md', ...BESIDE];
  refuseOverwriting(
    targets.map((name) => path.join(o.out, name)),
    sources,
  );
  const variants = chosen.map((v): Variant => {
    const model = loadModel(path.join(v.run, mainFile(v.record.files).path));
    const file = path.join(o.out, v.file);
    mkdirSync(path.dirname(file), { recursive: true });
    const { files } = saveModel(model, file, { externalData: genai ? 'auto' : 'never' });
    written.push(...files.map((f) => path.relative(o.out, f.path).split(path.sep).join('/')));
    if (genai) put('genai_config.json', `${JSON.stringify(genaiConfig(config, model, 'model.onnx'), null, 2)}\n`);
    return { ...v, bytes: files.reduce((n, f) => n + f.bytes, 0) };
  });
  const own = o.layout === 'transformers.js' ? { 'transformers.js_config': { dtype: item(variants, 0).dtype } } : {};
  put('config.json', `${JSON.stringify({ ...config, ...own }, null, 2)}\n`);
  for (const name of BESIDE) {
    const file = path.join(o.from, name);
    if (existsSync(file)) put(name, readBounded(file, MOST_BYTES));
  }
  return { variants, files: written };
}

function readBounded(file: string, most: number): Uint8Array {
  const { size } = statSync(file);
  if (size > most) fail('DATA_FORMAT', `'${file}' has ${size} bytes, more than ${most}`, { file });
  return readFileSync(file);
}

function readConfig(from: string): ModelConfig {
  const file = path.join(from, 'config.json');
  if (!existsSync(file))
    fail(
      'DATA_MISSING',
      `there is no config.json in '${from}'`,
      { file },
      'give the folder of the float model with --from: it has config.json and the tokenizer beside the model',
    );
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(readBounded(file, MOST_CONFIG)));
    return z.record(z.string(), z.unknown()).parse(value);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError)
      return fail('DATA_FORMAT', `'${file}' is no JSON object`, { file }, undefined, error);
    throw error;
  }
}

const resolvedSpec = z.object({
  quantize: z.object({
    format: z.string(),
    weights: z.object({ dtype: z.string().optional(), bits: z.number().optional() }),
  }),
});

/** The type of a run by the names of transformers.js; a width that it has no name for is named alike. */
function dtypeOf({ recipe: { resolved } }: RunRecord): string {
  const found = resolvedSpec.safeParse(resolved);
  if (!found.success) return 'q8';
  const { format, weights } = found.data.quantize;
  if (format === 'float16') return 'fp16';
  if (format === 'float') return 'fp32';
  const width = weights.bits ?? Number(/\d+$/.exec(weights.dtype ?? 'int8')?.[0] ?? 8);
  return `q${width}`;
}
