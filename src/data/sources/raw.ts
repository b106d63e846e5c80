import { item } from '../../base/lists.js';
import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fail } from '../../base/errors.js';
import { byteLength } from '../../ir/dtype.js';
import { fitFeed } from '../feeds.js';
import { kindOf, listFolder, readRange, sha256 } from '../files.js';
import { decodeNpy } from '../npy.js';
import type { OpenSource } from '../source.js';
import { checkedCount, locate, singleInput } from './npy.js';

/** `raw:` — little-endian numbers without a header; each file holds a whole number of samples of `shape`. */
export const openRaw: OpenSource = async (spec, inputs, context) => {
  const root = resolve(context.baseDir, spec.raw ?? '.');
  const { shape, dtype } = spec;
  if (!shape || !dtype) return fail('DATA_SHAPE', 'raw data need shape and dtype');
  const folder = (await kindOf(root)) === 'folder';
  const files = folder ? (await listFolder(root)).files.map((f) => join(root, f)) : [root];
  const elements = shape.reduce((n, d) => n * d, 1);
  const bytesEach = byteLength(dtype, elements);
  const counts: number[] = [];
  for (const file of files) {
    const { size } = await stat(file).catch(() => fail('DATA_MISSING', `${file} does not exist`, { file }));
    if (!size || size % bytesEach)
      fail(
        'DATA_FORMAT',
        `${file} has ${size} bytes, which is not a whole number of samples of ${bytesEach} bytes ` +
          `([${shape.join(',')}] ${dtype})`,
        { file },
        'check shape and dtype',
      );
    if (spec.batched === false && size !== bytesEach)
      fail(
        'DATA_FORMAT',
        `${file} has ${size} bytes, but one sample has ${bytesEach}`,
        { file },
        'leave batched out if files hold several samples',
      );
    counts.push(size / bytesEach);
  }
  const at = locate(counts);
  const input = singleInput(inputs, spec.input);
  const id = (i: number): string => {
    const { part, row } = at.find(i);
    const name = basename(item(files, part));
    return counts[part] === 1 ? name : `${name}#${row}`;
  };
  return checkedCount(
    {
      kind: 'listed',
      count: at.total,
      id,
      load: async (i) => {
        const { part, row } = at.find(i);
        const where = { file: item(files, part), sample: id(i) };
        const bytes = await readRange(where.file, row * bytesEach, bytesEach, where.sample);
        const tensor = decodeNpy(bytes, { dtype, itemBytes: bytesEach / elements, bigEndian: false }, shape);
        return { feeds: [fitFeed({ [input]: tensor }, inputs, where, true)], hash: sha256(bytes) };
      },
      details: { files: files.length, shape, dtype },
    },
    undefined,
  );
};
