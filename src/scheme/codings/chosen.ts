/** Coded weights taken apart into levels, codes and scales, and put together again with others. */
import { integerRange } from '../../ir/dtype.js';
import { Tensor } from '../../ir/tensor.js';
import { packed, paddedWidth, plainCodes } from './matrix.js';
import type { Coded, Matrix } from './types.js';

/** value = levels[code] · scale, each row filled up to whole blocks of `size`. */
export interface CodeGrid {
  /** Ascending: [levels] for all, or [rows · levels]. */
  readonly levels: Float32Array;
  readonly count: number;
  /** Indices of levels, row-major [rows, width]. */
  readonly codes: Int32Array;
  readonly width: number;
  readonly size: number;
  /** [rows · blocks]; undefined where levels are the values. */
  readonly scale: Float32Array | undefined;
}

/** Undefined for codes that are numbers of a float type, and for scales that are not float32. */
export function gridOf(coded: Coded, m: Omit<Matrix, 'values'>): CodeGrid | undefined {
  const size = coded.block ?? m.columns;
  const width = paddedWidth(m.columns, size);
  const raw = plainCodes(coded, m);
  if ((coded.scale && coded.scale.dtype !== 'float32') || coded.factor !== undefined) return undefined;
  const scale = coded.scale?.f32();
  if (coded.levels) {
    const count = coded.levels.dims[coded.levels.dims.length - 1] ?? 1;
    return { levels: coded.levels.f32(), count, codes: Int32Array.from(raw), width, size, scale };
  }
  const zero = coded.zeroPoint ?? integerRange(coded.codes.dtype)?.[1];
  if (zero === undefined) return undefined;
  const levels = Float32Array.from({ length: 2 * zero + 1 }, (_, i) => i - zero);
  const codes = Int32Array.from(raw, (c) => c - (coded.zeroPoint ?? 0) + zero);
  return { levels, count: levels.length, codes, width, size, scale };
}

/** The same kind of coded weight with other codes, levels and scales. */
export function withGrid(coded: Coded, { levels, count, codes, width, scale }: CodeGrid): Coded {
  const rows = width ? codes.length / width : 0;
  const dims = [rows, width];
  const zero = coded.levels ? undefined : (count - 1) / 2;
  const plain = zero !== undefined && coded.zeroPoint === undefined;
  const stored = plain
    ? {
        codes: Tensor.codes(
          coded.codes.dtype,
          codes.map((c) => c - zero),
          dims,
        ),
      }
    : packed(codes, coded.levels ? count : count + 1, dims);
  return {
    ...coded,
    ...stored,
    ...(coded.levels ? { levels: Tensor.f32(levels, coded.levels.dims) } : {}),
    ...(coded.scale && scale ? { scale: Tensor.f32(scale, coded.scale.dims) } : {}),
  };
}
