import { dirname, join } from 'node:path';
import * as tokenizers from '@huggingface/tokenizers';
import { fail, QuantError } from '../base/errors.js';
import { repeatsRepeats } from '../base/match.js';
import { jsonOf } from '../base/text.js';
import { readText } from './files.js';

export interface Tokens {
  readonly ids: readonly number[];
  readonly types: readonly number[];
}
export interface TextEncoder {
  readonly padId: number;
  /** Longest sequence, special tokens included. */
  readonly maxLength: number;
  /** Token and segment ids of one text or a pair, cut from the longer text so that special tokens stay. */
  encode(text: string, pair?: string, special?: boolean): Tokens;
  /** All token ids of a text, however many; special tokens as the file says, or none. */
  ids(text: string, special: boolean): readonly number[];
  /** The text of token ids, special tokens left out. */
  decode(ids: readonly number[]): string;
  /** The token that ends a text, where there is one. */
  readonly endId: number | undefined;
  /** The token that a decoder starts with: of config.json, else the one that begins a text, else padding. */
  readonly startId: number;
}

/** What is used of the library. Its own types import files without their extension, which leaves them unresolved. */
interface Library {
  token_to_id(token: string): number | undefined;
  encode(text: string, options: EncodeOptions): unknown;
  decode(ids: readonly number[], options: { readonly skip_special_tokens: boolean }): string;
}
const { Tokenizer } = tokenizers as unknown as { readonly Tokenizer: new (json: object, config: object) => Library };

/** A Hugging Face tokenizer with truncation, which the library itself leaves out. Throws DATA_FORMAT, DATA_MISSING. */
export async function openTokenizer(file: string, maxLength: number | undefined): Promise<TextEncoder> {
  const json = await readJson(file);
  const config = await readConfig(file);
  refuseExponential(Object.fromEntries(json), file);
  let tokenizer: Library;
  try {
    tokenizer = new Tokenizer(Object.fromEntries(json), Object.fromEntries(config));
  } catch (cause) {
    return fail(
      'DATA_FORMAT',
      `${file} is not a tokenizer: ${cause instanceof Error ? cause.message : String(cause)}`,
      { file },
      'expected tokenizer.json of a Hugging Face fast tokenizer',
      cause,
    );
  }
  const declared = numberAt(json.get('truncation'), 'max_length');
  const limit = maxLength ?? declared ?? 512;
  const named = (key: string): number | undefined => {
    const token = tokenNamed(config, key);
    return token === undefined ? undefined : tokenizer.token_to_id(token);
  };
  const padId = numberAt(json.get('padding'), 'pad_id') ?? named('pad_token') ?? 0;
  const beside = await readOptional(join(dirname(file), 'config.json'));
  const idIn = (key: string): number | undefined => numberAt(Object.fromEntries(beside), key);
  if (!Number.isInteger(limit) || limit < 1) {
    fail(
      'DATA_FORMAT',
      `${file} says truncation.max_length ${limit}`,
      { file },
      'a whole number from 1 on, or give maxLength',
    );
  }
  if (!Number.isInteger(padId) || padId < 0) {
    fail('DATA_FORMAT', `${file} says padding.pad_id ${padId}`, { file }, 'a whole number from 0 on');
  }
  const encoded = (text: string, options: EncodeOptions): Tokens => {
    let found: unknown;
    try {
      found = tokenizer.encode(text, options);
    } catch (cause) {
      return fail(
        'DATA_FORMAT',
        `the tokenizer of ${file} does not encode a text: ${cause instanceof Error ? cause.message : String(cause)}`,
        { file },
        'the file is damaged, or not of a Hugging Face fast tokenizer',
        cause,
      );
    }
    return checkedTokens(found, file);
  };
  const body = (text: string): readonly number[] => encoded(text, { add_special_tokens: false }).ids;
  const conventional = ['<|endoftext|>', '</s>', '<|end_of_text|>', '<eos>'].map((t) => tokenizer.token_to_id(t));
  return {
    padId,
    maxLength: limit,
    endId: named('eos_token') ?? idIn('eos_token_id') ?? conventional.find((id) => id !== undefined),
    startId: idIn('decoder_start_token_id') ?? named('bos_token') ?? padId,
    ids: (text, special) => encoded(text, { add_special_tokens: special }).ids,
    decode: (ids) => tokenizer.decode(ids, { skip_special_tokens: true }),
    encode: (text, pair, special = true) => {
      const how = { add_special_tokens: special, return_token_type_ids: true };
      const full = encoded(text, { ...(pair === undefined ? {} : { text_pair: pair }), ...how });
      if (full.ids.length <= limit) return full;
      return truncate(full, body(text), pair === undefined ? [] : body(pair), limit, file);
    },
  };
}

interface EncodeOptions {
  readonly text_pair?: string;
  readonly add_special_tokens?: boolean;
  readonly return_token_type_ids?: boolean;
}

