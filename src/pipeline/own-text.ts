/** Text that a decoder writes itself, where a recipe names no samples to calibrate with. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { field, filled, item } from '../base/lists.js';
import type { OnEvent } from '../base/events.js';
import { createRng, type Rng } from '../base/rng.js';
import { rolesOf, type Role, type Roles } from '../data/language/roles.js';
import { cachePairs, idsFeed, logitsOf, whyNotGenerated } from '../evaluate/generate.js';
import { float16ToNumber } from '../ir/convert.js';
import type { Feed, FeedTensor, ValueInfo } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { openModel } from '../runtime/open.js';
import { fedInputs } from './inputs.js';

/** A model that continues token ids and keeps keys and values. */
export interface Decoder {
  readonly inputs: readonly ValueInfo[];
  readonly roles: Roles;
  /** The outputs that are fed to inputs of the past in the next step, by input. */
  readonly caches: ReadonlyMap<string, string>;
  readonly logits: string;
  readonly vocabulary: number;
}

/** What an encoder would have to give. */
const FOREIGN: ReadonlySet<Role> = new Set<Role>(['embeddings', 'encoder-states', 'encoder-mask', 'past-crossed']);

/** Undefined where an input or output is not understood. */
export function decoderOf(model: Model): Decoder | undefined {
  const inputs = fedInputs(model);
  const outputs = model.graph.outputs.map((v): ValueInfo => ({ name: v.name, dtype: v.dtype, shape: v.shape }));
  const roles = rolesOf(inputs);
  const caches = cachePairs(inputs, outputs);
  const logits = logitsOf(outputs);
  const vocabulary = logits?.shape?.[2];
  const known = inputs.every(({ name }) => roles.has(name)) && ![...roles.values()].some((r) => FOREIGN.has(r));
  if (!known || !caches.size || whyNotGenerated(inputs, outputs) !== undefined) return undefined;
  return logits && typeof vocabulary === 'number'
    ? { inputs, roles, caches, logits: logits.name, vocabulary }
    : undefined;
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
      let past: Feed = {};
      for (let at = 0; at + 1 < o.length; at++) {
        const last = ids.map((row) => [item(row, at)]);
        const outputs = await session.run({ ...idsFeed(d.inputs, d.roles, last, at), ...past });
        past = Object.fromEntries([...d.caches].map(([input, output]) => [input, field(outputs, output)]));
        drawn(field(outputs, d.logits), d.vocabulary, rng).forEach((id, r) => item(ids, r).push(id));
        o.signal?.throwIfAborted();
        await nextTurn();
      }
      feeds.push(idsFeed(d.inputs, d.roles, ids, 0));
      const note = 'the model writes text to calibrate with';
      o.onEvent?.({ type: 'progress', stage: 'weights', done: first + rows, total: o.rows, note });
    }
  } finally {
    await session.close();
  }
  return feeds;
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
