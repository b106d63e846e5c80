/** Scales of a quantized cache of keys and values, from what the float model keeps of calibration samples. */
import { field, item } from '../base/lists.js';
import { fail } from '../base/errors.js';
import { feedsOf, inTurn } from '../data/batch.js';
import { cachesOf, type Cache, type CacheForm } from '../formats/kv-cache.js';
import type { FeedTensor } from '../ir/feed.js';
import { openModel } from '../runtime/open.js';
import { MAGIC } from '../scheme/rounding.js';
import { calibrationBatches, type Surroundings } from './adjust.js';
import { decoderOf, ownText } from './own-text.js';
import type { RefinedVariant } from './variant/types.js';

/** Tokens that scales are searched on; beyond them only the extremes count. */
const MOST_TOKENS = 4096;
/** What a decoder writes where the recipe names no data. */
const OWN_TEXT = { rows: 16, length: 128 };
/** Narrower ranges that are tried for a scale of 4 bits, down to this share of the widest. */
const [STEPS, NARROWEST] = [40, 0.5];

/**
 * As given where the recipe keeps the cache in float. Throws MODEL_UNSUPPORTED where there is none that can be
 * quantized, DATA_MISSING where there are no samples and the model cannot write any.
 */
export async function withCaches(v: RefinedVariant, o: Surroundings): Promise<RefinedVariant> {
  const { quantize, calibration } = v.recipe.recipe;
  const form = quantize.kvCache;
  if (!form) return v;
  const caches = cachesOf(v.float);
  const decoder = calibration.data ? undefined : decoderOf(v.float);
  const own = decoder && (await ownText(v.float, decoder, { ...OWN_TEXT, ...calibration, ...o }));
  if (!calibration.data && !own)
    fail(
      'DATA_MISSING',
      'quantize.kvCache looks at calibration samples, and the recipe names none',
      {},
      'set calibration.data or pass --calibration-data',
    );
  const feeds = own
    ? inTurn(own)
    : feedsOf(calibrationBatches(v.recipe, o, quantize.weights.samples, 'quantize.kvCache'));
  const kept = caches.map((cache) => new Kept(cache));
  const session = await openModel(v.float, {
    threads: calibration.threads,
    spinning: false,
    label: 'the model with its cache measured',
  });
  try {
    for await (const feed of feeds) {
      o.signal?.throwIfAborted();
      const outputs = await session.run(
        feed,
        caches.map((c) => c.present),
      );
      for (const k of kept) k.add(field(outputs, k.cache.present));
    }
  } finally {
    await session.close();
  }
  const scales = new Map(kept.map((k) => [k.cache.past, k.scales(form)]));
  return { ...v, caches: { scales, form } };
}

/** What one cache held, channel by channel. */
class Kept {
  readonly cache: Cache;
  readonly #most: Float64Array;
  /** Of each channel, the values of the first tokens. */
  readonly #values: Float32Array[];
  #tokens = 0;
  constructor(cache: Cache) {
    this.cache = cache;
    this.#most = new Float64Array(cache.heads * cache.size);
    this.#values = Array.from(this.#most, () => new Float32Array(MOST_TOKENS));
  }

  /** [batch, heads, tokens, size], with whatever was in the past. */
  add({ dims, data }: FeedTensor): void {
    const { heads, size } = this.cache;
    const values = data as Float32Array; // as cachesOf says
    const [batch, tokens] = [item(dims, 0), item(dims, 2)];
    for (let i = 0; i < values.length; i++) {
      const x = item(values, i);
      if (!Number.isFinite(x)) continue;
      const place = Math.floor(i / size);
      const row = Math.floor(place / tokens);
      const channel = (row % heads) * size + (i % size);
      const at = this.#tokens + Math.floor(row / heads) * tokens + (place % tokens);
      if (Math.abs(x) > item(this.#most, channel)) this.#most[channel] = Math.abs(x);
      if (at < MOST_TOKENS) item(this.#values, channel)[at] = x;
    }
    this.#tokens += batch * tokens;
  }

  scales({
    bits,
    granularity,
    observer,
  }: CacheForm & { readonly observer?: 'minmax' | 'mse' | undefined }): Float32Array {
    const high = 2 ** (bits - 1) - 1;
    const search = (observer ?? (bits === 4 ? 'mse' : 'minmax')) === 'mse';
    const seen = Math.min(this.#tokens, MOST_TOKENS);
    const one = (most: number, values: readonly Float32Array[]): number => {
      const widest = most / high;
      if (!(widest >= 2 ** -126)) return 1;
      return search
        ? least(
            values.map((v) => v.subarray(0, seen)),
            widest,
            high,
          )
        : widest;
    };
    return granularity === 'tensor'
      ? Float32Array.of(one(Math.max(...this.#most), this.#values))
      : Float32Array.from(this.#most, (most, c) => one(most, [item(this.#values, c)]));
  }
}

/** The scale with the least squared error of rounding to −high − 1 … high. */
function least(values: readonly Float32Array[], widest: number, high: number): number {
  let best = widest;
  let error = Infinity;
  for (let s = 0; s <= STEPS; s++) {
    const scale = widest * (1 - ((1 - NARROWEST) * s) / STEPS);
    let sum = 0;
    for (const list of values)
      for (const x of list) {
        const q = Math.min(high, Math.max(-high - 1, x / scale + MAGIC - MAGIC));
        sum += (x - q * scale) ** 2;
      }
    if (sum < error) [best, error] = [scale, sum];
  }
  return best;
}
