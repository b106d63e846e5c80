/** Dense linear algebra on float64 row-major matrices: what layer-wise quantization solves. */
import { linearKernels, type LinearKernels } from './linear-kernels.js';

/**
 * Puts L in the place of a symmetric positive definite H [n, n]: lower triangular with LᵀL = H. Component i of L·e
 * holds e_0 … e_i only, so that ‖L·e‖² = eᵀHe can be made small one coordinate after the other. A pivot that is not
 * positive is taken as the smallest useful one (H is then singular along it, and nothing depends on the coordinate).
 * `sums` [16] is room for partial results; where it and `h` come from the kernels, they do the work.
 */
export function factorReverse(
  h: Float64Array,
  n: number,
  sums: Float64Array,
  kernels: LinearKernels = linearKernels(),
): void {
  // Cholesky of H with both axes turned around: C·Cᵀ. Then L[i][j] = C[n-1-j][n-1-i].
  h.reverse();
  let floor = 0;
  for (let i = 0; i < n; i++) floor = Math.max(floor, Math.abs(h[i * n + i]!));
  floor *= 1e-12;
  for (let first = 0; first < n; first += TOGETHER) {
    // some lines together: each line above is fetched once for all of them
    const end = Math.min(n, first + TOGETHER);
    for (let j = 0; j < end; j++) {
      const from = Math.max(j, first);
      kernels.dots(h, j * n, h, from * n, n, end - from, j, sums, 0);
      let i = from;
      if (i === j) {
        h[j * n + j] = Math.sqrt(Math.max(h[j * n + j]! - sums[0]!, floor, Number.MIN_VALUE));
        i++;
      }
      for (const pivot = h[j * n + j]!; i < end; i++) h[i * n + j] = (h[i * n + j]! - sums[i - from]!) / pivot;
    }
  }
  for (let i = 0; i < n; i++) h.fill(0, i * n + i + 1, (i + 1) * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < Math.min(i + 1, n - 1 - i); j++) {
      // mirrored at the other diagonal
      const [a, b] = [i * n + j, (n - 1 - j) * n + n - 1 - i];
      const x = h[a]!;
      h[a] = h[b]!;
      h[b] = x;
    }
  }
}
const TOGETHER = 16;

/** The L of {@link factorReverse}; H stays. */
export function reverseCholesky(h: Float64Array, n: number, kernels: LinearKernels = linearKernels()): Float64Array {
  const [l, sums] = kernels.arrays(n * n, TOGETHER) as [Float64Array, Float64Array]; // as many as asked for
  l.set(h);
  factorReverse(l, n, sums, kernels);
  return l.slice();
}

/**
 * x with LᵀL·x = r for each of `count` ≤ 16 rows r of `rows` [count, n], which x takes the place of. `room` [256] is
 * for partial results; arrays as for {@link factorReverse}.
 */
export function solveReverse(
  l: Float64Array,
  n: number,
  rows: Float64Array,
  count: number,
  room: Float64Array,
  kernels: LinearKernels = linearKernels(),
): void {
  const lines: number[] = [];
  for (let end = n; end > 0; end -= TOGETHER) {
    // Lᵀa = r: row i of Lᵀ is column i of L
    const first = Math.max(0, end - TOGETHER);
    lines.length = 0;
    for (let i = end - 1; i >= first; i--) {
      const m = lines.push(i * n) - 1;
      for (let r = 0; r < count; r++) {
        const a = rows[r * n + i]! / l[i * n + i]!;
        rows[r * n + i] = a;
        room[r * TOGETHER + m] = -a;
        for (let j = first; j < i; j++) rows[r * n + j]! += -a * l[i * n + j]!;
      }
    }
    kernels.addLines(rows, 0, n, count, room, TOGETHER, l, lines, first);
  }
  for (let i = 0; i < n; i++) {
    kernels.dots(l, i * n, rows, 0, n, count, i, room, 0);
    for (let r = 0; r < count; r++) rows[r * n + i] = (rows[r * n + i]! - room[r]!) / l[i * n + i]!;
  }
}
