import { item } from '../../base/lists.js';
import { basename, resolve } from 'node:path';
import { fail, type Where } from '../../base/errors.js';
import type { Feed, FeedTensor, ValueInfo } from '../../ir/feed.js';
import { fitFeed } from '../feeds.js';
import { readText, sha256 } from '../files.js';
import type { OpenSource } from '../source.js';
import type { DataSpec } from '../spec.js';
import { columnOf, readTable } from '../table.js';
import { openTokenizer, type Tokens } from '../tokenize.js';

interface Row {
  readonly line: number;
  readonly texts: readonly string[];
  readonly label: string | undefined;
  readonly target: string | undefined;
}

/**
 * `text:` — rows of one or two texts, as int64 feeds input_ids, attention_mask, token_type_ids and position_ids, as far
 * as the model has them. Two texts give two feeds in one sample, unless `joint`. The table is held in memory.
 */
export const openText: OpenSource = async (spec, inputs, context) => {
  const file = resolve(context.baseDir, spec.text ?? '.');
  const names = spec.fields ?? [];
  const unknown = inputs.find((i) => !TEXT_INPUTS.includes(i.name));
  if (unknown)
    fail(
      'DATA_SHAPE',
      `text cannot feed input '${unknown.name}'; it gives ${TEXT_INPUTS.join(', ')}`,
      { tensor: unknown.name },
      'use module',
    );
  if (spec.joint && names.length !== 2) fail('DATA_FORMAT', 'joint needs two fields', { file });
  const rows = /\.(jsonl|ndjson)$/i.test(file) ? await jsonRows(file, names, spec) : await tableRows(file, names, spec);
  const fixed = fixedLength(inputs);
  if (fixed !== undefined && (spec.padTo === 'none' || spec.padTo === 'longest'))
    fail(
      'DATA_SHAPE',
      `the model takes sequences of exactly ${fixed} tokens, so padTo ${spec.padTo} cannot hold`,
      {},
      'leave padTo out',
    );
  const tokenizer = await openTokenizer(resolve(context.baseDir, spec.tokenizer ?? '.'), fixed ?? spec.maxLength);
  const padTo = fixed === undefined ? (spec.padTo ?? 'none') : 'maxLength';
  const padded = padTo === 'maxLength' ? tokenizer.maxLength : 0;
  const name = basename(file);
  const id = (i: number): string => `${name}:${item(rows, i).line}`;
  return {
    kind: 'listed',
    count: rows.length,
    id,
    load: async (i) => {
      const { texts, label, target, line } = item(rows, i);
      const where = { file, line, sample: id(i) };
      const encoded = spec.joint ? [tokenizer.encode(item(texts, 0), texts[1])] : texts.map((t) => tokenizer.encode(t));
      const feeds = encoded.map((tokens) =>
        fitFeed(tokenFeed(tokens, tokenizer.padId, padded, inputs), inputs, where, true),
      );
      return {
        feeds,
        hash: sha256(texts.join('\0')),
        ...(spec.label === undefined ? {} : { label: score(label, spec.label, where) }),
        ...(target === undefined ? {} : { target: { text: target } }),
      };
    },
    ...(padTo === 'longest' ? { padding: { input_ids: tokenizer.padId } } : {}),
    details: {
      fields: names,
      joint: spec.joint ?? false,
      maxLength: tokenizer.maxLength,
      padTo,
      padId: tokenizer.padId,
    },
  };
};

const TEXT_INPUTS: readonly string[] = ['input_ids', 'attention_mask', 'token_type_ids', 'position_ids'];

function tokenFeed({ ids, types }: Tokens, padId: number, padded: number, inputs: readonly ValueInfo[]): Feed {
  const n = Math.max(padded, ids.length);
  const make = (value: (i: number) => number, pad: number): FeedTensor => ({
    dtype: 'int64',
    dims: [1, n],
    data: BigInt64Array.from({ length: n }, (_, i) => BigInt(i < ids.length ? value(i) : pad)),
  });
  const all: Feed = {
    input_ids: make((i) => ids[i]!, padId),
    attention_mask: make(() => 1, 0),
    token_type_ids: make((i) => types[i] ?? 0, 0),
    position_ids: make((i) => i, 0),
  };
  return Object.fromEntries(inputs.map((i) => [i.name, all[i.name]!]));
}

/** Sequence length that the model fixes, if it does. */
function fixedLength(inputs: readonly ValueInfo[]): number | undefined {
  const lengths = inputs.map((i) => i.shape?.[1]);
  return lengths.find((d) => typeof d === 'number');
}

function score(text: string | undefined, field: string, where: Where): number {
  const value = text === undefined || text.trim() === '' ? NaN : Number(text);
  if (!Number.isFinite(value))
    fail(
      'DATA_LABEL',
      `${field} is ${text === undefined ? 'missing' : `'${text.slice(0, 60)}'`} in line ${where.line}; ` +
        'expected a number',
      where,
    );
  return value;
}

async function tableRows(file: string, fields: readonly string[], { label, target }: DataSpec): Promise<Row[]> {
  const table = await readTable(file, true);
  const columns = fields.map((f) => columnOf(table, f, file));
  const labelColumn = label === undefined ? undefined : columnOf(table, label, file);
  const targetColumn = target === undefined ? undefined : columnOf(table, target, file);
  return table.rows.map(({ line, cells }) => ({
    line,
    texts: columns.map((c) => item(cells, c)),
    label: labelColumn === undefined ? undefined : cells[labelColumn],
    target: targetColumn === undefined ? undefined : cells[targetColumn],
  }));
}

async function jsonRows(file: string, fields: readonly string[], { label, target }: DataSpec): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [k, text] of (await readText(file)).split('\n').entries()) {
    if (text.trim() === '') continue;
    const where = { file, line: k + 1 };
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      fail('DATA_FORMAT', `line ${k + 1} of ${file} is not JSON`, where, undefined, cause);
    }
    const row = new Map<string, unknown>(typeof value === 'object' && value !== null ? Object.entries(value) : []);
    const textOf = (f: string): string => {
      const t = row.get(f);
      return typeof t === 'string' ? t : fail('DATA_FORMAT', `line ${k + 1} of ${file} has no text '${f}'`, where);
    };
    const texts = fields.map(textOf);
    const found = label === undefined ? undefined : row.get(label);
    rows.push({
      line: k + 1,
      texts,
      label: typeof found === 'number' || typeof found === 'string' ? String(found) : undefined,
      target: target === undefined ? undefined : textOf(target),
    });
  }
  if (!rows.length) fail('DATA_MISSING', `${file} has no row`, { file });
  return rows;
}
