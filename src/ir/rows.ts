/** Matrices read a part of their rows at a time, as float32: what quantizing a file larger than memory works on. */
import { fail } from '../base/errors.js';
import { decodeFloats, halfValues } from './convert.js';
import { dtypeBits } from './dtype.js';
import { Tensor } from './tensor.js';

/** Element (row, column) of a matrix is at row·rowStride + column·columnStride of the tensor; one of both is 1. */
export interface RowsOf {
  readonly tensor: Tensor;
  readonly rows: number;
  readonly columns: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** Values that are held at a time: 32 MiB of float32. */
const SLAB = 1 << 23;
/** A matrix whose rows lie crosswise is read as a whole up to so many bytes: runs of a few bytes are slow to read. */
const WHOLE_BYTES = 40 * 2 ** 20;

/** Rows of a matrix, some at a time and in order: float32 [count, columns]. `multiple`: of rows, but for the last. */
export function* slabsOf(
  m: RowsOf,
  multiple = 1,
): Generator<{ readonly first: number; readonly count: number; readonly values: Float32Array }> {
  const { rows, columns, tensor, columnStride } = directRows(m);
  const most = Math.max(1, Math.floor(SLAB / Math.max(1, columns)));
  const count = Math.max(multiple, most - (most % multiple));
  const whole = columnStride !== 1 && tensor.byteLength <= WHOLE_BYTES ? tensor.bytes() : undefined;
  for (let first = 0; first < rows; first += count) {
    const n = Math.min(count, rows - first);
    yield { first, count: n, values: readRows(m, first, n, whole) };
  }
}

/** Rows [first, first + count) of a matrix, row-major. `whole`: the bytes of the tensor, where they are held. */
export function readRows(m: RowsOf, first: number, count: number, whole?: Uint8Array): Float32Array {
  const { tensor, columns, rowStride, columnStride } = directRows(m);
  const { dtype } = tensor;
  const width = dtypeBits(dtype) / 8;
  if (!Number.isInteger(width) || (rowStride !== 1 && columnStride !== 1))
    fail('INTERNAL', `bug in quantbench: a ${dtype} matrix cannot be read by rows`);
  if (columnStride === 1)
    return decode(dtype, tensor.range(first * rowStride * width, count * columns * width), count * columns);
  const all = whole ?? tensor.range(first * width, count * width, columns, columnStride * width);
  const [stride, from] = whole ? [columnStride, first] : [count, 0];
  return turn(decode(dtype, all, columns * stride), { columns, count, stride, from });
}

/** The same matrix in the tensor that a turned one is made of. */
export function directRows(m: RowsOf): RowsOf {
  const { turned } = m.tensor.source;
  if (!turned) return m;
  const [a, b] = m.tensor.dims as readonly [number, number]; // only matrices are turned
  // an element at i·b + j of the turned one is at j·a + i
  const stride = (own: number): number => (own === 1 ? a : own / b);
  return directRows({ ...m, tensor: turned, rowStride: stride(m.rowStride), columnStride: stride(m.columnStride) });
}

/** float16 and bfloat16 by table. */
function decode(dtype: Tensor['dtype'], bytes: Uint8Array, n: number): Float32Array {
  if ((dtype !== 'float16' && dtype !== 'bfloat16') || bytes.byteOffset % 2)
    return decodeFloats(dtype, bytes, n, Float32Array);
  const codes = new Uint16Array(bytes.buffer, bytes.byteOffset, n);
  const values = halfValues(dtype);
  const out = new Float32Array(n);
  for (let i = 0; i < n; i++) out[i] = values[codes[i]!]!;
  return out;
}

const TILE = 64;
/** [columns, stride] of which columns from…from + count become rows: [count, columns]. */
function turn(
  values: Float32Array,
  o: { readonly columns: number; readonly count: number; readonly stride: number; readonly from: number },
): Float32Array {
  const { columns, count, stride, from } = o;
  const out = new Float32Array(count * columns);
  for (let c0 = 0; c0 < columns; c0 += TILE) {
    const c1 = Math.min(columns, c0 + TILE);
    for (let r0 = 0; r0 < count; r0 += TILE) {
      const r1 = Math.min(count, r0 + TILE);
      for (let c = c0; c < c1; c++) {
        const line = c * stride + from;
        for (let r = r0; r < r1; r++) out[r * columns + c] = values[line + r]!;
      }
    }
  }
  return out;
}

/** The transpose of a matrix of whole bytes, turned each time it is read. */
export function turnedTensor(matrix: Tensor): Tensor {
  const [rows, columns] = matrix.dims as readonly [number, number]; // the caller has checked
  const width = dtypeBits(matrix.dtype) / 8;
  const { byteLength } = matrix;
  const part = Math.max(1, Math.floor((4 * SLAB) / Math.max(1, rows * width)));
  /** Some rows of the result: some columns of the matrix. */
  const some = (first: number, count: number): Uint8Array => {
    const from = matrix.range(first * width, count * width, rows, columns * width);
    const out = new Uint8Array(from.length);
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < count; c++)
        for (let k = 0; k < width; k++) out[(c * rows + r) * width + k] = from[(r * count + c) * width + k]!;
    return out;
  };
  return new Tensor(matrix.dtype, [columns, rows], {
    byteLength,
    turned: matrix,
    read: () => some(0, columns),
    *pieces() {
      for (let first = 0; first < columns; first += part) yield some(first, Math.min(part, columns - first));
    },
  });
}
