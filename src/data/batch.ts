import { field, item } from '../base/lists.js';
import { fail } from '../base/errors.js';
import type { Feed, FeedTensor, Sample, TypedArray, ValueInfo } from '../ir/feed.js';
import { sharedInputs } from './language/roles.js';

/**
 * Rows of one sample within a batch: feed k of the sample lies at rows [start[k], start[k] + length[k]) of the feed.
 */
export interface BatchRow {
  readonly sample: Sample;
  readonly start: readonly number[];
  readonly length: readonly number[];
}
export interface Batch {
  /** One stacked feed per feed of a sample: two for sentence pairs. */
  readonly feeds: readonly Feed[];
  readonly samples: readonly Sample[];
  readonly rows: readonly BatchRow[];
  /** Rows that hold samples, per feed; the rest, if any, repeats the last row to fill a fixed batch. */
  readonly realRows: readonly number[];
}
export interface BatchOptions {
  /** Most samples in a batch. */
  readonly size: number;
  readonly inputs: readonly ValueInfo[];
  /** Batch size that the model fixes. Default: read from `inputs`. */
  readonly fixedBatch?: number;
  /**
   * Dataset.padding: stacks unequal lengths by filling the end of axis 1. Without it, only equal shapes are stacked.
   */
  readonly padding?: Readonly<Record<string, number>> | undefined;
  /** What the model makes of a sample, of which a batch takes at most {@link MOST_BYTES}. Default: few. */
  readonly outputs?: readonly ValueInfo[] | undefined;
}

/** Bytes that the outputs for one batch may take: logits of large vocabularies. */
export const MOST_BYTES = 192 * 2 ** 20;

/** About how many bytes outputs take for one sample: sizes by the names that inputs give them. */
function bytesFor(
  outputs: readonly ValueInfo[],
  inputs: readonly ValueInfo[],
  { feeds }: Pick<Sample, 'feeds'>,
): number {
  const sizes = new Map<string, number>();
  const [feed = {}] = feeds;
  for (const { name, shape } of inputs)
    shape?.forEach((d, axis) => {
      if (typeof d === 'string' && axis > 0) sizes.set(d, Math.max(sizes.get(d) ?? 0, feed[name]?.dims[axis] ?? 1));
    });
  let bytes = 0;
  for (const { shape = [] } of outputs)
    bytes += shape
      .slice(1)
      .reduce<number>((n, d) => n * (typeof d === 'number' ? d : d === null ? 1 : (sizes.get(d) ?? 1)), 4);
  return bytes * feeds.length;
}

/** Shapes that wait to be filled at once; beyond it the fullest goes out, so that memory stays flat. */
const OPEN_BUCKETS = 16;

/**
 * Stacks samples along axis 0, up to `size` of them. Samples of different shapes wait in a few buckets, so batches are
 * deterministic but not strictly in order; `rows` tells who is where. A model with fixed batch 1 gets one sample at a
 * time, one with fixed batch N gets N rows. Feeds whose axis 0 is not 1 are whole batches and pass alone.
 */
export async function* batches(
  samples: AsyncIterable<Sample> | Iterable<Sample>,
  options: BatchOptions,
): AsyncGenerator<Batch> {
  const fixed = options.fixedBatch ?? fixedBatchOf(options.inputs);
  const size = Math.max(1, fixed ?? options.size);
  const shared = sharedInputs(options.inputs);
  const buckets = new Map<string, Sample[]>();
  for await (const sample of samples) {
    const key = shapeKey(sample, options.padding !== undefined, shared);
    if (key === undefined || !options.inputs.length) {
      yield stack([sample], key === undefined ? undefined : fixed, options.padding, shared);
      continue;
    }
    const bucket = buckets.get(key);
    if (bucket) bucket.push(sample);
    else buckets.set(key, [sample]);
    const most = options.outputs
      ? Math.floor(MOST_BYTES / bytesFor(options.outputs, options.inputs, sample))
      : Infinity;
    if ((bucket?.length ?? 1) >= Math.min(size, fixed ? Infinity : most)) {
      yield stack(bucket ?? [sample], fixed, options.padding, shared);
      buckets.delete(key);
    } else if (buckets.size > OPEN_BUCKETS) {
      const fullest = [...buckets].reduce((best, entry) => (entry[1].length > best[1].length ? entry : best));
      yield stack(fullest[1], fixed, options.padding, shared);
      buckets.delete(fullest[0]);
    }
  }
  for (const bucket of buckets.values()) yield stack(bucket, fixed, options.padding, shared);
}

