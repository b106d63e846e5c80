/** Empty tensors, such as the past of a first run: they fit whatever type and sizes a model keeps them in. */
import type { FeedTensor, ValueInfo } from '../ir/feed.js';

/**
 * The tensor for an input of this type and shape. Names nothing from outside, for processes of their own run its text.
 */
export function emptyOf(t: FeedTensor, dtype: ValueInfo['dtype'], shape: ValueInfo['shape']): FeedTensor {
  if (t.dtype === dtype || t.data.length > 0 || t.dims.length !== shape?.length) return t;
  const dims = t.dims.map((d, axis) => {
    const fixed = shape[axis];
    return d > 0 && typeof fixed === 'number' && fixed > 0 ? fixed : d;
  });
  if (dtype === 'int8') return { dtype, dims, data: new Int8Array(0) };
  return dtype === 'uint8' ? { dtype, dims, data: new Uint8Array(0) } : t;
}
