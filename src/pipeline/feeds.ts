/** Feeds that are not read from a dataset: decoded tensors, and random ones where there are no data to verify with. */
import { createRng } from '../base/rng.js';
import { fail } from '../base/errors.js';
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
 * A seeded feed that fits the inputs: standard normal floats, small integers; unknown sizes are `free`. Only to see
 * whether a model runs.
 */
export function randomFeed(inputs: readonly ValueInfo[], seed: number, free = 1): Feed {
  const rng = createRng(seed, 'random-feed');
  const feed: Record<string, FeedTensor> = {};
  for (const i of inputs) {
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

/** The feed at `batch` rows, or as it is for a model whose inputs fix their batch. */
export const atBatch = (feed: Feed, inputs: readonly ValueInfo[], batch: number): Feed =>
  inputs.some((i) => typeof i.shape?.[0] === 'number') ? feed : resizeBatch(feed, batch);

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
