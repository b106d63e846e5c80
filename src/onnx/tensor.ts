/** TensorProto and SparseTensorProto to and from ir Tensors. */
import { fail, type Where } from '../base/errors.js';
import { byteLength, dtypeCode, dtypeFromCode, type DType } from '../ir/dtype.js';
import { MAX_RANK } from '../ir/graph.js';
import { elementCount, Tensor, type ByteSource } from '../ir/tensor.js';
import { openExternal, type ExternalPlace } from './external.js';
import type { SparseMessage, TensorMessage } from './messages.js';
import { ASIDE_BYTES, LaterBytes } from './piece-writer.js';
import { onnx } from './proto.js';
import { decodeMessage, encodeMessage, fromBigInt, has, keep, kept, toBigInt, toUnsigned } from './wire.js';

/** Dense bytes of a sparse tensor: these, or so many times what it stores. */
const MAX_DENSE_BYTES = 2 ** 24;
const DENSE_TIMES = 100;
const MAX_EMPTY = 2 ** 24;

/** The directory that external data may come from, and the model file for messages. */
export interface Origin {
  readonly dir?: string | undefined;
  readonly file?: string | undefined;
}

/**
 * The tensor of a serialized TensorProto (an `input_0.pb` of the ONNX test-data layout).
 * Throws MODEL_FORMAT for anything else (SequenceProto and OptionalProto have no tensor here), MODEL_TENSOR,
 * MODEL_LIMIT.
 */
export function decodeTensorFile(bytes: Uint8Array, origin: Origin = {}): Tensor {
  const where: Where = origin.file === undefined ? {} : { file: origin.file };
  const message = decodeMessage(onnx.TensorProto, bytes, 'a tensor file', where);
  if (!has(message, 'dataType'))
    fail(
      'MODEL_FORMAT',
      'not a tensor file: it has no element type',
      where,
      'sequence and optional values are not supported as test data',
    );
  return decodeTensor(message, message.name || 'tensor', origin);
}

/** The bytes of a TensorProto with raw data. */
export function encodeTensor(tensor: Tensor, name = tensor.name): Uint8Array {
  return encodeMessage(onnx.TensorProto, tensorMessage(tensor, name));
}

/** The tensor of a message. Throws MODEL_TENSOR or MODEL_EXTERNAL_DATA with `label` as the tensor's name. */
export function decodeTensor(message: TensorMessage, label: string, origin: Origin): Tensor {
  const where: Where = { ...(origin.file === undefined ? {} : { file: origin.file }), tensor: label };
  const dtype = dtypeFromCode(message.dataType);
  if (!dtype)
    return fail(
      'MODEL_TENSOR',
      `tensor '${label}' has ` +
        `${message.dataType === 0 ? 'no element type' : `unknown element type ${message.dataType}`}`,
      where,
      'ONNX defines types 1 to 26',
    );
  if (message.segment)
    fail(
      'MODEL_UNSUPPORTED',
      `tensor '${label}' is split into segments`,
      where,
      'no ONNX runtime reads segmented tensors; export again',
    );
  const dims = decodeDims(message.dims, label, where);
  const tensor = new Tensor(dtype, dims, decodeData(message, dtype, dims, label, origin, where));
  tensor.name = message.name;
  tensor.doc = message.docString;
  tensor.extra = keep(message, ['metadataProps']);
  return tensor;
}

function decodeDims(dims: readonly unknown[], label: string, where: Where): number[] {
  if (dims.length > MAX_RANK) {
    fail('MODEL_LIMIT', `tensor '${label}' has ${dims.length} axes`, where, `tensors have at most ${MAX_RANK}`);
  }
  const sizes = dims.map((d) => Number(toBigInt(d)));
  for (const d of sizes)
    if (!Number.isSafeInteger(d) || d < 0)
      fail(
        'MODEL_TENSOR',
        `tensor '${label}' has dims [${sizes.join(',')}]; sizes cannot be negative or beyond 2^53`,
        where,
      );
  let n = 1;
  for (const d of sizes) n *= d;
  if (!Number.isSafeInteger(n))
    fail('MODEL_LIMIT', `tensor '${label}' has dims [${sizes.join(',')}], whose element count overflows`, where);
  // Nothing backs the other sizes of an empty tensor, and rows without elements would be looped over.
  if (n === 0 && sizes.reduce((m, d) => m * (d || 1), 1) > MAX_EMPTY) {
    fail(
      'MODEL_LIMIT',
      `tensor '${label}' of dims [${sizes.join(',')}] has no element, but ${Math.max(...sizes)} rows`,
      where,
    );
  }
  return sizes;
}