/** The batch size that all inputs fix alike, or undefined. Inputs of rank 0 or with other first axes (states) fix 1. */
export function fixedBatchOf(inputs: readonly ValueInfo[]): number | undefined {
  const shared = sharedInputs(inputs);
  const own = inputs.filter((i) => !shared.has(i.name));
  const first = own.map((i) => (i.shape?.length ? i.shape[0] : i.shape ? 1 : null));
  const fixed = first.filter((d): d is number => typeof d === 'number');
  if (!fixed.length) return undefined;
  // A fixed first axis beside a dynamic or a different one is not a batch axis, so nothing can be stacked.
  return fixed.length === first.length && fixed.every((d) => d === fixed[0]) ? fixed[0] : 1;
}

/** Equal keys stack. Undefined where a tensor is a whole batch or not stackable. */
function shapeKey(sample: Sample, padded: boolean, shared: ReadonlySet<string>): string | undefined {
  const parts: string[] = [];
  for (const feed of sample.feeds) {
    for (const [name, t] of Object.entries(feed)) {
      if ((t.dims[0] !== 1 && !shared.has(name)) || !ArrayBuffer.isView(t.data)) return undefined;
      if (padded && shared.has(name)) continue;
      parts.push(`${name}:${t.dtype}:${(padded ? ['*', ...t.dims.slice(2)] : t.dims).join(',')}`);
    }
  }
  return parts.join(';');
}

function stack(
  samples: readonly Sample[],
  fixed: number | undefined,
  padding: BatchOptions['padding'],
  shared: ReadonlySet<string>,
): Batch {
  const first = item(samples, 0);
  const whole = samples.length === 1 && fixed === undefined;
  const rowsOf = (s: Sample): number[] => s.feeds.map((f) => Object.values(f)[0]?.dims[0] ?? 1);
  const realRows = whole ? rowsOf(first) : first.feeds.map(() => samples.length);
  const total = Math.max(samples.length, fixed ?? 0);
  const feeds = whole
    ? first.feeds
    : first.feeds.map((feed, k) =>
        Object.fromEntries(
          Object.keys(feed).map((name) => [
            name,
            shared.has(name)
              ? longest(samples.map((s) => field(item(s.feeds, k), name)))
              : stackTensor(
                  samples.map((s) => field(item(s.feeds, k), name)),
                  total,
                  padding === undefined ? undefined : (padding[name] ?? 0),
                  name,
                ),
          ]),
        ),
      );
  const rows = samples.map((sample, i) => ({
    sample,
    start: sample.feeds.map(() => i),
    length: whole ? realRows : sample.feeds.map(() => 1),
  }));
  return { feeds, samples, rows, realRows };
}

/** Of a value that all samples share, that of the longest sequence. */
const longest = (tensors: readonly FeedTensor[]): FeedTensor =>
  tensors.reduce((best, t) => (t.data.length > best.data.length ? t : best));

/** [1, …] tensors under each other, [total, …]; rows beyond the tensors repeat the last. */
function stackTensor(
  tensors: readonly FeedTensor[],
  total: number,
  fill: number | undefined,
  name: string,
): FeedTensor {
  const first = item(tensors, 0);
  if (tensors.length === 1 && total === 1) return first;
  const dims = [total, ...first.dims.slice(1)];
  if (fill !== undefined && dims.length > 1) dims[1] = Math.max(...tensors.map((t) => t.dims[1]!));
  const each = dims.slice(1).reduce((n, d) => n * d, 1);
  const like = first.data;
  if (!ArrayBuffer.isView(like)) return fail('DATA_SHAPE', `strings of '${name}' cannot be stacked`, { tensor: name });
  const Type = like.constructor as new (n: number) => TypedArray; // every typed array's constructor takes a length
  const data = new Type(total * each);
  if (fill) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data.fill(BigInt(fill));
    else data.fill(fill);
  }
  for (let row = 0; row < total; row++) {
    const source = item(tensors, Math.min(row, tensors.length - 1)).data;
    if (data instanceof BigInt64Array || data instanceof BigUint64Array)
      data.set(source as BigInt64Array, row * each); // one dtype per key
    else data.set(source as Float32Array, row * each); // any number array; one dtype per key
  }
  return { dtype: first.dtype, dims, data };
}

/** The feeds of batches, one after the other. */
export async function* feedsOf(batches: AsyncIterable<Batch>): AsyncGenerator<Feed> {
  for await (const { feeds } of batches) yield* feeds;
}

/** A list where what is read one after the other is wanted. */
export async function* inTurn<T>(list: readonly T[]): AsyncGenerator<T> {
  yield* list;
  await Promise.resolve();
}
