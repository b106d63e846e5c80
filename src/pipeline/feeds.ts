/** Feeds that are not read from a dataset: decoded tensors, and random ones where there are no data to verify with. */
import { createRng, type Rng } from '../base/rng.js';
import { fail } from '../base/errors.js';
import { fixedSizes, languageFeed, needsPast, type Sizes } from '../data/language/feed.js';
import { rolesOf, sharedInputs } from '../data/language/roles.js';
import type { DType } from '../ir/dtype.js';
import type { Feed, FeedTensor, TypedArray, ValueInfo } from '../ir/feed.js';
import type { Tensor } from '../ir/tensor.js';

const ARRAYS: Partial<Record<DType, new (buffer: ArrayBufferLike, offset: number, length: number) => TypedArray>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
};

/** A constant tensor as onnxruntime takes it. */
export function feedOf(t: Tensor): FeedTensor {
  if (t.dtype === 'string') return { dtype: t.dtype, dims: t.dims, data: t.strings() };
  const Type = ARRAYS[t.dtype];
  if (!Type) fail('DATA_FORMAT', `a ${t.dtype} tensor cannot be fed to onnxruntime from JavaScript`);
  const bytes = t.bytes().slice(); // aligned, and free of the file's buffer
  return { dtype: t.dtype, dims: t.dims, data: new Type(bytes.buffer, 0, t.size) };
}

/** Largest random input: a file of 200 bytes may declare one of 2^32 elements. */
const MOST_ELEMENTS = 2 ** 27;

/**
 * A seeded feed that fits the inputs: standard normal floats, small integers; unknown sizes are `free`. Inputs of
 * language models get what they mean: ids of the vocabulary, masks of ones, an empty past, or with an odd seed one that
 * is not; `sizes` says how many tokens. Only to see whether a model runs.
 */
export function randomFeed(
  inputs: readonly ValueInfo[],
  seed: number,
  free = 1,
  sizes: Partial<Sizes> = { tokens: Math.max(free, SOME_TOKENS), past: seed % 2 ? free : 0 },
): Feed {
  const rng = createRng(seed, 'random-feed');
  const feed: Record<string, FeedTensor> = { ...randomLanguage(inputs, rng, free, sizes) };
  for (const i of inputs) {
    if (Object.hasOwn(feed, i.name)) continue;
    const dims = (i.shape ?? []).map((d) => (typeof d === 'number' ? d : free));
    const n = dims.reduce((a, b) => a * b, 1);
    if (n > MOST_ELEMENTS) {
      fail(
        'MODEL_LIMIT',
        `input '${i.name}' of [${dims.join(', ')}] has ${n} elements`,
        { tensor: i.name },
        `random inputs have at most ${MOST_ELEMENTS}`,
      );
    }
    const dtype = i.dtype ?? 'float32';
    if (dtype === 'string') {
      feed[i.name] = { dtype, dims, data: Array.from({ length: n }, () => '') };
      continue;
    }
    const Type = ARRAYS[dtype];
    if (!Type)
      fail('DATA_FORMAT', `input '${i.name}' is ${dtype}, which cannot be fed from JavaScript`, { tensor: i.name });
    const data = new Type(new ArrayBuffer(n * 8), 0, n);
    for (let k = 0; k < n; k++) {
      if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[k] = BigInt(rng.int(2));
      else if (dtype === 'float32' || dtype === 'float64') data[k] = rng.normal();
      else data[k] = dtype === 'float16' ? 0x3800 : rng.int(2);
    }
    feed[i.name] = { dtype, dims, data };
  }
  return feed;
}

/** Tokens of a sequence where nothing else is said: one alone attends to nothing. */
const SOME_TOKENS = 8;

function randomLanguage(inputs: readonly ValueInfo[], rng: Rng, free: number, wanted: Partial<Sizes>): Feed {
  const roles = rolesOf(inputs);
  if (!roles.size) return {};
  const { batch = 1, tokens = SOME_TOKENS, encoder = Math.max(free, SOME_TOKENS) } = wanted;
  const past = needsPast(roles) ? Math.max(1, wanted.past ?? 0) : (wanted.past ?? 0);
  const sizes = fixedSizes(inputs, roles, { batch, tokens, past, encoder });
  return languageFeed(inputs, roles, sizes, {
    token: (_input, _row, _column, below) => rng.int(Math.max(1, below ?? 2)),
    segment: () => 0,
    length: () => sizes.tokens,
    real: () => rng.normal(),
    hasPast: past > 0,
  });
}

/** The feed at `batch` rows, or as it is for a model whose inputs fix their batch. */
export function atBatch(feed: Feed, inputs: readonly ValueInfo[], batch: number): Feed {
  const shared = sharedInputs(inputs);
  const rows = inputs.filter((i) => !shared.has(i.name));
  if (rows.some((i) => typeof i.shape?.[0] === 'number')) return feed;
  const own = Object.fromEntries(Object.entries(feed).filter(([name]) => !shared.has(name)));
  return { ...feed, ...resizeBatch(own, batch) };
}

/** The first rows of a feed, repeated to `batch` rows along axis 0. */
export function resizeBatch(feed: Feed, batch: number): Feed {
  return Object.fromEntries(
    Object.entries(feed).map(([name, t]) => {
      const rows = t.dims[0];
      if (!rows || rows === batch || !ArrayBuffer.isView(t.data)) return [name, t];
      const each = t.data.length / rows;
      // every typed array's constructor takes a length
      const Type = t.data.constructor as new (n: number) => TypedArray;
      const data = new Type(each * batch);
      for (let r = 0; r < batch; r++)
        // same type on both sides
        data.set(t.data.subarray((r % rows) * each, ((r % rows) + 1) * each) as never, r * each);
      return [name, { ...t, dims: [batch, ...t.dims.slice(1)], data }];
    }),
  );
}
