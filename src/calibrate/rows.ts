/** Rows of batches and of tapped tensors: which of them hold samples. */
import { item } from '../base/lists.js';
import type { Batch } from '../data/batch.js';
import type { Feed, FeedTensor, TypedArray } from '../ir/feed.js';
import type { Model } from '../ir/model.js';

/** Rows of feed k: how many there are, and how many hold samples. */
export interface RowCount {
  readonly total: number;
  readonly real: number;
}

export function rowsOf(batch: Batch, k: number): RowCount {
  const first = Object.values(item(batch.feeds, k))[0]?.dims[0] ?? 1;
  return { total: first, real: Math.min(batch.realRows[k] ?? first, first) };
}

/**
 * How much of axis 0 of a tensor belongs to samples. Axis 0 counts rows where it is a multiple of them ([rows · heads,
 * …]); otherwise all of it is taken: padding repeats the last row, so that the extremes are right either way.
 */
export function realLength(length: number, rows: RowCount): number {
  return rows.total > rows.real && length % rows.total === 0 ? (length / rows.total) * rows.real : length;
}

/** Whether a model takes batches of any size: none of its inputs fixes axis 0. */
export const takesAnyBatch = ({ graph }: Model): boolean =>
  graph.inputs.every((v) => v.data !== undefined || typeof v.shape?.[0] !== 'number');

/**
 * The batch with only the given samples, in the same shapes: freed rows repeat the last one that stays, as padding
 * does, unless `shrink` says that the model takes fewer rows.
 */
export function keepSamples(batch: Batch, keep: readonly number[], shrink: boolean): Batch {
  if (keep.length === batch.samples.length) return batch;
  if (!keep.length) return { feeds: [], samples: [], rows: [], realRows: [] };
  const feeds: Feed[] = [];
  const realRows: number[] = [];
  const moved = keep.map((s) => ({
    sample: item(batch.samples, s),
    start: [] as number[],
    length: item(batch.rows, s).length,
  }));
  for (let k = 0; k < batch.feeds.length; k++) {
    const { total } = rowsOf(batch, k);
    const rows = keep.flatMap((s) => {
      const row = item(batch.rows, s);
      return Array.from({ length: row.length[k]! }, (_, i) => row.start[k]! + i);
    });
    let next = 0;
    for (const row of moved) {
      row.start.push(next);
      next += row.length[k]!;
    }
    realRows.push(rows.length);
    while (!shrink && rows.length < total) rows.push(rows[rows.length - 1]!);
    feeds.push(
      Object.fromEntries(
        Object.entries(item(batch.feeds, k)).map(([name, t]) => [name, t.dims[0] === total ? takeRows(t, rows) : t]),
      ),
    );
  }
  return { feeds, realRows, samples: keep.map((s) => item(batch.samples, s)), rows: moved };
}

function takeRows(t: FeedTensor, rows: readonly number[]): FeedTensor {
  const dims = [rows.length, ...t.dims.slice(1)];
  const each = dims.slice(1).reduce((n, d) => n * d, 1);
  if (!ArrayBuffer.isView(t.data)) {
    const data = t.data;
    return { ...t, dims, data: rows.flatMap((r) => data.slice(r * each, (r + 1) * each)) };
  }
  const source = t.data as Float32Array; // any typed array: only subarray and set are used, on two of the same kind
  const Type = source.constructor as new (n: number) => Float32Array;
  const data = new Type(rows.length * each);
  rows.forEach((r, i) => {
    data.set(source.subarray(r * each, (r + 1) * each), i * each);
  });
  return { ...t, dims, data: data as TypedArray };
}
