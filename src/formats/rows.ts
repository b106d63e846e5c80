/** Codes of some rows of a matrix, packed as {@link blockedCodes} packs them, without a tensor of codes in between. */
import { dtypeBits } from '../ir/dtype.js';
import { clipRange } from '../scheme/params.js';
import { MAGIC } from '../scheme/rounding.js';
import type { QuantParams } from '../scheme/types.js';

export interface PackedRows {
  readonly codes: Uint8Array;
  /** As unsigned codes, [rows, blocks]. */
  readonly zeros: Uint8Array;
}

const { fround } = Math;

/** Bytes of a row of codes; `padded` where it is filled up to whole blocks. */
export function rowBytes(columns: number, { scheme }: QuantParams, padded: boolean): number {
  const size = scheme.granularity.kind === 'block' ? scheme.granularity.size : columns;
  const width = padded ? Math.ceil(columns / size) * size : columns;
  return Math.ceil((width * dtypeBits(scheme.dtype)) / 8);
}

/**
 * Rows of finite float32 `values` [rows, columns] in blocks along the columns, codes and parameters [rows, blocks] as
 * `params` has them: its codes, else the nearest ones. What fills up a row means zero.
 */
export function packRows(
  values: Float32Array,
  [rows, columns]: readonly [number, number],
  params: QuantParams,
  padded: boolean,
): PackedRows {
  const { scheme, scale, zeroPoint } = params;
  const bits = dtypeBits(scheme.dtype);
  const up = scheme.dtype.startsWith('u') ? 0 : 2 ** (bits - 1);
  const size = scheme.granularity.kind === 'block' ? scheme.granularity.size : columns;
  const blocks = Math.ceil(columns / size);
  const bytes = rowBytes(columns, params, padded);
  const out = new Uint8Array(rows * bytes);
  const zeros = zerosOf(params);
  const [low, high] = clipRange(scheme);
  const given = params.codes?.f32();
  for (let r = 0; r < rows; r++) {
    let at = r * columns;
    for (let k = 0; k < blocks; k++) {
      const p = r * blocks + k;
      const [s, z] = [scale[p]!, zeroPoint[p]!];
      const end = at + Math.min(size, columns - k * size);
      const to = r * bytes + (k * size * bits) / 8;
      if (given) packGiven(given, at, end, up, bits, out, to);
      else if (bits === 4) packNibbles(values, at, end, s, z, low, high, up, out, to);
      else {
        for (let i = at; i < end; i++) {
          const q = fround(values[i]! / s) + MAGIC - MAGIC + z;
          const code = (q >= high ? high : q > low ? q : low) + up;
          const bit = (i - at) * bits;
          out[to + (bit >> 3)]! |= code << (bit & 7);
        }
      }
      if (padded) fill(end - at, size, zeros[p]!, bits, out, to);
      at = end;
    }
  }
  return { codes: out, zeros };
}

/** Zero points as unsigned codes. */
export function zerosOf({ scheme, zeroPoint }: QuantParams): Uint8Array {
  const up = scheme.dtype.startsWith('u') ? 0 : 2 ** (dtypeBits(scheme.dtype) - 1);
  const out = new Uint8Array(zeroPoint.length);
  for (let i = 0; i < out.length; i++) out[i] = zeroPoint[i]! + up;
  return out;
}

/** Two codes of 4 bits a byte, the first in the low half. */
function packNibbles(
  values: Float32Array,
  from: number,
  end: number,
  s: number,
  z: number,
  low: number,
  high: number,
  up: number,
  out: Uint8Array,
  to: number,
): void {
  let byte = to;
  let i = from;
  for (; i + 1 < end; i += 2, byte++) {
    const a = fround(values[i]! / s) + MAGIC - MAGIC + z;
    const b = fround(values[i + 1]! / s) + MAGIC - MAGIC + z;
    out[byte] = ((a >= high ? high : a > low ? a : low) + up) | (((b >= high ? high : b > low ? b : low) + up) << 4);
  }
  if (i >= end) return;
  const a = fround(values[i]! / s) + MAGIC - MAGIC + z;
  out[byte] = (a >= high ? high : a > low ? a : low) + up;
}

function packGiven(
  codes: Float32Array,
  from: number,
  end: number,
  up: number,
  bits: number,
  out: Uint8Array,
  to: number,
): void {
  for (let i = from; i < end; i++) {
    const bit = (i - from) * bits;
    out[to + (bit >> 3)]! |= (codes[i]! + up) << (bit & 7);
  }
}

/** Codes from `from` to `size` of a block. */
function fill(from: number, size: number, code: number, bits: number, out: Uint8Array, to: number): void {
  for (let i = from; i < size; i++) out[to + ((i * bits) >> 3)]! |= code << ((i * bits) & 7);
}
