/** What a product of two small matrices makes up for of the error of quantized weights. */
import type { Matrix } from 'ml-matrix';
import { item } from '../base/lists.js';
import type { LowRankTerm } from '../scheme/quantized.js';
import { falling, gramOf, matrixOf, rootOf } from './spectrum.js';

/** Inputs count at least this share of their mean square: what was never seen may come. */
const LEAST = 1e-4;

/**
 * The term of a rank nearest to an error [rows, columns], W − Q, on inputs of which only the mean squares are known;
 * all columns count alike without them. source: Zhang et al. 2024, https://arxiv.org/abs/2402.02446 (LQER), with root mean
 * squares
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
  if (rows <= columns) return along(falling(gramOf(counted)).vectors, error, rows, columns, rank);
  const narrow = new Float32Array(columns * rank);
  const wide = new Float32Array(rank * rows);
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
  return { rank, narrow, wide, rows, columns };
}

/**
 * The same where Σ x·xᵀ ÷ places [columns, columns] is known: along the directions in which the outputs of the error
 * are largest, the least that the rank allows. source: Zhang et al. 2024, https://arxiv.org/abs/2410.06040 (QERA, exact)
 */
export function lowRankOutputs(
  error: Float64Array,
  rows: number,
  columns: number,
  wanted: number,
  products: Float64Array,
): LowRankTerm {
  const rank = Math.min(wanted, rows, columns);
  const inputs = matrixOf(products, columns, columns);
  // What was never seen counts a little.
  const some = (LEAST * inputs.trace()) / columns || Number.MIN_VALUE;
  for (let c = 0; c < columns; c++) inputs.set(c, c, inputs.get(c, c) + some);
  const e = matrixOf(error, rows, columns);
  const root = rootOf(inputs);
  const seen = e.mmul(root);
  if (rows <= columns) return along(falling(gramOf(seen)).vectors, error, rows, columns, rank);
  const { values, vectors } = falling(gramOf(seen.transpose()));
  const u = seen.mmul(vectors.subMatrix(0, columns - 1, 0, rank - 1));
  for (let k = 0; k < rank; k++) u.mulColumn(k, 1 / Math.sqrt(Math.max(item(values, k), Number.MIN_VALUE)));
  return along(u, error, rows, columns, rank);
}

/** U·Uᵀ·E, of orthonormal columns. */
function along(u: Matrix, error: Float64Array, rows: number, columns: number, rank: number): LowRankTerm {
  const narrow = new Float32Array(columns * rank);
  const wide = new Float32Array(rank * rows);
  for (let k = 0; k < rank; k++) {
    for (let r = 0; r < rows; r++) wide[k * rows + r] = u.get(r, k);
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += u.get(r, k) * item(error, r * columns + c);
      narrow[c * rank + k] = sum;
    }
  }
  return { rank, narrow, wide, rows, columns };
}
