/** Eigenvalues of symmetric matrices, and the products with themselves that they are asked of. */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { item } from '../base/lists.js';
import { dot } from './linear-kernels.js';

export interface Spectrum {
  /** Falling, none below zero. */
  readonly values: Float64Array;
  /** Their vectors, as columns. */
  readonly vectors: Matrix;
}

export function falling(symmetric: Matrix): Spectrum {
  const found = new EigenvalueDecomposition(symmetric, { assumeSymmetric: true });
  const order = found.realEigenvalues.map((_, i) => i).reverse(); // they are given rising
  return {
    values: Float64Array.from(order, (i) => Math.max(0, item(found.realEigenvalues, i))),
    vectors: found.eigenvectorMatrix.subMatrixColumn(order),
  };
}

/** M·Mᵀ: each element once, where a product of two matrices would take twice as many and a copy. */
export function gramOf(m: Matrix): Matrix {
  const { rows, columns } = m;
  const flat = Float64Array.from(m.to1DArray());
  const made = Matrix.zeros(rows, rows);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j <= i; j++) {
      const v = dot(flat, i * columns, flat, j * columns, columns);
      made.set(i, j, v);
      made.set(j, i, v);
    }
  return made;
}

/** Rows of a flat list as a matrix. */
export function matrixOf(list: Float64Array, rows: number, columns: number): Matrix {
  return new Matrix(Array.from({ length: rows }, (_, r) => list.subarray(r * columns, (r + 1) * columns)));
}

/** R with R·Rᵀ = C. */
export function rootOf(c: Matrix): Matrix {
  const { values, vectors } = falling(c);
  const made = vectors.clone();
  for (let k = 0; k < values.length; k++) made.mulColumn(k, Math.sqrt(item(values, k)));
  return made;
}
