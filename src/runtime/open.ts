import { rmSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../base/environment-errors.js';
import { elementCount, Tensor } from '../ir/tensor.js';
import type { FeedTensor } from '../ir/feed.js';
import { allGraphs, type Model } from '../ir/model.js';
import { encodeModel } from '../onnx/encode.js';
import type { ExternalPlace } from '../onnx/external.js';
import { saveModel } from '../onnx/files.js';
import { Session, type SessionOptions } from './session.js';

/** Above this size a model is staged on disk with external data: one protobuf message holds at most 2 GiB. */
const IN_MEMORY_LIMIT = 1.5e9;

/**
 * Smaller initializers stay in the message: the runtime reads shapes and axes from them before it meets external data.
 */
const BUFFER_BYTES = 4096;

/**
 * Loads an in-memory model in onnxruntime. Weights are handed over as buffers beside the message: encoding 100 MB of
 * them takes longer than opening the session. Large models go through a temporary folder that is removed again.
 */
export async function openModel(model: Model, options: SessionOptions = {}): Promise<Session> {
  if (dataBytes(model) <= IN_MEMORY_LIMIT) {
    const places = new Map<Tensor, ExternalPlace>();
    const buffers = new Map<string, Uint8Array>();
    for (const { data } of model.graph.initializers) {
      if (!data || data.dtype === 'string' || data.byteLength < BUFFER_BYTES || places.has(data)) continue;
      const location = `buffer-${places.size}`;
      places.set(data, { location, offset: 0, length: data.byteLength });
      buffers.set(location, data.bytes());
    }
    return Session.open(encodeModel(model, { places }), { ...options, buffers });
  }
  const dir = temporaryFolder();
  try {
    const file = path.join(dir, 'model.onnx');
    saveModel(model, file, { externalData: 'always' });
    return await Session.open(file, options);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function dataBytes(model: Model): number {
  let n = 0;
  for (const g of allGraphs(model.graph)) for (const v of g.initializers) n += v.data?.byteLength ?? 0;
  return n;
}

/** Runs a model that has no inputs and gives its outputs as tensors: what constant folding needs. */
export async function evaluateModel(model: Model): Promise<Map<string, Tensor>> {
  const session = await openModel(model, { optimization: 'disabled', label: 'a constant subgraph' });
  try {
    const out = new Map<string, Tensor>();
    for (const [name, t] of Object.entries(await session.run({}))) out.set(name, toTensor(t));
    return out;
  } finally {
    await session.close();
  }
}

/** A run-time tensor as a constant. */
export function toTensor(t: FeedTensor): Tensor {
  if (!ArrayBuffer.isView(t.data)) return new Tensor('string', t.dims, t.data);
  const n = elementCount(t.dims);
  return new Tensor(
    t.dtype,
    t.dims,
    new Uint8Array(t.data.buffer, t.data.byteOffset, (t.data.byteLength / Math.max(1, t.data.length)) * n),
  );
}
