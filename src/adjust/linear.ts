/** Dense linear algebra on float64 row-major matrices: what layer-wise quantization solves. */

/** Σ a[i + from]·b[j + from] over `count` neighbours, in four sums so that additions do not wait for each other. */
export function dot(a: Float64Array, i: number, b: Float64Array, j: number, count: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  const whole = count - (count % 4);
  let k = 0;
  for (; k < whole; k += 4) {
    s0 += a[i + k]! * b[j + k]!;
    s1 += a[i + k + 1]! * b[j + k + 1]!;
    s2 += a[i + k + 2]! * b[j + k + 2]!;
    s3 += a[i + k + 3]! * b[j + k + 3]!;
  }
  for (; k < count; k++) s0 += a[i + k]! * b[j + k]!;
  return s0 + s1 + (s2 + s3);
}

/** a[i…] += by · b[j…]. */
export function addScaled(a: Float64Array, i: number, by: number, b: Float64Array, j: number, count: number): void {
  for (let k = 0; k < count; k++) a[i + k]! += by * b[j + k]!;
}

/** a[i…] += Σ by[m] · b[lines[m]·stride…]: four lines at a time, so that `a` is read and written once for all four. */
export function addLines(a: Float64Array, i: number, by: Float64Array, b: Float64Array, lines: readonly number[], stride: number, count: number): void {
  let m = 0;
  for (; m + 3 < lines.length; m += 4) {
    const [b0, b1, b2, b3] = [by[m]!, by[m + 1]!, by[m + 2]!, by[m + 3]!];
    const [l0, l1, l2, l3] = [lines[m]! * stride, lines[m + 1]! * stride, lines[m + 2]! * stride, lines[m + 3]! * stride];
    for (let k = 0; k < count; k++) a[i + k]! += b0 * b[l0 + k]! + b1 * b[l1 + k]! + (b2 * b[l2 + k]! + b3 * b[l3 + k]!);
  }
  for (; m < lines.length; m++) addScaled(a, i, by[m]!, b, lines[m]! * stride, count);
}

/**
 * L lower triangular with LᵀL = H for a symmetric positive definite H [n, n]: component i of L·e holds e_0 … e_i only, so
 * that ‖L·e‖² = eᵀHe can be made small one coordinate after the other. A pivot that is not positive is taken as the
 * smallest useful one (H is then singular along it, and nothing depends on the coordinate).
 */
export function reverseCholesky(h: Float64Array, n: number): Float64Array {
  // Cholesky of H with both axes turned around: C·Cᵀ. Then L[i][j] = C[n-1-j][n-1-i].
  const c = new Float64Array(n * n);
  let floor = 0;
  for (let i = 0; i < n; i++) floor = Math.max(floor, Math.abs(h[i * n + i]!));
  floor *= 1e-12;
  for (let first = 0; first < n; first += LINES) { // some lines together: each line above is fetched once for all of them
    const end = Math.min(n, first + LINES);
    for (let j = 0; j < end; j++) {
      for (let i = Math.max(j, first); i < end; i++) {
        const rest = h[(n - 1 - i) * n + n - 1 - j]! - dot(c, i * n, c, j * n, j);
        if (i === j) c[i * n + i] = Math.sqrt(Math.max(rest, floor, Number.MIN_VALUE));
        else c[i * n + j] = rest / c[j * n + j]!;
      }
    }
  }
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) l[i * n + j] = c[(n - 1 - j) * n + n - 1 - i]!;
  return l;
}

/** x with LᵀL·x = r for each row r of `rows` [count, n], for the L of {@link reverseCholesky}. The rows are overwritten with x. */
export function solveReverse(l: Float64Array, n: number, rows: Float64Array, count = 1): void {
  for (let first = 0; first < count; first += LINES) { // some rows together: each line of L is fetched once for all of them
    const end = Math.min(count, first + LINES);
    for (let i = n - 1; i >= 0; i--) { // Lᵀa = r: row i of Lᵀ is column i of L
      for (let r = first; r < end; r++) {
        const a = rows[r * n + i]! / l[i * n + i]!;
        rows[r * n + i] = a;
        addScaled(rows, r * n, -a, l, i * n, i);
      }
    }
    for (let i = 0; i < n; i++) for (let r = first; r < end; r++) rows[r * n + i] = (rows[r * n + i]! - dot(l, i * n, rows, r * n, i)) / l[i * n + i]!;
  }
}
const LINES = 16;