function decodeData(
  message: TensorMessage,
  dtype: DType,
  dims: readonly number[],
  label: string,
  origin: Origin,
  where: Where,
): Uint8Array | ByteSource | (string | Uint8Array)[] {
  const n = elementCount(dims);
  if (message.dataLocation === 1) {
    if (dtype === 'string') return fail('MODEL_EXTERNAL_DATA', `string tensor '${label}' cannot be external`, where);
    return openExternal(origin.dir, message.externalData, byteLength(dtype, n), label, where);
  }
  if (message.dataLocation !== 0)
    fail('MODEL_TENSOR', `tensor '${label}' has unknown data location ${message.dataLocation}`, where);
  const typed = TYPED_FIELD[dtype] ?? 'int32Data';
  if (message.rawData.length > 0 && message[typed].length > 0)
    fail('MODEL_TENSOR', `tensor '${label}' has both raw data and ${typed}`, where);
  if (dtype === 'string') {
    if (message.stringData.length !== n)
      fail(
        'MODEL_TENSOR',
        `string tensor '${label}' of dims [${dims.join(',')}] needs ${n} strings, but has ${message.stringData.length}`,
        where,
      );
    return message.stringData.map(utf8OrBytes);
  }
  const need = byteLength(dtype, n);
  if (message[typed].length === 0) {
    if (message.rawData.length !== need)
      fail(
        'MODEL_TENSOR',
        `tensor '${label}' of type ${dtype} and dims [${dims.join(',')}] needs ${need} bytes, but has ` +
          `${message.rawData.length}`,
        where,
      );
    return message.rawData;
  }
  const perElement = dtype === 'complex64' || dtype === 'complex128' ? 2 : 1;
  // Types below 8 bits are packed in int32_data as they are in raw_data: one byte per entry.
  const entries = need < n ? need : n * perElement;
  if (message[typed].length !== entries)
    fail(
      'MODEL_TENSOR',
      `tensor '${label}' of type ${dtype} and dims [${dims.join(',')}] needs ${entries} values in ${typed}, ` +
        `but has ${message[typed].length}`,
      where,
    );
  return typedBytes(message, dtype, entries, need);
}

/** Fields that hold a type's values where there are no raw data; every other type uses int32Data. */
const TYPED_FIELD: Partial<Record<DType, 'floatData' | 'doubleData' | 'int64Data' | 'uint64Data' | 'stringData'>> = {
  float32: 'floatData',
  complex64: 'floatData',
  float64: 'doubleData',
  complex128: 'doubleData',
  int64: 'int64Data',
  uint32: 'uint64Data',
  uint64: 'uint64Data',
  string: 'stringData',
};

