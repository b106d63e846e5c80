/** Models as files: loading with external data, saving so that no half-written file is ever at the target path. */
import fs from 'node:fs';
import path from 'node:path';
import { fail } from '../base/errors.js';
import { reason, writeFileAtomic, writeFileByHash } from '../base/files.js';
import { item } from '../base/lists.js';
import type { Attr } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import { decodeModel, type DecodeOptions } from './decode.js';
import { encodeModel, encodeModelPieces } from './encode.js';
import type { ExternalPlace } from './external.js';
import { bytesIn } from './piece-writer.js';

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
  /** Most bytes of a data file: more make several. One tensor of more has a file of its own. Default: one file. */
  readonly shardBytes?: number;
  /**
   * Name of a data file, from the name of the model file and a number from 0. Default: by the content, so that a kill
   * leaves the old model with its old data; with names of one's own, save into a folder that nobody reads yet.
   */
  readonly dataName?: (model: string, index: number) => string;
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
    const whole = encodeModelPieces(model);
    if (whole.byteLength <= limit) return { files: [{ path: file, bytes: writeFileAtomic(file, bytesIn(whole)) }] };
  }
  if (mode === 'never')
    fail(
      'MODEL_LIMIT',
      `the model takes at least ${inline} bytes, more than the ${limit} that one file may hold`,
      { file },
      'allow external data',
    );
  if (tensors.length === 0) {
    const whole = encodeModelPieces(model);
    if (whole.byteLength > limit)
      fail(
        'MODEL_LIMIT',
        `the model takes ${whole.byteLength} bytes without a tensor large enough to move outside`,
        { file },
        'lower externalThresholdBytes',
      );
    return { files: [{ path: file, bytes: writeFileAtomic(file, bytesIn(whole)) }] };
  }
  const { shardBytes = Infinity, dataName } = options;
  return saveExternal(model, file, tensors, { limit, shardBytes, dataName });
}

function saveExternal(
  model: Model,
  file: string,
  tensors: readonly Tensor[],
  o: { readonly limit: number; readonly shardBytes: number; readonly dataName: SaveOptions['dataName'] },
): { files: SavedFile[] } {
  const shards = shardsOf(tensors, o.shardBytes);
  const base = path.basename(file);
  const nameOf = (i: number, sha256: string): string => o.dataName?.(base, i) ?? `${base}.${sha256.slice(0, 16)}.data`;
  const encoded = (names: readonly string[]): Uint8Array => {
    const places = new Map<Tensor, ExternalPlace>();
    shards.forEach((shard, i) =>
      shard.forEach(({ tensor, offset }) => {
        places.set(tensor, { location: item(names, i), offset, length: tensor.byteLength });
      }),
    );
    return encodeModel(model, { places });
  };
  // before anything is written, so that a bad model leaves no file; names are as long as they will be
  const bytes = encoded(shards.map((_, i) => nameOf(i, '0'.repeat(64)))).length;
  if (bytes > o.limit)
    fail(
      'MODEL_LIMIT',
      `the model takes ${bytes} bytes even with its large tensors outside`,
      { file },
      'lower externalThresholdBytes',
    );
  const directory = path.dirname(file);
  const data = shards.map((shard, i) => writeFileByHash(directory, (hash) => nameOf(i, hash), content(shard)));
  const whole = encoded(data.map((d) => path.basename(d.file)));
  return {
    files: [
      { path: file, bytes: writeFileAtomic(file, whole) },
      ...data.map((d) => ({ path: d.file, bytes: d.bytes })),
    ],
  };
}

interface Placed {
  readonly tensor: Tensor;
  readonly offset: number;
}

/**
 * Which tensors lie in which data file, in order, and where: at pages where they are large, so that runtimes can map
 * them. A file ends before the tensor that would make it longer than `most`; one that is longer has a file of its own.
 */
function shardsOf(tensors: readonly Tensor[], most: number): Placed[][] {
  const shards: Placed[][] = [];
  let at = Infinity;
  for (const tensor of tensors) {
    const align = tensor.byteLength >= LARGE_TENSOR_BYTES ? PAGE_BYTES : SMALL_ALIGN_BYTES;
    let offset = Math.ceil(at / align) * align;
    if (shards.length === 0 || offset + tensor.byteLength > most) {
      shards.push([]);
      offset = 0;
    }
    shards.at(-1)?.push({ tensor, offset });
    at = offset + tensor.byteLength;
  }
  return shards;
}

/** The content of a data file; tensors that lie in a file, or are made while they are written, are never whole. */
function* content(shard: readonly Placed[]): Generator<Uint8Array> {
  let at = 0;
  for (const { tensor, offset } of shard) {
    if (offset > at) yield new Uint8Array(offset - at);
    yield* tensor.pieces();
    at = offset + tensor.byteLength;
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
