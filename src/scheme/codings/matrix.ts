/** Rows of weights and their blocks, packing of codes, and the reference of decoding. */
import { Tensor } from '../../ir/tensor.js';
import type { Coded, Matrix } from './types.js';

/**
 * The matrix of a weight of shape `dims` whose output channels lie on `axis`, and on the axes before it; or on the last
 * one alone.
 */
export function matrixOf(values: Float32Array, dims: readonly number[], axis: number): Matrix {
  const turned = axis === dims.length - 1 && axis > 0;
  const rows = turned ? dims[axis]! : dims.slice(0, axis + 1).reduce((n, d) => n * d, 1); // the last of the dims
  const columns = rows === 0 ? 0 : values.length / rows;
  return { values, rows, columns, rowStride: turned ? 1 : columns, columnStride: turned ? rows : 1 };
}

/** Elements row by row, each row filled up with zeros to a multiple of `size`. */
export function rowMajor({ values, rows, columns, rowStride, columnStride }: Matrix, size = columns): Float32Array {
  const width = paddedWidth(columns, size);
  const out = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) out[r * width + c] = values[r * rowStride + c * columnStride]!;
  return out;
}
export const paddedWidth = (columns: number, size: number): number =>
  columns === 0 ? 0 : Math.ceil(columns / size) * size;

/** Largest finite magnitude of each block of `size` neighbours. */
export function blockMaxima(values: Float32Array, size: number): Float32Array {
  const out = new Float32Array(size ? values.length / size : 0);
  for (let i = 0; i < values.length; i++) {
    const a = Math.abs(values[i]!);
    const b = Math.floor(i / size);
    if (a > out[b]! && Number.isFinite(a)) out[b] = a;
  }
  return out;
}

/** Index of the level nearest to x in ascending levels; ties to the lower one. NaN gives the level nearest to zero. */
export function nearestLevel(levels: ArrayLike<number>, x: number): number {
  const value = Number.isNaN(x) ? 0 : x;
  let low = 0;
  let high = levels.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value > (levels[middle]! + levels[middle + 1]!) / 2) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many codes with `levels` values fit into a byte. */
export const codesPerByte = (levels: number): number => Math.max(1, Math.floor(Math.log(256.5) / Math.log(levels)));

/**
 * How codes with `levels` values are stored: digits in bytes where that is tightest, a type of ONNX that fits, or bit
 * planes.
 */
export function packingOf(levels: number): 'digits' | 'planes' | 'uint4' | 'uint8' {
  const bits = Math.ceil(Math.log2(levels));
  return bits === 8 ? 'uint8' : bits === 4 ? 'uint4' : codesPerByte(levels) > 2 ? 'digits' : 'planes';
}

/** Codes in the smallest storage for their number of levels. */
export function packed(
  codes: ArrayLike<number>,
  levels: number,
  dims: readonly number[],
): Pick<Coded, 'codes' | 'perByte' | 'planes'> {
  const packing = packingOf(levels);
  if (packing === 'uint8' || packing === 'uint4') return { codes: Tensor.codes(packing, codes, dims) };
  if (packing === 'planes') {
    const planes = Math.ceil(Math.log2(levels));
    return { codes: bitPlanes(codes, planes), planes };
  }
  const perByte = codesPerByte(levels);
  const bytes = new Uint8Array(Math.ceil(codes.length / perByte));
  for (let i = codes.length - 1; i >= 0; i--) {
    const b = Math.floor(i / perByte);
    bytes[b] = bytes[b]! * levels + codes[i]!;
  }
  return { codes: Tensor.codes('uint8', bytes), perByte };
}

/** Widths of the planes of codes of 3, 5, 6 or 7 bits; the first holds the lowest bits. */
export const planeWidths = (bits: number): readonly number[] => [4, 2, 1].filter((width) => (bits & width) !== 0);

