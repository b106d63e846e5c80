import { fail, type Where } from '../base/errors.js';
import type { DType } from '../ir/dtype.js';
import type { FeedTensor } from '../ir/feed.js';
import { arrayOf } from './feeds.js';

/** What the header of a .npy file says. Data start at `offset` and take `byteLength` bytes. */
export interface NpyHeader {
  readonly dtype: DType;
  readonly bigEndian: boolean;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  readonly itemBytes: number;
  readonly offset: number;
  readonly byteLength: number;
}

const TYPES: Readonly<Record<string, DType>> = {
  f4: 'float32',
  f8: 'float64',
  f2: 'float16',
  i1: 'int8',
  i2: 'int16',
  i4: 'int32',
  i8: 'int64',
  u1: 'uint8',
  u2: 'uint16',
  u4: 'uint32',
  u8: 'uint64',
  b1: 'bool',
};
/** Longest header that is read: numpy's own are below 200 bytes. */
export const NPY_HEADER_LIMIT = 65536;

/**
 * Parses the header of NPY versions 1 to 3 without evaluating it. `fileBytes` is the size of the whole file, which must
 * be exactly what shape and type need. Throws DATA_FORMAT; object, structured and text types are refused.
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
export function parseNpyHeader(head: Uint8Array, fileBytes: number, where: Where): NpyHeader {
  const bad = (what: string, offset: number, hint?: string): never =>
    fail('DATA_FORMAT', `${where.sample ?? where.file ?? 'npy data'}: ${what}`, { ...where, offset }, hint);
  const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
  if (head.length < 10 || magic.some((b, i) => head[i] !== b))
    bad('not a .npy file (wrong magic)', 0, 'write it with numpy.save');
  const major = head[6]!;
  if (major < 1 || major > 3) bad(`.npy version ${major} is unknown`, 6);
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const prefix = major === 1 ? 10 : 12;
  if (head.length < prefix) bad('the header is truncated', head.length);
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const offset = prefix + length;
  if (offset > Math.min(fileBytes, NPY_HEADER_LIMIT) || offset > head.length)
    bad(`the header claims ${length} bytes`, 8, 'the file is truncated or not a .npy file');
  const text = new TextDecoder('latin1').decode(head.subarray(prefix, offset));
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const shapeText = /'shape'\s*:\s*\(([\d,\sL]*)\)/.exec(text)?.[1];
  if (descr === undefined && /'descr'\s*:\s*\[/.test(text))
    return bad('structured arrays are not read', prefix, 'save plain numbers');
  if (descr === undefined || order === undefined || shapeText === undefined)
    return bad('the header lacks descr, fortran_order or shape', prefix);
  if (/^.?O/.test(descr))
    return bad(
      "object arrays ('O') hold pickled code and are never read",
      prefix,
      'save plain numbers, without allow_pickle',
    );
  const dtype = TYPES[descr.slice(1)];
  if (!dtype || !'<>|='.includes(descr[0]!))
    return bad(`element type '${descr}' is not read`, prefix, `expected one of ${Object.keys(TYPES).join(', ')}`);
  const shape = shapeText
    .split(',')
    .map((s) => s.trim().replace(/L$/, ''))
    .filter((s) => s !== '')
    .map(Number);
  const itemBytes = Number(descr.slice(2));
  const elements = shape.reduce((n, d) => n * d, 1);
  const byteLength = elements * itemBytes;
  if (!Number.isSafeInteger(byteLength) || shape.length > 32) bad(`shape (${shape.join(', ')}) is too large`, prefix);
  if (offset + byteLength !== fileBytes)
    bad(
      `shape (${shape.join(', ')}) of '${descr}' needs ${byteLength} bytes, but ${fileBytes - offset} follow ` +
        'the header',
      offset,
      'the file is truncated, or its header is wrong',
    );
  return {
    dtype,
    bigEndian: descr[0] === '>' && itemBytes > 1,
    fortranOrder: order === 'True' && shape.length > 1,
    shape,
    itemBytes,
    offset,
    byteLength,
  };
}

/** The whole array in row-major, native order. Throws DATA_FORMAT. */
export function parseNpy(bytes: Uint8Array, where: Where): FeedTensor {
  const header = parseNpyHeader(bytes.subarray(0, NPY_HEADER_LIMIT), bytes.length, where);
  const tensor = decodeNpy(bytes.subarray(header.offset), header, header.shape);
  return header.fortranOrder ? { ...tensor, data: toRowMajor(tensor.data, header.shape) } : tensor;
}

/** Numbers of raw npy bytes (part of the data of a file) under `dims`, without reordering. */
export function decodeNpy(
  bytes: Uint8Array,
  header: Pick<NpyHeader, 'dtype' | 'itemBytes' | 'bigEndian'>,
  dims: readonly number[],
): FeedTensor {
  const n = dims.reduce((m, d) => m * d, 1);
  const data = arrayOf(header.dtype, n);
  if (!data) return fail('DATA_FORMAT', `type ${header.dtype} has no array form`);
  const target = new Uint8Array(data.buffer);
  target.set(bytes.subarray(0, n * header.itemBytes));
  if (header.bigEndian) {
    for (let i = 0; i < target.length; i += header.itemBytes) target.subarray(i, i + header.itemBytes).reverse();
  }
  return { dtype: header.dtype, dims, data };
}

/** Column-major [a, b, …] to row-major of the same shape. */
function toRowMajor(data: FeedTensor['data'], shape: readonly number[]): FeedTensor['data'] {
  if (!ArrayBuffer.isView(data)) return data;
  const out = data.slice();
  const index = new Array<number>(shape.length).fill(0);
  const strides: number[] = [];
  let stride = 1;
  for (const d of shape) {
    strides.push(stride);
    stride *= d;
  }
  let from = 0;
  for (let o = 0; o < out.length; o++) {
    out[o] = data[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]!++;
      from += strides[axis]!;
      if (index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}
