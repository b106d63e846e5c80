import { item } from '../../base/lists.js';
import { basename, join, resolve } from 'node:path';
import { fail, type Where } from '../../base/errors.js';
import type { Feed, FeedTensor, Target, ValueInfo } from '../../ir/feed.js';
import { fitFeed, mayFit } from '../feeds.js';
import { fileSize, kindOf, listFolder, readBytes, readRange, sha256 } from '../files.js';
import { decodeNpy, NPY_HEADER_LIMIT, parseNpy, parseNpyHeader, type NpyHeader } from '../npy.js';
import type { ListedSource, OpenSource } from '../source.js';
import type { DataSpec } from '../spec.js';

/** Rows of one array, along its first axis, read on demand. */
export interface Rows {
  readonly count: number;
  row(index: number, where: Where): Promise<{ tensor: FeedTensor; bytes: Uint8Array }>;
}

/** `npy:` — one file of N samples, one such file per input, or a folder of one-sample files. */
export const openNpy: OpenSource = async (spec, inputs, context) => {
  const given = spec.npy ?? '.';
  const labels = await openLabels(spec.labels, context.baseDir);
  const targets = await openTargets(spec.targets, context.baseDir);
  if (typeof given === 'string' && (await kindOf(resolve(context.baseDir, given))) === 'folder') {
    return npyFolder(
      resolve(context.baseDir, given),
      singleInput(inputs, spec.input),
      inputs,
      spec.batched ?? false,
      labels,
      targets,
    );
  }
  const files = typeof given === 'string' ? { [singleInput(inputs, spec.input)]: given } : given;
  const paths = Object.entries(files).map(([name, file]) => [name, resolve(context.baseDir, file)] as const);
  if (spec.batched === false) {
    return checkedCount(
      {
        kind: 'listed',
        count: 1,
        id: () => basename(item(paths, 0)[1]),
        load: async () => {
          const parts = await Promise.all(
            paths.map(async ([name, path]) => ({ name, path, bytes: await readBytes(path) })),
          );
          const feed = Object.fromEntries(parts.map((p) => [p.name, parseNpy(p.bytes, { file: p.path })]));
          return {
            feeds: [fitFeed(feed, inputs, { file: item(paths, 0)[1] }, true)],
            hash: sha256(...parts.map((p) => p.bytes)),
            ...labels?.(0),
            ...(await targets?.of(0)),
          };
        },
        details: { files },
      },
      labels,
      targets,
    );
  }
  const arrays = await Promise.all(paths.map(async ([name, path]) => ({ name, path, rows: await openRows(path) })));
  const first = arrays[0];
  if (!first) return fail('DATA_MISSING', 'npy names no file', {}, 'npy: { input: file.npy }');
  for (const a of arrays)
    if (a.rows.count !== first.rows.count)
      fail('DATA_SHAPE', `${a.path} has ${a.rows.count} rows, but ${first.path} has ${first.rows.count}`, {
        file: a.path,
        tensor: a.name,
      });
  const name = basename(first.path);
  return checkedCount(
    {
      kind: 'listed',
      count: first.rows.count,
      id: (i) => `${name}#${i}`,
      load: async (i) => {
        const where = { file: first.path, sample: `${name}#${i}` };
        const rows = await Promise.all(
          arrays.map(async (a) => ({ name: a.name, ...(await a.rows.row(i, { ...where, file: a.path })) })),
        );
        const feed: Feed = Object.fromEntries(rows.map((r) => [r.name, r.tensor]));
        return {
          feeds: [fitFeed(feed, inputs, where, true)],
          hash: sha256(...rows.map((r) => r.bytes)),
          ...labels?.(i),
          ...(await targets?.of(i)),
        };
      },
      details: { files },
    },
    labels,
    targets,
  );
};