/**
 * What the library gave, which follows the file: ids may be missing, or anything that the vocabulary holds. Throws
 * DATA_FORMAT.
 */
function checkedTokens(found: unknown, file: string): Tokens {
  // an object by declaration
  const { ids, token_type_ids: types } = found as { readonly ids?: unknown; readonly token_type_ids?: unknown };
  const isId = (v: unknown): v is number => Number.isSafeInteger(v) && Number(v) >= 0;
  if (!Array.isArray(ids)) return fail('DATA_FORMAT', `the tokenizer of ${file} gives no token ids`, { file });
  const bad = ids.findIndex((v) => !isId(v));
  if (bad >= 0) {
    fail(
      'DATA_FORMAT',
      `the tokenizer of ${file} gives ${jsonOf(ids[bad]) ?? 'nothing'} for a token id`,
      { file },
      'ids are whole numbers from 0 on: see vocab, unk_token and added_tokens',
    );
  }
  const segments = Array.isArray(types) && types.length === ids.length ? types : ids.map(() => 0);
  return {
    ids,
    types: segments.map((v) =>
      isId(v)
        ? v
        : fail('DATA_FORMAT', `the post-processor of ${file} gives a segment id that is no whole number`, { file }),
    ),
  };
}

/**
 * Drops the tail of the longer text, one token at a time (HF's `longest_first`), wherever the template placed the
 * texts.
 */
function truncate(
  full: Tokens,
  first: readonly number[],
  second: readonly number[],
  limit: number,
  file: string,
): Tokens {
  const special = full.ids.length - first.length - second.length;
  if (limit <= special)
    fail(
      'DATA_SHAPE',
      `maxLength ${limit} leaves no room beside ${special} special tokens`,
      { file },
      'raise maxLength',
    );
  let a = first.length;
  let b = second.length;
  while (a + b + special > limit) {
    if (a >= b) a--;
    else b--;
  }
  const startA = find(full.ids, first, 0);
  const startB = find(full.ids, second, startA + first.length);
  if (startA < 0 || startB < 0)
    fail(
      'DATA_FORMAT',
      'the post-processor of the tokenizer changes the tokens of a text, so it cannot be cut',
      { file },
      'raise maxLength',
    );
  const keep = (i: number): boolean =>
    !(i >= startA + a && i < startA + first.length) && !(i >= startB + b && i < startB + second.length);
  return { ids: full.ids.filter((_, i) => keep(i)), types: full.types.filter((_, i) => keep(i)) };
}

function find(ids: readonly number[], part: readonly number[], from: number): number {
  for (let at = from; at + part.length <= ids.length; at++) if (part.every((id, i) => ids[at + i] === id)) return at;
  return -1;
}

/**
 * The library matches with JavaScript's engine, which backtracks: a group repeated without end around another such
 * repeat may never come back.
 */
function refuseExponential(value: unknown, file: string): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === 'Regex' && typeof inner === 'string' && repeatsRepeats(inner)) {
      fail(
        'DATA_FORMAT',
        `the expression "${inner}" in ${file} repeats a group that repeats inside; matching it could take forever`,
        { file },
        'write it without nested repetition',
      );
    }
    // Vocabularies are long lists of numbers, and hold no expressions.
    if (key !== 'vocab' && key !== 'merges') refuseExponential(inner, file);
  }
}

/** tokenizer_config.json beside a tokenizer; empty where there is none. Throws DATA_FORMAT for a broken one. */
export const readConfig = (tokenizer: string): Promise<Map<string, unknown>> =>
  readOptional(join(dirname(tokenizer), 'tokenizer_config.json'));

async function readOptional(file: string): Promise<Map<string, unknown>> {
  return readJson(file).catch((e: unknown) => {
    // The file is optional; a broken one is not.
    if (e instanceof QuantError && e.code === 'DATA_MISSING') return new Map<string, unknown>();
    throw e;
  });
}

/** A special token that a configuration names, as text or as an object with its content. */
export function tokenNamed(config: ReadonlyMap<string, unknown>, key: string): string | undefined {
  const found = config.get(key);
  if (typeof found === 'string') return found;
  const content = typeof found === 'object' && found !== null && 'content' in found ? found.content : undefined;
  return typeof content === 'string' ? content : undefined;
}

async function readJson(file: string): Promise<Map<string, unknown>> {
  const text = await readText(file);
  try {
    const value: unknown = JSON.parse(text);
    return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);
  } catch (cause) {
    return fail(
      'DATA_FORMAT',
      `${file} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      { file },
      undefined,
      cause,
    );
  }
}
function numberAt(value: unknown, key: string): number | undefined {
  const found =
    typeof value === 'object' && value !== null ? new Map<string, unknown>(Object.entries(value)).get(key) : undefined;
  return typeof found === 'number' ? found : undefined;
}
