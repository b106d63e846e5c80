/** Weights that are held as their codes, and computed each time they are read. */
import { item } from '../base/lists.js';
import { byteLength, dtypeBits, type DType } from '../ir/dtype.js';
import { encodeTensor } from '../ir/encode.js';
import { readRows } from '../ir/rows.js';
import { elementCount, Tensor } from '../ir/tensor.js';
import { dequantize, quantize } from '../scheme/arithmetic.js';
import type { QuantParams, RowSolver } from '../scheme/types.js';

/** What codes mean, in the type of the weight. Rows with scales of their own can be read apart. */
export function heldAsCodes(codes: Tensor, params: QuantParams, dtype: DType): Tensor {
  const { dims } = codes;
  const length = byteLength(dtype, codes.size);
  const valuesOf = (c: Tensor, p: QuantParams): Uint8Array => encodeTensor(dtype, c.dims, dequantize(c, p)).bytes();
  const { granularity: g } = params.scheme;
  const [rows, columns] = [item(dims, 0), codes.size / item(dims, 0)];
  const apart = g.kind === 'block' && dims.length === 2 && g.axis === 1 && (columns * dtypeBits(codes.dtype)) % 8 === 0;
  if (!apart) return new Tensor(dtype, dims, { byteLength: length, read: () => valuesOf(codes, params) });
  const [blocks, codeBytes] = [params.scale.length / rows, codes.byteLength / rows];
  const some = (first: number, count: number): Uint8Array =>
    valuesOf(new Tensor(codes.dtype, [count, columns], codes.range(first * codeBytes, count * codeBytes)), {
      ...params,
      dims: [count, blocks],
      scale: params.scale.subarray(first * blocks, (first + count) * blocks),
      zeroPoint: params.zeroPoint.subarray(first * blocks, (first + count) * blocks),
    });
  return byRows(dtype, dims, some);
}

/** A table whose codes are chosen while it is written, as its codes will mean it. */
export function roundedRows(table: Tensor, later: RowSolver): Tensor {
  const { dtype, dims } = table;
  const columns = item(dims, 1);
  return byRows(dtype, dims, (first, count) => {
    const of = [count, columns] as const;
    const values = readRows(
      { tensor: table, rows: item(dims, 0), columns, rowStride: columns, columnStride: 1 },
      first,
      count,
    );
    const params = later.solve(values, of);
    const codes = params.codes ?? quantize(values, of, params);
    return encodeTensor(dtype, of, dequantize(codes, params)).bytes();
  });
}

/** A matrix of which some rows are computed at a time. */
function byRows(dtype: DType, dims: readonly number[], some: (first: number, count: number) => Uint8Array): Tensor {
  const rows = item(dims, 0);
  const length = byteLength(dtype, elementCount(dims));
  const rowBytes = length / rows;
  return new Tensor(dtype, dims, {
    byteLength: length,
    read: () => some(0, rows),
    range(offset, size, n = 1, stride = size, into = new Uint8Array(size * n)) {
      const first = Math.floor(offset / rowBytes);
      const end = Math.ceil((offset + (n - 1) * stride + size) / rowBytes);
      const bytes = some(first, end - first);
      const from = offset - first * rowBytes;
      for (let i = 0; i < n; i++) into.set(bytes.subarray(from + i * stride, from + i * stride + size), i * size);
      return into;
    },
  });
}