async function npyFolder(
  folder: string,
  input: string,
  inputs: readonly ValueInfo[],
  batched: boolean,
  labels: Labels | undefined,
  targets: Targets | undefined,
): Promise<ListedSource> {
  const names = (await listFolder(folder)).files.filter((f) => f.toLowerCase().endsWith('.npy'));
  if (!names.length) fail('DATA_MISSING', `${folder} holds no .npy file`, { file: folder });
  if (!batched) {
    return checkedCount(
      {
        kind: 'listed',
        count: names.length,
        id: (i) => item(names, i),
        load: async (i) => {
          const where = { file: join(folder, item(names, i)), sample: item(names, i) };
          const bytes = await readBytes(where.file, where.sample);
          return {
            feeds: [fitFeed({ [input]: parseNpy(bytes, where) }, inputs, where, true)],
            hash: sha256(bytes),
            ...labels?.(i),
            ...(await targets?.of(i)),
          };
        },
        seemsFine: async (i) => {
          const where = { file: join(folder, item(names, i)), sample: item(names, i) };
          const { dtype, shape } = await readHeader(where.file, where);
          return inputs.length === 1 && mayFit(dtype, shape, item(inputs, 0), where); // there is one
        },
        details: { files: names.length },
      },
      labels,
      targets,
    );
  }
  const parts = await Promise.all(names.map((n) => openRows(join(folder, n))));
  const at = locate(parts.map((p) => p.count));
  const id = (i: number): string => {
    const { part, row } = at.find(i);
    return `${item(names, part)}#${row}`;
  };
  return checkedCount(
    {
      kind: 'listed',
      count: at.total,
      id,
      load: async (i) => {
        const { part, row } = at.find(i);
        const where = { file: join(folder, item(names, part)), sample: id(i) };
        const { tensor, bytes } = await item(parts, part).row(row, where);
        return {
          feeds: [fitFeed({ [input]: tensor }, inputs, where, true)],
          hash: sha256(bytes),
          ...labels?.(i),
          ...(await targets?.of(i)),
        };
      },
      details: { files: names.length },
    },
    labels,
    targets,
  );
}

/** Part and row of a running number over parts of these sizes. */
export function locate(counts: readonly number[]): { total: number; find(i: number): { part: number; row: number } } {
  const ends: number[] = [];
  let total = 0;
  for (const n of counts) ends.push((total += n));
  return {
    total,
    find: (i) => {
      let low = 0;
      let high = ends.length - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (item(ends, middle) > i) high = middle;
        else low = middle + 1;
      }
      return { part: low, row: i - (item(ends, low) - item(counts, low)) };
    },
  };
}

/** What the header of a file says. Throws DATA_MISSING and DATA_FORMAT. */
async function readHeader(path: string, where: Where): Promise<NpyHeader> {
  const size = await fileSize(path);
  return parseNpyHeader(await readRange(path, 0, Math.min(size, NPY_HEADER_LIMIT), where.sample), size, where);
}

/**
 * Rows of a .npy file; only the asked bytes are read, unless the file is in Fortran order. Throws DATA_FORMAT,
 * DATA_MISSING.
 */
export async function openRows(path: string): Promise<Rows> {
  if ((await kindOf(path)) !== 'file')
    fail('DATA_FORMAT', `${path} is a folder where a .npy file is expected`, { file: path });
  const header = await readHeader(path, { file: path });
  if (!header.shape.length)
    fail(
      'DATA_SHAPE',
      `${path} holds a single number, so it has no first axis of samples`,
      { file: path },
      'set batched: false',
    );
  if (header.fortranOrder) return arrayRows(parseNpy(await readBytes(path), { file: path }));
  const dims = header.shape.slice(1);
  const rowBytes = dims.reduce((n, d) => n * d, header.itemBytes);
  return {
    count: item(header.shape, 0),
    row: async (i, where) => {
      const bytes = await readRange(path, header.offset + i * rowBytes, rowBytes, where.sample);
      return { tensor: decodeNpy(bytes, header, dims), bytes };
    },
  };
}

/** Rows of an array in memory. Throws DATA_SHAPE for a scalar. */
export function arrayRows(array: FeedTensor, where: Where = {}): Rows {
  const { data } = array;
  if (!array.dims.length || !ArrayBuffer.isView(data))
    return fail('DATA_SHAPE', 'a single number has no first axis of samples', where, 'set batched: false');
  const dims = array.dims.slice(1);
  const n = dims.reduce((m, d) => m * d, 1);
  return {
    count: item(array.dims, 0),
    row: async (i) => {
      const part = data.slice(i * n, (i + 1) * n);
      return {
        tensor: { dtype: array.dtype, dims, data: part },
        bytes: new Uint8Array(part.buffer, part.byteOffset, part.byteLength),
      };
    },
  };
}

