import { basename, resolve } from 'node:path';
import { fail } from '../../base/errors.js';
import { item } from '../../base/lists.js';
import { readBytes, sha256 } from '../files.js';
import { isJsonLines, jsonLines } from '../language/rows.js';
import { sequenceFeeder, windowTarget } from '../language/sequence.js';
import { windowsOf, type Window } from '../language/windows.js';
import { parseNpy } from '../npy.js';
import type { OpenSource } from '../source.js';
import type { DataSpec } from '../spec.js';
import { openTokenizer } from '../tokenize.js';
import { paddingOf } from './text.js';

/**
 * `tokens:` — token ids that were made elsewhere: JSON lines of arrays, or of objects that hold one as `input_ids`, or
 * a .npy file of [samples, tokens] or of one long row. Throws DATA_FORMAT.
 */
export const openTokens: OpenSource = async (spec, inputs, context) => {
  const file = resolve(context.baseDir, spec.tokens ?? '.');
  const feeder = sequenceFeeder('tokens', inputs, spec.inputs);
  const limit = feeder.fixed ?? spec.maxLength ?? Infinity;
  const rows = isJsonLines(file) ? await jsonIds(file, spec) : await npyIds(file);
  const tokenizer =
    spec.tokenizer === undefined ? undefined : await openTokenizer(resolve(context.baseDir, spec.tokenizer), undefined);
  const padId = tokenizer?.padId ?? 0;
  const windows: readonly Window[] = spec.pack
    ? windowsOf(rows, spec.pack, undefined)
    : rows.map((ids, text) => ({ text, part: 0, ids: Array.from(ids).slice(0, limit), context: 0 }));
  const name = basename(file);
  const id = (i: number): string => {
    const { text, part } = item(windows, i);
    return `${name}#${text}${spec.pack ? `.${part}` : ''}`;
  };
  const padTo = feeder.fixed === undefined ? (spec.padTo ?? 'none') : 'maxLength';
  const padded = padTo === 'maxLength' ? (feeder.fixed ?? spec.maxLength ?? 0) : 0;
  return {
    kind: 'listed',
    count: windows.length,
    id,
    ...(padTo === 'longest' ? { padding: paddingOf(inputs, padId) } : {}),
    ...(tokenizer ? { vocabulary: tokenizer } : {}),
    load: (i) => {
      const { ids, context: before } = item(windows, i);
      const target = windowTarget(ids, before, padded);
      return Promise.resolve({
        feeds: [feeder.feed({ ids }, padId, padded, { file, sample: id(i) })],
        hash: sha256(Array.from(ids).join()),
        ...(target ? { target } : {}),
      });
    },
    details: { padTo, maxLength: Number.isFinite(limit) ? limit : null, ...(spec.pack ? { pack: spec.pack } : {}) },
  };
};

async function jsonIds(file: string, { fields }: DataSpec): Promise<ArrayLike<number>[]> {
  const key = fields?.[0] ?? 'input_ids';
  const rows: ArrayLike<number>[] = [];
  for await (const { line, value } of jsonLines(file)) {
    const list: unknown = Array.isArray(value) ? value : new Map(Object.entries(value ?? {})).get(key);
    if (!Array.isArray(list) || !list.length || !list.every((v) => Number.isSafeInteger(v) && Number(v) >= 0))
      return fail(
        'DATA_FORMAT',
        `line ${line} of ${file} holds no token ids`,
        { file, line },
        `[15, 27, 4] or {"${key}": [15, 27, 4]}: whole numbers from 0 on`,
      );
    rows.push(list.map(Number));
  }
  if (!rows.length) fail('DATA_MISSING', `${file} has no row`, { file });
  return rows;
}

async function npyIds(file: string): Promise<ArrayLike<number>[]> {
  const { dims, data, dtype } = parseNpy(await readBytes(file), { file });
  const [first = 0, second] = dims;
  if (dims.length < 1 || dims.length > 2 || /float|bool|string/.test(dtype))
    return fail(
      'DATA_FORMAT',
      `${file} holds ${dtype} [${dims.join(', ')}], not token ids`,
      { file },
      'whole numbers of [samples, tokens], or of [tokens]',
    );
  const ids = Array.from(data as ArrayLike<number | bigint>, Number); // no strings, as was checked
  if (!ids.length) fail('DATA_MISSING', `${file} holds no token`, { file });
  const bad = ids.findIndex((v) => !(v >= 0));
  if (bad >= 0) fail('DATA_FORMAT', `${file} holds ${ids[bad]} at ${bad}, which is no token id`, { file });
  if (second === undefined) return [ids];
  return Array.from({ length: first }, (_, r) => ids.slice(r * second, (r + 1) * second));
}
