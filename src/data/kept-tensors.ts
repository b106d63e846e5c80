/** Tensors that lie in a file of our own, to be read again by whom they were computed for. */
import { z } from 'zod';
import { readAll } from '../base/files.js';
import { DTYPES, type DType } from '../ir/dtype.js';
import type { FeedTensor, TypedArray } from '../ir/feed.js';
import { elementCount } from '../ir/tensor.js';
import { arrayOf } from './feeds.js';

/** What the header of such a file says of a tensor. */
export const keptTensor = z.strictObject({
  dtype: z.custom<DType>((v) => DTYPES.some((d) => d === v)),
  dims: z.array(z.number().int().min(0)),
});

type KeptTensor = FeedTensor & { readonly data: TypedArray };

/** The tensor in the open file behind `at` bytes. Throws Error where the file ends early or the type has no array. */
export function readTensor(fd: number, at: number, { dtype, dims }: Omit<FeedTensor, 'data'>): KeptTensor {
  const data = arrayOf(dtype, elementCount(dims));
  if (!data) throw new Error(`it holds ${dtype}`);
  const bytes = new Uint8Array(data.buffer);
  if (readAll(fd, bytes, at) < bytes.length) throw new Error('it is shorter than it was');
  return { dtype, dims, data };
}