/** The label of each sample, by its running number. */
export type Labels = ((index: number) => { readonly label: number }) & {
  readonly count: number;
  readonly file: string;
};

/** Labels of a .npy file of one number per sample. */
async function openLabels(file: string | undefined, baseDir: string): Promise<Labels | undefined> {
  if (file === undefined) return undefined;
  const path = resolve(baseDir, file);
  return labelsOf(parseNpy(await readBytes(path), { file: path }), path);
}
/** Throws DATA_LABEL where the array is not one finite number per sample. */
export function labelsOf(array: FeedTensor, file: string): Labels {
  const values = Array.from(array.data, Number);
  if (array.dims.length < 1 || values.length !== array.dims[0])
    fail('DATA_LABEL', `labels in ${file} have shape [${array.dims.join(',')}]; expected one number per sample`, {
      file,
    });
  const bad = values.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0) fail('DATA_LABEL', `label ${bad} in ${file} is ${values[bad]}`, { file, sample: String(bad) });
  return Object.assign((i: number) => ({ label: item(values, i) }), { count: values.length, file });
}

/** Target tensors of each sample, by its running number. */
export interface Targets {
  readonly count: number;
  readonly file: string;
  of(index: number): Promise<{ readonly target: Target }>;
}

/** Name of target tensors that the spec gives no name: metrics take the only one. */
export const ONLY_TARGET = 'target';

/**
 * Target tensors of .npy files of a row per sample. Throws DATA_LABEL where the files disagree on the number of
 * samples.
 */
async function openTargets(given: DataSpec['targets'], baseDir: string): Promise<Targets | undefined> {
  if (given === undefined) return undefined;
  const files = Object.entries(typeof given === 'string' ? { [ONLY_TARGET]: given } : given);
  const opened = await Promise.all(
    files.map(async ([name, file]) => ({
      name,
      file: resolve(baseDir, file),
      rows: await openRows(resolve(baseDir, file)),
    })),
  );
  const [first] = opened;
  if (!first) return fail('DATA_LABEL', 'targets names no file', {}, 'targets: file.npy, or { output: file.npy }');
  const other = opened.find((o) => o.rows.count !== first.rows.count);
  if (other)
    fail('DATA_LABEL', `${other.file} has ${other.rows.count} targets, but ${first.file} has ${first.rows.count}`, {
      file: other.file,
    });
  return {
    count: first.rows.count,
    file: first.file,
    of: async (i) => {
      const rows = await Promise.all(
        opened.map(async (o) => [o.name, (await o.rows.row(i, { file: o.file, sample: String(i) })).tensor] as const),
      );
      return { target: { tensors: Object.fromEntries(rows) } };
    },
  };
}

export function checkedCount(source: ListedSource, labels: Labels | undefined, targets?: Targets): ListedSource {
  if (!source.count) fail('DATA_MISSING', 'the data hold no sample (first axis is 0)');
  if (labels && labels.count !== source.count)
    fail('DATA_LABEL', `${labels.file} has ${labels.count} labels for ${source.count} samples`, { file: labels.file });
  if (targets && targets.count !== source.count)
    fail('DATA_LABEL', `${targets.file} has ${targets.count} targets for ${source.count} samples`, {
      file: targets.file,
    });
  return source;
}
/** Name of the input that a source of one array feeds. Throws DATA_SHAPE. */
export function singleInput(inputs: readonly ValueInfo[], name: string | undefined): string {
  if (name !== undefined) return name;
  if (inputs.length !== 1)
    fail(
      'DATA_SHAPE',
      `the model has ${inputs.length} inputs (${inputs.map((i) => i.name).join(', ')}), so the data must say ` +
        'which it feeds',
      {},
      'npy: { input: file }, or npz',
    );
  return item(inputs, 0).name;
}