/**
 * Codes of `bits` bits as [bits, length / 8] bytes: `width` rows for each plane. The codes are eight runs of a length;
 * byte j of row r of a plane holds digit j of runs r, r + width, r + 2·width …, the first in the lowest bits. So all
 * planes unpack by shifts that broadcast to [2, 2, 2, length / 8]. The last run is filled up with zeros.
 */
function bitPlanes(codes: ArrayLike<number>, bits: number): Tensor {
  const run = Math.ceil(codes.length / 8);
  const out = new Uint8Array(bits * run);
  let low = 0;
  for (const width of planeWidths(bits)) {
    for (let i = 0; i < codes.length; i++) {
      const s = Math.floor(i / run);
      out[(low + (s % width)) * run + (i % run)]! |=
        ((codes[i]! >> low) & (2 ** width - 1)) << (Math.floor(s / width) * width);
    }
    low += width; // rows and bits are as many
  }
  return Tensor.codes('uint8', out, [bits, run]);
}

/** Code i of bit planes. */
function planeCode(bytes: Float32Array, bits: number, i: number): number {
  const run = bytes.length / bits;
  const s = Math.floor(i / run);
  let [low, code] = [0, 0];
  for (const width of planeWidths(bits)) {
    code |=
      ((bytes[(low + (s % width)) * run + (i % run)]! >> (Math.floor(s / width) * width)) & (2 ** width - 1)) << low;
    low += width;
  }
  return code;
}

/** For each byte the values of its codes: [levels^perByte, perByte]. */
export function unpackTable(levels: Float32Array, perByte: number): Tensor {
  const count = levels.length ** perByte;
  const out = new Float32Array(count * perByte);
  for (let b = 0; b < count; b++)
    for (let i = 0, rest = b; i < perByte; i++, rest = Math.floor(rest / levels.length))
      out[b * perByte + i] = levels[rest % levels.length]!;
  return Tensor.f32(out, [count, perByte]);
}

/** The codes one by one, row-major [rows, width]: what was stored, taken out of bytes and planes. */
export function plainCodes(coded: Coded, { rows, columns }: Pick<Matrix, 'rows' | 'columns'>): Float32Array {
  const width = paddedWidth(columns, coded.block ?? columns);
  const { planes, perByte } = coded;
  const raw = coded.codes.f32();
  if (planes === undefined && perByte === undefined) return raw;
  const count = coded.levels?.dims[coded.levels.dims.length - 1] ?? 0;
  return Float32Array.from(
    { length: rows * width },
    (_, at) =>
      planes !== undefined
        ? planeCode(raw, planes, at)
        : Math.floor((raw[Math.floor(at / perByte!)] ?? 0) / count ** (at % perByte!)) % count, // one of both is set
  );
}

/**
 * The float32 values of a coded weight, in the places that `matrixOf` gave them. The reference for what runtimes
 * compute.
 */
export function decode(coded: Coded, { rows, columns, rowStride, columnStride }: Omit<Matrix, 'values'>): Float32Array {
  const size = coded.block ?? columns;
  const width = paddedWidth(columns, size);
  const own = coded.levels?.f32();
  const count = coded.levels ? coded.levels.dims[coded.levels.dims.length - 1]! : 0; // levels have an axis
  const rowsOfTable = coded.levels?.dims.length === 2 ? rows / coded.levels.dims[0]! : Infinity; // of two axes
  const codes = plainCodes(coded, { rows, columns });
  const scale = coded.scale?.f32();
  const blocks = size ? width / size : 0;
  const out = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const at = r * width + c;
      const code = codes[at]!;
      let value = own ? own[Math.floor(r / rowsOfTable) * count + code]! : code - (coded.zeroPoint ?? 0);
      if (scale) value = Math.fround(value * scale[r * blocks + Math.floor(c / size)]!);
      if (coded.factor !== undefined) value = Math.fround(value * Math.fround(coded.factor));
      out[r * rowStride + c * columnStride] = value;
    }
  }
  return out;
}
