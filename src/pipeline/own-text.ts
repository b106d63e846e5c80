/** Text that a decoder writes itself, where a recipe names no samples to calibrate with. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { field, filled, item } from '../base/lists.js';
import type { OnEvent } from '../base/events.js';
import { createRng, type Rng } from '../base/rng.js';
import { float16ToNumber } from '../ir/convert.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { openModel } from '../runtime/open.js';

/** A model that continues token ids and keeps keys and values, by the names of exporters. */
export interface Decoder {
  readonly tokens: string;
  readonly mask: string | undefined;
  readonly positions: string | undefined;
  /** Inputs [batch, heads, past, size] and the outputs that are fed to them in the next step. */
  readonly caches: readonly { readonly past: Value; readonly present: string }[];
  readonly logits: string;
  readonly vocabulary: number;
}

/** Undefined where an input or output is not understood. */
export function decoderOf({ graph }: Model): Decoder | undefined {
  const inputs = graph.inputs.filter((v) => !v.data);
  const outputs = new Set(graph.outputs.map((v) => v.name));
  const named = (pattern: RegExp): Value | undefined => inputs.find((v) => pattern.test(v.name));
  const tokens = named(/^(decoder_)?input_ids$/);
  const [mask, positions] = [named(/^(decoder_)?attention_mask$/), named(/^(decoder_)?position_ids$/)];
  const caches = inputs
    .filter((v) => /^past/.test(v.name))
    .map((past) => ({ past, present: past.name.replace(/^past(_key_values)?/, 'present') }));
  const logits = graph.outputs.find((v) => /logits/.test(v.name) && v.shape?.length === 3);
  const vocabulary = logits?.shape?.[2];
  const known = caches.every(
    ({ past, present }) =>
      outputs.has(present) &&
      /^float(16|32)$/.test(past.dtype ?? '') &&
      past.shape?.length === 4 &&
      typeof past.shape[1] === 'number' &&
      typeof past.shape[3] === 'number',
  );
  const ids = [tokens, mask, positions].filter((v) => v !== undefined);
  if (!tokens || !logits || typeof vocabulary !== 'number' || !caches.length || !known) return undefined;
  if (ids.length + caches.length !== inputs.length || ids.some((v) => v.dtype !== 'int64' || v.shape?.length !== 2))
    return undefined;
  return {
    tokens: tokens.name,
    mask: mask?.name,
    positions: positions?.name,
    caches,
    logits: logits.name,
    vocabulary,
  };
}

export interface OwnTextOptions {
  readonly rows: number;
  readonly length: number;
  readonly seed: number;
  readonly threads: number;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Rows of one feed. */
const TOGETHER = 8;

/**
 * Feeds of `rows` sequences of `length` ids with an empty past: each begins with a random id and goes on with ids drawn
 * from what the model expects. What it was trained on is what it tends to write, and random ids, of which its inputs
 * look nothing like it, calibrate worse than nothing.
 * source: data-free distillation of LLM-QAT, https://arxiv.org/abs/2305.17888
 */
export async function ownText(model: Model, d: Decoder, o: OwnTextOptions): Promise<Feed[]> {
  const session = await openModel(model, { threads: o.threads, spinning: false, label: 'the model that writes text' });
  const rng = createRng(o.seed, 'own-text');
  const feeds: Feed[] = [];
  try {
    for (let first = 0; first < o.rows; first += TOGETHER) {
      const rows = Math.min(TOGETHER, o.rows - first);
      const ids = Array.from({ length: rows }, () => [rng.int(d.vocabulary)]);
      let past = emptyCaches(d, rows);
      for (let at = 0; at + 1 < o.length; at++) {
        const last = ids.map((row) => item(row, at));
        const outputs = await session.run({ ...past, ...idsFeed(d, [last], at, rows) });
        past = Object.fromEntries(d.caches.map((c) => [c.past.name, field(outputs, c.present)]));
        drawn(field(outputs, d.logits), d.vocabulary, rng).forEach((id, r) => item(ids, r).push(id));
        o.signal?.throwIfAborted();
        await nextTurn();
      }
      const columns = Array.from({ length: o.length }, (_, t) => ids.map((row) => item(row, t)));
      feeds.push({ ...emptyCaches(d, rows), ...idsFeed(d, columns, 0, rows) });
      const note = 'the model writes text to calibrate with';
      o.onEvent?.({ type: 'progress', stage: 'weights', done: first + rows, total: o.rows, note });
    }
  } finally {
    await session.close();
  }
  return feeds;
}

function emptyCaches(d: Decoder, rows: number): Record<string, FeedTensor> {
  return Object.fromEntries(
    d.caches.map(({ past: { name, dtype, shape } }): [string, FeedTensor] => {
      const dims = [rows, Number(shape?.[1]), 0, Number(shape?.[3])]; // decoderOf found numbers
      return dtype === 'float16'
        ? [name, { dtype, dims, data: new Uint16Array(0) }]
        : [name, { dtype: 'float32', dims, data: new Float32Array(0) }];
    }),
  );
}

/** Ids by place and row, of tokens that follow `past` others. */
function idsFeed(d: Decoder, columns: readonly (readonly number[])[], past: number, rows: number): Feed {
  const long = (width: number, at: (row: number, column: number) => number): FeedTensor => ({
    dtype: 'int64',
    dims: [rows, width],
    data: BigInt64Array.from({ length: rows * width }, (_, i) => BigInt(at(Math.floor(i / width), i % width))),
  });
  const n = columns.length;
  return {
    [d.tokens]: long(n, (r, t) => item(item(columns, t), r)),
    ...(d.mask ? { [d.mask]: long(past + n, () => 1) } : {}),
    ...(d.positions ? { [d.positions]: long(n, (_r, t) => past + t) } : {}),
  };
}

/** For each row an id drawn from the softmax of its last logits. */
function drawn({ dims, data, dtype }: FeedTensor, vocabulary: number, rng: Rng): number[] {
  const places = filled(dims, 1);
  const given = data as Float32Array | Uint16Array; // logits are float32 or float16
  const weights = new Float64Array(vocabulary);
  return Array.from({ length: filled(dims, 0) }, (_, r) => {
    const from = (r * places + places - 1) * vocabulary;
    let most = -Infinity;
    for (let v = 0; v < vocabulary; v++) {
      const x = given[from + v] ?? NaN;
      weights[v] = dtype === 'float16' ? float16ToNumber(x) : x;
      most = Math.max(most, item(weights, v));
    }
    let sum = 0;
    for (let v = 0; v < vocabulary; v++) {
      const p = Math.exp(item(weights, v) - most);
      weights[v] = p;
      sum += p >= 0 ? p : 0;
    }
    let left = rng.next() * sum;
    for (let v = 0; v < vocabulary; v++) {
      const p = item(weights, v);
      left -= p >= 0 ? p : 0;
      if (left < 0) return v;
    }
    return vocabulary - 1;
  });
}
