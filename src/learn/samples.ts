/** What a block is given and has to give: batches of training, cut from what passes through the model. */
import { invariant } from '../base/errors.js';
import { item } from '../base/lists.js';
import type { Feed, FeedTensor, TypedArray } from '../ir/feed.js';
import type { Rng } from '../base/rng.js';
import { permutation } from '../base/rng.js';

/** Feeds of one shape, of which batches are made. */
export interface Shaped {
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** Batches of an epoch, in random order where `rng` is given. */
  batches(rng?: Rng): Generator<Feed>;
  readonly count: number;
}

/** Shapes for each of which a session is opened; feeds of rarer ones are left out. */
const MOST_SHAPES = 6;

/**
 * Batches of `size` rows where axis 0 of every tensor counts samples and all else is alike; else every feed is a batch
 * of its own, the feeds of each shape together, most common shapes first.
 */
export function shapedFeeds(feeds: readonly Feed[], size: number, anyBatch: boolean): Shaped[] {
  const rows = anyBatch ? feeds.flatMap((f) => rowsOf(f) ?? []) : [];
  const tails = new Set(feeds.map((f) => keyOf(f, (dims) => dims.slice(1))));
  if (tails.size === 1 && rows.length === feeds.length) return [rowBatches(feeds, rows, size)];
  const groups = new Map<string, Feed[]>();
  for (const f of feeds) {
    const key = keyOf(f, (dims) => dims);
    const known = groups.get(key);
    if (known) known.push(f);
    else groups.set(key, [f]);
  }
  return [...groups.values()]
    .sort((a, b) => b.length - a.length)
    .slice(0, MOST_SHAPES)
    .map((own) => ({
      shapes: shapesOf(item(own, 0)),
      count: own.length,
      *batches(rng) {
        const order = rng ? permutation(own.length, rng) : own.keys();
        for (const i of order) yield item(own, i);
      },
    }));
}

const keyOf = (f: Feed, part: (dims: readonly number[]) => readonly number[]): string =>
  Object.entries(f)
    .map(([name, t]) => `${name}:${part(t.dims).join('×')}`)
    .sort()
    .join(' ');
const shapesOf = (f: Feed): Record<string, readonly number[]> =>
  Object.fromEntries(Object.entries(f).map(([name, t]) => [name, t.dims]));

function rowsOf(f: Feed): number | undefined {
  const all = new Set(Object.values(f).map((t) => (ArrayBuffer.isView(t.data) ? t.dims[0] : undefined)));
  const [rows] = all;
  return all.size === 1 && rows ? rows : undefined;
}

function rowBatches(feeds: readonly Feed[], rows: readonly number[], wanted: number): Shaped {
  const places = feeds.flatMap((_, f) => Array.from({ length: item(rows, f) }, (_x, row) => ({ f, row })));
  const size = Math.min(wanted, places.length);
  const names = Object.keys(item(feeds, 0));
  const take = (chosen: readonly { readonly f: number; readonly row: number }[]): Feed =>
    Object.fromEntries(
      names.map((name): [string, FeedTensor] => {
        const like = numbers(item(feeds, 0), name);
        const inner = like.data.length / (like.dims[0] ?? 1);
        // of the same kind as what it is filled from
        const data = new (like.data.constructor as new (n: number) => Float32Array)(size * inner);
        chosen.forEach(({ f, row }, i) => {
          // it was given by rowsOf, which takes numbers only
          const from = numbers(item(feeds, f), name).data as Float32Array;
          data.set(from.subarray(row * inner, (row + 1) * inner), i * inner);
        });
        return [name, { dtype: like.dtype, dims: [size, ...like.dims.slice(1)], data }];
      }),
    );
  const count = Math.floor(places.length / size);
  return {
    shapes: Object.fromEntries(names.map((n) => [n, [size, ...numbers(item(feeds, 0), n).dims.slice(1)]])),
    count,
    *batches(rng) {
      const order = rng ? permutation(places.length, rng) : Uint32Array.from(places.keys());
      for (let i = 0; i < count; i++)
        yield take(Array.from(order.subarray(i * size, (i + 1) * size), (at) => item(places, at)));
    },
  };
}

function numbers(f: Feed, name: string): FeedTensor & { readonly data: TypedArray } {
  const t = f[name];
  invariant(t && ArrayBuffer.isView(t.data), `batches are cut from numbers, and '${name}' has none`);
  return { ...t, data: t.data };
}
