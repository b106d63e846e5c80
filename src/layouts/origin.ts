/** The folder of the original model, as exporters and the Hugging Face hub lay it out, and what of it goes along. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { fail } from '../base/errors.js';

/** config.json of a Hugging Face model. */
export type ModelConfig = Readonly<Record<string, unknown>>;

/** What a model card says of the original; absent where its folder does not tell. */
export interface Origin {
  /** Such as `org/name`. */
  readonly model?: string | undefined;
  /** Such as `apache-2.0`, or `other` with name and link. */
  readonly license?: string | undefined;
  readonly licenseName?: string | undefined;
  readonly licenseLink?: string | undefined;
  readonly task?: string | undefined;
  readonly languages?: readonly string[] | undefined;
}

export interface OriginFolder {
  readonly config: ModelConfig;
  /** generation_config.json; empty where there is none. */
  readonly generation: ModelConfig;
  /** Names of tokenizer, generation and licence files that are there. */
  readonly beside: readonly string[];
  readonly origin: Origin;
}

const GENERATION = 'generation_config.json';

/** Files of a model's repository that go along, where they are there. */
export const BESIDE: readonly string[] = [
  GENERATION,
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
  'processor_config.json',
  'LICENSE',
  'LICENSE.txt',
  'LICENSE.md',
  'NOTICE',
];
const MOST_TEXT = 2 ** 20;
/** A tokenizer of 256,000 tokens has about 20 MB. */
const MOST_BYTES = 2 ** 28;

/** The folder that a model's configuration lies in: that of its file, or the one above where files lie in `onnx/`. */
export function folderOf(model: string): string {
  const own = path.dirname(path.resolve(model));
  const above = path.dirname(own);
  const has = (folder: string): boolean => existsSync(path.join(folder, 'config.json'));
  return !has(own) && path.basename(own) === 'onnx' && has(above) ? above : own;
}

/** Throws DATA_MISSING where there is no config.json, DATA_FORMAT where it is none. */
export function readOrigin(folder: string, hint: string): OriginFolder {
  const config = readObject(path.join(folder, 'config.json'), hint);
  const beside = BESIDE.filter((name) => existsSync(path.join(folder, name)));
  const generation = beside.includes(GENERATION) ? readObject(path.join(folder, GENERATION), hint) : {};
  const card = frontMatter(path.join(folder, 'README.md'));
  const text = (value: unknown): string | undefined =>
    typeof value === 'string' && value !== '' ? value.slice(0, 200) : undefined;
  const { language } = card;
  const languages = (Array.isArray(language) ? language : [language]).flatMap((l: unknown) => text(l) ?? []);
  const id = (value: unknown): string | undefined => {
    const found = text(Array.isArray(value) ? value[0] : value);
    return found !== undefined && /^[\w.-]+\/[\w.-]+$/.test(found) && !found.startsWith('.') ? found : undefined;
  };
  return {
    config,
    generation,
    beside,
    origin: {
      model: repositoryOf(folder) ?? id(config._name_or_path) ?? id(card.base_model),
      license: text(card.license) ?? text(config.license),
      licenseName: text(card.license_name),
      licenseLink: text(card.license_link),
      task: text(card.pipeline_tag),
      ...(languages.length ? { languages } : {}),
    },
  };
}

/** A file that goes along. Throws DATA_FORMAT for one that is too large. */
export function readBeside(folder: string, name: string): Uint8Array {
  return readBounded(path.join(folder, name), MOST_BYTES);
}

function readBounded(file: string, most: number): Uint8Array {
  const stat = statSync(file);
  if (!stat.isFile()) fail('DATA_FORMAT', `'${file}' is not a regular file`, { file });
  if (stat.size > most) fail('DATA_FORMAT', `'${file}' has ${stat.size} bytes, more than ${most}`, { file });
  return readFileSync(file);
}

/** In a cache of the hub the folder tells: `models--org--name/snapshots/revision`. */
function repositoryOf(folder: string): string | undefined {
  const parts = path.resolve(folder).split(path.sep);
  const found = parts.map((p) => /^models--([\w.-]+?)--([\w.-]+)$/.exec(p)).findLast((m) => m !== null);
  return found ? `${found[1]}/${found[2]}` : undefined;
}

function readObject(file: string, hint: string): ModelConfig {
  if (!existsSync(file))
    fail('DATA_MISSING', `there is no ${path.basename(file)} in '${path.dirname(file)}'`, { file }, hint);
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(readBounded(file, MOST_TEXT)));
    return z.record(z.string(), z.unknown()).parse(value);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError)
      return fail('DATA_FORMAT', `'${file}' is no JSON object`, { file }, undefined, error);
    throw error;
  }
}

/** What stands between the first lines of dashes of a model card; nothing where that is no mapping. */
function frontMatter(file: string): Readonly<Record<string, unknown>> {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return {};
  const [, head] = /^---\r?\n([\s\S]*?)\r?\n---/.exec(new TextDecoder().decode(readBounded(file, MOST_TEXT))) ?? [];
  if (head === undefined) return {};
  try {
    const found = z.record(z.string(), z.unknown()).safeParse(parse(head));
    return found.success ? found.data : {};
  } catch {
    return {}; // a card that others wrote is no reason to fail
  }
}
