/** The leading directions of a symmetric matrix. */
import { createRng } from '../../base/rng.js';

/** Enough for the weights of a student's start, which are trained afterwards. */
const ROUNDS = 60;

/**
 * Orthonormal columns [n, rank], row-major, that span what the matrix [n, n] is largest in, by orthogonal iteration.
 * The same for the same matrix. Directions in which it is zero are any.
 */
export function leading(matrix: Float64Array, n: number, rank: number): Float64Array {
  const rng = createRng(0, `leading ${n} ${rank}`);
  let q = orthonormal(
    Float64Array.from({ length: n * rank }, () => rng.normal()),
    n,
    rank,
  );
  for (let round = 0; round < ROUNDS; round++) {
    const next = new Float64Array(n * rank);
    for (let i = 0; i < n; i++)
      for (let k = 0; k < n; k++) {
        const a = matrix[i * n + k] ?? 0;
        if (a !== 0)
          for (let r = 0; r < rank; r++) next[i * rank + r] = (next[i * rank + r] ?? 0) + a * (q[k * rank + r] ?? 0);
      }
    q = orthonormal(next, n, rank, q);
  }
  return q;
}

/** Gram–Schmidt, twice over for its digits; a column without length is taken from `before`. */
function orthonormal(columns: Float64Array, n: number, rank: number, before?: Float64Array): Float64Array {
  const at = (i: number, r: number): number => columns[i * rank + r] ?? 0;
  for (let r = 0; r < rank; r++)
    for (let pass = 0; pass < 2; pass++) {
      for (let s = 0; s < r; s++) {
        let dot = 0;
        for (let i = 0; i < n; i++) dot += at(i, r) * at(i, s);
        for (let i = 0; i < n; i++) columns[i * rank + r] = at(i, r) - dot * at(i, s);
      }
      let norm = 0;
      for (let i = 0; i < n; i++) norm += at(i, r) ** 2;
      norm = Math.sqrt(norm);
      for (let i = 0; i < n; i++)
        columns[i * rank + r] = norm > 1e-12 ? at(i, r) / norm : (before?.[i * rank + r] ?? (i === r ? 1 : 0));
    }
  return columns;
}
