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
  for (let i = 0; i < n; i++) {
    const row = (n - 1 - i) * n;
    for (let j = 0; j <= i; j++) {
      const rest = h[row + n - 1 - j]! - dot(c, i * n, c, j * n, j);
      if (i === j) c[i * n + i] = Math.sqrt(Math.max(rest, floor, Number.MIN_VALUE));
      else c[i * n + j] = rest / c[j * n + j]!;
    }
  }
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) l[i * n + j] = c[(n - 1 - j) * n + n - 1 - i]!;
  return l;
}

/** x with LᵀL·x = r, for the L of {@link reverseCholesky}. `r` is overwritten with x. */
export function solveReverse(l: Float64Array, n: number, r: Float64Array): void {
  for (let i = n - 1; i >= 0; i--) { // Lᵀa = r: row i of Lᵀ is column i of L
    const a = r[i]! / l[i * n + i]!;
    r[i] = a;
    addScaled(r, 0, -a, l, i * n, i);
  }
  for (let i = 0; i < n; i++) r[i] = (r[i]! - dot(l, i * n, r, 0, i)) / l[i * n + i]!;
}
