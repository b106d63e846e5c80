/** Codes of a matrix in blocks of its rows, packed as onnxruntime's MatMulNBits and GatherBlockQuantized read them. */
import { dtypeBits } from '../ir/dtype.js';
import type { Tensor } from '../ir/tensor.js';
import { layoutOf } from '../scheme/layout.js';
import type { QuantParams } from '../scheme/types.js';

/** Element (row, column) of a matrix is at row·rowStride + column·columnStride of the tensor. */
export interface MatrixLayout {
  readonly rows: number;
  readonly columns: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

export interface BlockedCodes {
  readonly rows: number;
  readonly columns: number;
  /** Blocks of a row; the last one may be short. */
  readonly blocks: number;
  /** [rows, blocks]. */
  readonly scale: Float32Array;
  /**
   * Bytes of [rows, blocks] codes, each row filled up to whole bytes; undefined where all are the middle, which kernels
   * take without being told.
   */
  readonly zeroPoint: Uint8Array | undefined;
  /** Codes of rows that are filled up to whole blocks. */
  padded(): Uint8Array;
  /** Codes of rows of exactly `columns`, each filled up to whole bytes. */
  exact(): Uint8Array;
}

/**
 * Codes as unsigned numbers, the first in the low bits: signed ones are moved up by half of their range. `params` has
 * blocks along the columns. source:
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
 */
export function blockedCodes(
  codes: Tensor,
  params: QuantParams,
  { rows, columns, rowStride, columnStride }: MatrixLayout,
): BlockedCodes {
  const { dtype, granularity } = params.scheme;
  const bits = dtypeBits(dtype);
  const middle = 2 ** (bits - 1);
  const up = dtype.startsWith('u') ? 0 : middle;
  const size = granularity.kind === 'block' ? granularity.size : columns;
  const blocks = Math.ceil(columns / size);
  const { groupStride } = layoutOf(codes.dims, params.scheme.granularity);
  const paramAt = (r: number, block: number): number =>
    columnStride === 1 ? r * blocks + block : block * groupStride + r;
  const scale = new Float32Array(rows * blocks);
  const zeros = new Uint8Array(rows * blocks);
  for (let r = 0; r < rows; r++)
    for (let k = 0; k < blocks; k++) {
      const p = paramAt(r, k);
      scale[r * blocks + k] = params.scale[p]!;
      zeros[r * blocks + k] = params.zeroPoint[p]! + up;
    }
  const values = codes.f32();
  const pack = (width: number): Uint8Array => {
    const perByte = 8 / bits;
    const bytes = Math.ceil(width / perByte);
    const out = new Uint8Array(rows * bytes);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < width; c++) {
        const code =
          // what is filled up means zero
          c < columns ? values[r * rowStride + c * columnStride]! + up : zeros[r * blocks + Math.floor(c / size)]!;
        out[r * bytes + Math.floor(c / perByte)]! |= code << ((c % perByte) * bits);
      }
    }
    return out;
  };
  return {
    rows,
    columns,
    blocks,
    scale,
    zeroPoint: zeros.every((z) => z === middle) ? undefined : packRows(zeros, rows, blocks, bits),
    padded: () => pack(blocks * size),
    exact: () => pack(columns),
  };
}

function packRows(codes: Uint8Array, rows: number, width: number, bits: number): Uint8Array {
  const perByte = 8 / bits;
  const bytes = Math.ceil(width / perByte);
  const out = new Uint8Array(rows * bytes);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < width; c++)
      out[r * bytes + Math.floor(c / perByte)]! |= codes[r * width + c]! << ((c % perByte) * bits);
  return out;
}
