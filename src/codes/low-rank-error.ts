/** What a product of two small matrices makes up for of the error of quantized weights. */
import { item } from '../base/lists.js';
import type { LowRankTerm } from '../scheme/quantized.js';
import { falling, gramOf, matrixOf } from './spectrum.js';

/** Inputs count at least this share of their mean square: what was never seen may come. */
const LEAST = 1e-4;

/**
 * The term of a rank nearest to an error [rows, columns], W − Q, where columns count by the mean squares of their inputs;
 * all alike without them. source: Zhang et al. 2024, https://arxiv.org/abs/2402.02446 (LQER), with root mean squares
 */
export function lowRankError(
  error: Float64Array,
  rows: number,
  columns: number,
  wanted: number,
  squares?: Float64Array,
): LowRankTerm {
  const rank = Math.min(wanted, rows, columns);
  const mean = squares ? squares.reduce((n, v) => n + v, 0) / columns || 1 : 1;
  const counts = Float64Array.from({ length: columns }, (_, c) =>
    Math.sqrt(Math.max(squares ? item(squares, c) : 1, LEAST * mean)),
  );
  const counted = matrixOf(
    error.map((v, at) => v * item(counts, at % columns)),
    rows,
    columns,
  );
  const narrow = new Float32Array(columns * rank);
  const wide = new Float32Array(rank * rows);
  if (rows <= columns) {
    // U·Uᵀ·E: what columns count cancels.
    const u = falling(gramOf(counted)).vectors;
    for (let k = 0; k < rank; k++) {
      for (let r = 0; r < rows; r++) wide[k * rows + r] = u.get(r, k);
      for (let c = 0; c < columns; c++) {
        let sum = 0;
        for (let r = 0; r < rows; r++) sum += u.get(r, k) * item(error, r * columns + c);
        narrow[c * rank + k] = sum;
      }
    }
  } else {
    // E·S·V·Vᵀ·S⁻¹
    const v = falling(gramOf(counted.transpose())).vectors;
    for (let k = 0; k < rank; k++) {
      for (let c = 0; c < columns; c++) narrow[c * rank + k] = v.get(c, k) / item(counts, c);
      for (let r = 0; r < rows; r++) {
        let sum = 0;
        for (let c = 0; c < columns; c++) sum += counted.get(r, c) * v.get(c, k);
        wide[k * rows + r] = sum;
      }
    }
  }
  return { rank, narrow, wide, rows, columns };
}
