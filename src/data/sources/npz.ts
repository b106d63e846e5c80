import { field, item } from '../../base/lists.js';
import { basename, resolve } from 'node:path';
import { unzipSync } from 'fflate';
import { fail, QuantError } from '../../base/errors.js';
import type { Feed, FeedTensor, ValueInfo } from '../../ir/feed.js';
import { fitFeed } from '../feeds.js';
import { expandPaths, fileSize, kindOf, readBytes, sha256 } from '../files.js';
import { parseNpy } from '../npy.js';
import type { OpenSource } from '../source.js';
import type { DataSpec } from '../spec.js';
import { zipEntries } from '../zip.js';
import { arrayRows, checkedCount, labelsOf, locate, ONLY_TARGET } from './npy.js';

/** An archive of so many bytes is read to look at it. */
const SMALL = 2 ** 20;
/** Largest sum of inflated sizes of one archive, in bytes. */
const INFLATED_LIMIT = 2 ** 31 - 1;

/** `npz:` — arrays under the names of the inputs; one file of N samples, or a folder of one-sample files. */
export const openNpz: OpenSource = async (spec, inputs, context) => {
  const path = resolve(context.baseDir, spec.npz ?? '.');
  const folder = !/[*?{]/.test(basename(path)) && (await kindOf(path)) === 'folder';
  const files = await expandPaths(path, context.baseDir, '.npz');
  if (!(spec.batched ?? !folder)) {
    return checkedCount(
      {
        kind: 'listed',
        count: files.length,
        id: (i) => basename(item(files, i)),
        load: async (i) => {
          const where = { file: item(files, i), sample: basename(item(files, i)) };
          const bytes = await readBytes(where.file, where.sample);
          const { feed, label, targets } = splitLabels(readNpz(bytes, where.file), inputs, spec, where.file);
          return {
            feeds: [fitFeed(feed, inputs, where, true)],
            hash: sha256(bytes),
            ...(label ? { label: Number(label.data[0]) } : {}),
            ...(targets ? { target: { tensors: targets } } : {}),
          };
        },
        // of large archives the directory alone is read
        seemsFine: async (i) => {
          const file = item(files, i);
          const names = (await fileSize(file)) > SMALL ? (await zipEntries(file)).map((e) => e.name) : [];
          return names.length > 1 && inputs.every(({ name }) => names.includes(`${name}.npy`));
        },
        details: { files: files.length },
      },
      undefined,
    );
  }
  // One archive is kept open: its arrays are inflated whole, since deflate cannot be read from the middle.
  let open: { part: number; archive: ReturnType<typeof openArchive> } | undefined;
  const archive = (part: number): ReturnType<typeof openArchive> => {
    if (open?.part !== part) open = { part, archive: openArchive(item(files, part), inputs, spec) };
    return open.archive;
  };
  const counts: number[] = [];
  for (let part = 0; part < files.length; part++) counts.push((await archive(part)).count);
  const at = locate(counts);
  const id = (i: number): string => {
    const { part, row } = at.find(i);
    return `${basename(item(files, part))}#${row}`;
  };
  return checkedCount(
    {
      kind: 'listed',
      count: at.total,
      id,
      load: async (i) => {
        const { part, row } = at.find(i);
        const where = { file: item(files, part), sample: id(i) };
        const { arrays, labels, targets } = await archive(part);
        const rows = await Promise.all(arrays.map(async ([name, a]) => ({ name, ...(await a.row(row, where)) })));
        const feed: Feed = Object.fromEntries(rows.map((r) => [r.name, r.tensor]));
        return {
          feeds: [fitFeed(feed, inputs, where, true)],
          hash: sha256(...rows.map((r) => r.bytes)),
          ...labels?.(row),
          ...(targets
            ? {
                target: {
                  tensors: Object.fromEntries(
                    await Promise.all(
                      targets.map(async ([name, t]) => [name, (await t.row(row, where)).tensor] as const),
                    ),
                  ),
                },
              }
            : {}),
        };
      },
      details: { files: files.length },
    },
    undefined,
  );
};

async function openArchive(file: string, inputs: readonly ValueInfo[], spec: DataSpec) {
  const { feed, label, targets: given } = splitLabels(readNpz(await readBytes(file), file), inputs, spec, file);
  const arrays = Object.entries(feed).map(([name, array]) => [name, arrayRows(array, { file, tensor: name })] as const);
  const first = arrays[0];
  if (!first) return fail('DATA_FORMAT', `${file} holds no array`, { file });
  for (const [name, rows] of arrays)
    if (rows.count !== first[1].count)
      fail('DATA_SHAPE', `'${name}' in ${file} has ${rows.count} rows, but '${first[0]}' has ${first[1].count}`, {
        file,
        tensor: name,
      });
  const labels = label ? labelsOf(label, file) : undefined;
  if (labels && labels.count !== first[1].count)
    fail('DATA_LABEL', `'${spec.labels ?? ''}' in ${file} has ${labels.count} labels for ${first[1].count} samples`, {
      file,
    });
  const targets =
    given && Object.entries(given).map(([name, array]) => [name, arrayRows(array, { file, tensor: name })] as const);
  for (const [name, rows] of targets ?? [])
    if (rows.count !== first[1].count)
      fail('DATA_LABEL', `${file} has ${rows.count} targets '${name}' for ${first[1].count} samples`, {
        file,
        tensor: name,
      });
  return { arrays, labels, targets, count: first[1].count };
}

/** Separates labels and targets from the inputs; a single array under another name feeds a single input. */
function splitLabels(
  arrays: Readonly<Record<string, FeedTensor>>,
  inputs: readonly ValueInfo[],
  { labels: labelKey, targets: targetKeys }: DataSpec,
  file: string,
): { feed: Feed; label: FeedTensor | undefined; targets: Feed | undefined } {
  const feed = { ...arrays };
  const take = (key: string, what: string): FeedTensor => {
    const found = Object.hasOwn(arrays, key) ? arrays[key] : undefined;
    if (!found?.data.length)
      return fail('DATA_LABEL', `${file} has no ${what} under '${key}'; it has ${Object.keys(arrays).join(', ')}`, {
        file,
      });
    delete feed[key];
    return found;
  };
  const label = labelKey === undefined ? undefined : take(labelKey, 'labels');
  const targets =
    targetKeys === undefined
      ? undefined
      : Object.fromEntries(
          Object.entries(typeof targetKeys === 'string' ? { [ONLY_TARGET]: targetKeys } : targetKeys).map(
            ([name, key]) => [name, take(key, 'targets')],
          ),
        );
  const [only, ...others] = Object.keys(feed);
  if (only !== undefined && !others.length && inputs.length === 1)
    return { feed: { [item(inputs, 0).name]: field(feed, only) }, label, targets }; // exactly one
  return { feed, label, targets };
}

/**
 * Every array of a .npz archive by name. Each entry is inflated into a buffer of its declared size, so a lying entry
 * cannot expand further; the declared sizes together are limited before anything is inflated.
 * Throws DATA_FORMAT, or DATA_UNSAFE for names that leave the archive and for archives beyond the limit.
 */
export function readNpz(bytes: Uint8Array, file: string, inflatedLimit = INFLATED_LIMIT): Record<string, FeedTensor> {
  const out: Record<string, FeedTensor> = {};
  let total = 0;
  let entries: Record<string, Uint8Array>;
  try {
    entries = unzipSync(bytes, {
      filter: ({ name, originalSize, size }) => {
        if (name.includes('..') || name.startsWith('/') || name.includes('\\') || name.includes('\0'))
          fail('DATA_UNSAFE', `entry '${name}' of ${file} leaves the archive`, { file, tensor: name });
        total += originalSize;
        // Deflate cannot exceed 1032:1; a larger claim is a lie that would allocate memory.
        if (total > inflatedLimit || originalSize > size * 1032 + 1024)
          fail(
            'DATA_UNSAFE',
            `entry '${name}' of ${file} claims ${originalSize} bytes from ${size} (limit ${inflatedLimit} in all)`,
            { file, tensor: name },
            'split the archive',
          );
        if (!name.endsWith('.npy'))
          fail('DATA_FORMAT', `entry '${name}' of ${file} is not a .npy array`, { file, tensor: name });
        return true;
      },
    });
  } catch (cause) {
    if (cause instanceof QuantError) throw cause;
    return fail(
      'DATA_FORMAT',
      `${file} is not an intact .npz archive: ${cause instanceof Error ? cause.message : String(cause)}`,
      { file },
      undefined,
      cause,
    );
  }
  for (const [name, data] of Object.entries(entries)) {
    const key = name.slice(0, -'.npy'.length);
    out[key] = parseNpy(data, { file, tensor: key });
  }
  return out;
}
