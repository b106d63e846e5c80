/** Models as files: loading with external data, saving so that no half-written file is ever at the target path. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fail } from '../base/errors.js';
import { reason, writeFileAtomic } from '../base/files.js';
import type { Attr } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import { decodeModel, type DecodeOptions } from './decode.js';
import { encodeModel, encodeModelPieces } from './encode.js';
import { isExternal, type ExternalPlace } from './external.js';

/** protobuf cannot hold a message of 2 GiB; the slack covers what re-exporters add. */
const MAX_MODEL_BYTES = 2 ** 31 - 2 ** 20;
const PAGE_BYTES = 4096;
const SMALL_ALIGN_BYTES = 64;
const LARGE_TENSOR_BYTES = 2 ** 20;

/** The model in `file`. Throws MODEL_MISSING where it cannot be read, and what {@link decodeModel} throws. */
export function loadModel(file: string, options: Pick<DecodeOptions, 'repeatedInitializers'> = {}): Model {
  let bytes: Uint8Array;
  try {
    const stat = fs.statSync(file);
    const { size } = stat;
    // A pipe or device would be read for ever, or could not be read again.
    if (!stat.isFile() && !stat.isDirectory())
      return fail('MODEL_MISSING', `cannot read model '${file}': it is not a regular file`, { file });
    if (size >= 2 ** 31)
      return fail(
        'MODEL_LIMIT',
        `'${file}' has ${size} bytes; an ONNX file holds less than 2 GiB`,
        { file },
        'save it with external data',
      );
    bytes = fs.readFileSync(file);
  } catch (error) {
    if (error instanceof Error && 'syscall' in error)
      return fail('MODEL_MISSING', `cannot read model '${file}': ${reason(error)}`, { file }, undefined, error);
    throw error;
  }
  return decodeModel(bytes, { ...options, dir: path.dirname(path.resolve(file)), file });
}

export interface SaveOptions {
  /** 'auto' (default) moves large tensors beside the model only where one file could not hold them. */
  readonly externalData?: 'auto' | 'never' | 'always';
  /** Tensors of fewer bytes stay in the model file; 1024 by default. */
  readonly externalThresholdBytes?: number;
  /** Size from which 'auto' goes external and 'never' is refused; just under 2 GiB by default. */
  readonly limitBytes?: number;
}
export interface SavedFile {
  readonly path: string;
  readonly bytes: number;
}

/**
 * Writes the model to `file`, and large tensors to `<file>.<hash>.data` where asked or needed. The data file is
 * complete under its content-derived name before the model that points to it appears, so a kill at any point leaves the
 * old model with its old data, or the new with the new. Throws OUTPUT_WRITE, and MODEL_LIMIT where 'never' cannot hold
 * the model.
 */
export function saveModel(model: Model, file: string, options: SaveOptions = {}): { files: SavedFile[] } {
  const mode = options.externalData ?? 'auto';
  const threshold = options.externalThresholdBytes ?? 1024;
  const limit = options.limitBytes ?? MAX_MODEL_BYTES;
  const tensors =
    mode === 'never' ? [] : [...storedTensors(model)].filter((t) => t.dtype !== 'string' && t.byteLength >= threshold);
  const inline = [...storedTensors(model)].reduce((n, t) => n + t.byteLength, 0);
  if (mode !== 'always' && inline < limit) {
    const { byteLength, pieces } = encodeModelPieces(model);
    if (byteLength <= limit) return { files: [{ path: file, bytes: writeFileAtomic(file, pieces) }] };
  }
  if (mode === 'never')
    fail(
      'MODEL_LIMIT',
      `the model takes at least ${inline} bytes, more than the ${limit} that one file may hold`,
      { file },
      'allow external data',
    );
  if (tensors.length === 0) {
    const { byteLength, pieces } = encodeModelPieces(model);
    if (byteLength > limit)
      fail(
        'MODEL_LIMIT',
        `the model takes ${byteLength} bytes without a tensor large enough to move outside`,
        { file },
        'lower externalThresholdBytes',
      );
    return { files: [{ path: file, bytes: writeFileAtomic(file, pieces) }] };
  }
  return saveExternal(model, file, tensors, limit);
}

function saveExternal(model: Model, file: string, tensors: readonly Tensor[], limit: number): { files: SavedFile[] } {
  const { offsets, hash } = layOut(tensors);
  const location = `${path.basename(file)}.${hash}.data`;
  const places = new Map<Tensor, ExternalPlace>();
  tensors.forEach((t, i) => places.set(t, { location, offset: offsets[i]!, length: t.byteLength }));
  const bytes = encodeModel(model, { places }); // before anything is written, so that a bad model leaves no file
  if (bytes.length > limit)
    fail(
      'MODEL_LIMIT',
      `the model takes ${bytes.length} bytes even with its large tensors outside`,
      { file },
      'lower externalThresholdBytes',
    );
  const dataFile = path.join(path.dirname(file), location);
  const dataBytes = writeFileAtomic(dataFile, content(tensors, offsets));
  return {
    files: [
      { path: file, bytes: writeFileAtomic(file, bytes) },
      { path: dataFile, bytes: dataBytes },
    ],
  };
}

/**
 * Offsets in the data file (pages for large tensors, so that runtimes can map them) and 16 hex digits of its SHA-256.
 */
function layOut(tensors: readonly Tensor[]): { offsets: number[]; hash: string } {
  const offsets: number[] = [];
  let at = 0;
  for (const t of tensors) {
    const align = t.byteLength >= LARGE_TENSOR_BYTES ? PAGE_BYTES : SMALL_ALIGN_BYTES;
    at = Math.ceil(at / align) * align;
    offsets.push(at);
    at += t.byteLength;
  }
  const hash = createHash('sha256');
  for (const piece of content(tensors, offsets)) hash.update(piece);
  return { offsets, hash: hash.digest('hex').slice(0, 16) };
}

/** The content of the data file, piece by piece; tensors that already lie in a file are never whole in memory. */
function* content(tensors: readonly Tensor[], offsets: readonly number[]): Generator<Uint8Array> {
  let at = 0;
  for (const [i, t] of tensors.entries()) {
    const offset = offsets[i]!; // one per tensor
    if (offset > at) yield new Uint8Array(offset - at);
    if (isExternal(t.source)) yield* t.source.pieces();
    else yield t.bytes();
    at = offset + t.byteLength;
  }
}

/** Every dense tensor that a save would write, once, in file order. Sparse ones are written sparse. */
function storedTensors(model: Model): Set<Tensor> {
  const found = new Set<Tensor>();
  const see = (attr: Attr): void => {
    if (attr.type === 'tensor') found.add(attr.value);
    else if (attr.type === 'tensors') attr.value.forEach((t) => found.add(t));
  };
  for (const root of [model.graph, ...model.functions.map((f) => f.graph)]) {
    for (const graph of allGraphs(root)) {
      for (const v of graph.initializers) if (v.data && !v.data.sparse) found.add(v.data);
      for (const n of graph.nodes) n.attrs.forEach(see);
    }
  }
  return found;
}