function typedBytes(message: TensorMessage, dtype: DType, entries: number, need: number): Uint8Array {
  const out = new Uint8Array(need);
  const view = new DataView(out.buffer);
  switch (dtype) {
    case 'float32':
    case 'complex64':
      message.floatData.forEach((v, i) => view.setFloat32(i * 4, v, true));
      return out;
    case 'float64':
    case 'complex128':
      message.doubleData.forEach((v, i) => view.setFloat64(i * 8, v, true));
      return out;
    case 'int64':
      message.int64Data.forEach((v, i) => view.setBigInt64(i * 8, toBigInt(v), true));
      return out;
    case 'uint64':
      message.uint64Data.forEach((v, i) => view.setBigUint64(i * 8, toUnsigned(v), true));
      return out;
    case 'uint32':
      message.uint64Data.forEach((v, i) => view.setUint32(i * 4, Number(BigInt.asUintN(32, toBigInt(v))), true));
      return out;
    case 'int32':
      message.int32Data.forEach((v, i) => view.setInt32(i * 4, v, true));
      return out;
    default: {
      const two = need === 2 * entries;
      message.int32Data.forEach((v, i) => {
        if (two) view.setInt16(i * 2, v, true);
        else view.setInt8(i, v);
      });
      return out;
    }
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** A string where the bytes are valid UTF-8, else the bytes, so that both round-trip. */
export function utf8OrBytes(bytes: Uint8Array): string | Uint8Array {
  try {
    return strict.decode(bytes);
  } catch {
    return bytes;
  }
}
export const bytesOf = (s: string | Uint8Array): Uint8Array =>
  typeof s === 'string' ? new TextEncoder().encode(s) : s;

/** The message of a tensor; `place` moves its bytes to an external file. */
export function tensorMessage(tensor: Tensor, name: string, place?: ExternalPlace): onnx.TensorProto.$Properties {
  const message: onnx.TensorProto.$Properties = {
    ...kept(tensor.extra),
    dims: tensor.dims.map((d) => fromBigInt(BigInt(d))),
    dataType: dtypeCode(tensor.dtype),
  };
  if (name) message.name = name;
  if (tensor.doc) message.docString = tensor.doc;
  if (tensor.dtype === 'string') message.stringData = tensor.rawStrings().map(bytesOf);
  else if (place) {
    message.dataLocation = 1;
    message.externalData = [
      { key: 'location', value: place.location },
      { key: 'offset', value: String(place.offset) },
      { key: 'length', value: String(place.length) },
    ];
  } else message.rawData = isLater(tensor) ? new LaterBytes(tensor.source) : tensor.bytes();
  return message;
}
/** Whether a tensor's bytes are not held while the others are written. */
const isLater = ({ source }: Tensor): boolean => source.pieces !== undefined && source.byteLength >= ASIDE_BYTES;

/** Whether a sparse tensor of so many bytes is read: files are hostile, and few bytes must not take much memory. */
export const readsSparse = (dense: number, stored: number): boolean =>
  dense <= Math.max(MAX_DENSE_BYTES, DENSE_TIMES * stored);

/**
 * A dense tensor that remembers its sparse form. Indices are [nnz] (linear) or [nnz, rank], nnz 0 where all is zero.
 * Throws MODEL_TENSOR.
 */
export function decodeSparse(message: SparseMessage, origin: Origin): { name: string; tensor: Tensor } {
  const name = message.values?.name ?? '';
  const where: Where = { ...(origin.file === undefined ? {} : { file: origin.file }), tensor: name };
  if (!message.values) return fail('MODEL_TENSOR', `sparse tensor '${name}' has no values`, where);
  const values = decodeTensor(message.values, name, origin);
  // ONNX lets a tensor of zeros alone do without.
  const indices = message.indices ? decodeTensor(message.indices, `indices of ${name}`, origin) : Tensor.i64([]);
  const dims = decodeDims(message.dims, name, where);
  if (values.dtype === 'string' || values.dims.length !== 1)
    fail(
      'MODEL_TENSOR',
      `sparse tensor '${name}' needs its values as one list of numbers, but has ${values.dtype} ` +
        `[${values.dims.join(',')}]`,
      where,
    );
  if (byteLength(values.dtype, 8) < 8)
    fail('MODEL_UNSUPPORTED', `sparse tensor '${name}' has packed type ${values.dtype}`, where);
  const linear = indices.dims.length === 1;
  if (
    indices.dtype !== 'int64' ||
    indices.dims[0] !== values.size ||
    (!linear && (indices.dims.length !== 2 || indices.dims[1] !== dims.length))
  ) {
    fail(
      'MODEL_TENSOR',
      `sparse tensor '${name}' of dims [${dims.join(',')}] with ${values.size} values has indices ` +
        `${indices.dtype} [${indices.dims.join(',')}]`,
      where,
      'int64 indices of dims [nnz] or [nnz, rank]',
    );
  }
  const positions = linearPositions(indices, dims, linear, name, where);
  const total = byteLength(values.dtype, elementCount(dims));
  if (!readsSparse(total, values.byteLength + indices.byteLength))
    fail('MODEL_LIMIT', `sparse tensor '${name}' would take ${total} bytes when dense`, where);
  const width = byteLength(values.dtype, 1);
  let dense: Uint8Array | undefined;
  const read = (): Uint8Array => {
    if (dense) return dense;
    const out = new Uint8Array(total);
    const from = values.bytes();
    positions.forEach((p, i) => out.set(from.subarray(i * width, (i + 1) * width), p * width));
    return (dense = out);
  };
  const tensor = new Tensor(
    values.dtype,
    dims,
    { byteLength: total, read },
    { values, indices, valuesName: message.values.name, indicesName: message.indices?.name ?? '' },
  );
  tensor.extra = keep(message, []);
  return { name, tensor };
}

function linearPositions(
  indices: Tensor,
  dims: readonly number[],
  linear: boolean,
  name: string,
  where: Where,
): Float64Array {
  const flat = indices.numbers();
  const count = indices.dims[0] ?? 0;
  const positions = new Float64Array(count);
  const size = elementCount(dims);
  for (let i = 0; i < count; i++) {
    let at = 0;
    if (linear) at = flat[i]!;
    else
      for (let a = 0; a < dims.length; a++) {
        const index = flat[i * dims.length + a]!;
        if (index < 0 || index >= dims[a]!)
          fail('MODEL_TENSOR', `sparse tensor '${name}' has index ${index} on axis ${a} of size ${dims[a]}`, where);
        at = at * dims[a]! + index;
      }
    if (at < 0 || at >= size)
      fail('MODEL_TENSOR', `sparse tensor '${name}' has index ${at}, but ${size} elements`, where);
    positions[i] = at;
  }
  return positions;
}

export function sparseMessage(tensor: Tensor, name: string): onnx.SparseTensorProto.$Properties | undefined {
  const s = tensor.sparse;
  if (!s) return undefined;
  return {
    ...kept(tensor.extra),
    values: tensorMessage(s.values, name),
    indices: tensorMessage(s.indices, s.indicesName),
    dims: tensor.dims.map((d) => fromBigInt(BigInt(d))),
  };
}
