import type { Batch } from '../../../src/data/batch.js';
import { batches } from '../../../src/data/batch.js';
import type { Feed, FeedTensor, Sample } from '../../../src/ir/feed.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { Session } from '../../../src/runtime/session.js';

export const f32 = (values: readonly number[], dims: readonly number[] = [1, values.length]): FeedTensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from(values),
});
export const sample = (feeds: readonly Feed[], label?: number, id = 's'): Sample => ({
  id,
  hash: '',
  feeds,
  ...(label === undefined ? {} : { label }),
});

/** A session of a model in ONNX text, opset 17. */
export const open = (graph: string): Promise<Session> => Session.open(bytesOf(graph));
export const bytesOf = (graph: string): Uint8Array =>
  encodeModel(parseModel(`<ir_version: 8, opset_import: ["" : 17]>\n${graph}`));

/** Batches of samples for a model with one input `x`. */
export const batched =
  (samples: readonly Sample[], session: Session, size: number): (() => AsyncIterable<Batch>) =>
  () =>
    batches(samples, { size, inputs: session.inputs });
