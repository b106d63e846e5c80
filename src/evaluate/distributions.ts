/** Quantiles that intervals at any confidence need. */

/**
 * Quantile of the standard normal distribution, 0 < p < 1, to a relative 1e-9. Source: P. J. Acklam, "An algorithm for
 * computing the inverse normal cumulative distribution function" (2003).
 */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return (
      polynomial(
        q,
        [
          -7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968,
          2.938163982698783,
        ],
      ) / polynomial(q, [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1])
    );
  }
  const q = p - 0.5;
  const r = q * q;
  return (
    (q *
      polynomial(
        r,
        [
          -3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2, -3.066479806614716e1,
          2.506628277459239,
        ],
      )) /
    polynomial(
      r,
      [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1, 1],
    )
  );
}
const polynomial = (x: number, coefficients: readonly number[]): number =>
  coefficients.reduce((sum, c) => sum * x + c, 0);

/** Quantile of Student's t, 0 < p < 1, for one degree of freedom or more. */
export function tQuantile(p: number, freedom: number): number {
  if (p < 0.5) return -tQuantile(1 - p, freedom);
  if (freedom > 200) {
    // the expansion is then right to 1e-8: Abramowitz & Stegun 26.7.5
    const z = normalQuantile(p);
    const [z3, z5] = [z ** 3, z ** 5];
    return (
      z +
      (z3 + z) / (4 * freedom) +
      (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom ** 2) +
      (3 * z ** 7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * freedom ** 3)
    );
  }
  const above = (t: number): number => 0.5 * incompleteBeta(freedom / 2, 0.5, freedom / (freedom + t * t));
  let high = 1;
  while (above(high) > 1 - p) high *= 2;
  return bisect((t) => above(t) <= 1 - p, 0, high);
}

/** Above so many samples the exact interval and its approximation are the same to six digits. */
const EXACT = 1e6;

/**
 * Two-sided exact interval of a share, from `hits` among `n`, which may be fractions; of any counts at all in bounded
 * time. Source: Clopper & Pearson 1934, Biometrika 26:404.
 */
export function shareInterval(hits: number, n: number, confidence: number): [low: number, high: number] {
  // Counts of a record that anybody wrote: what is no count tells nothing of the share.
  if (!(n > 0 && n <= Number.MAX_SAFE_INTEGER && hits >= 0 && hits <= n)) return [0, 1];
  const tail = (1 - confidence) / 2;
  if (n > EXACT)
    return [
      hits <= 0 ? 0 : betaQuantile(tail, hits, n - hits + 1),
      hits >= n ? 1 : betaQuantile(1 - tail, hits + 1, n - hits),
    ];
  const atMost = (share: number, k: number): number => incompleteBeta(n - k, k + 1, 1 - share); // P(X ≤ k)
  return [
    hits <= 0 ? 0 : bisect((share) => 1 - atMost(share, hits - 1) >= tail, 0, 1),
    hits >= n ? 1 : bisect((share) => atMost(share, hits) <= tail, 0, 1),
  ];
}

/**
 * Quantile of a beta distribution with a + b large, in closed form; off by at most a twentieth of an interval where one
 * of them is small. Source: Paulson 1942 (Annals of Mathematical Statistics 13:233), by the cube root of F.
 */
function betaQuantile(p: number, a: number, b: number): number {
  // The cube root fits the tails of the smaller one.
  if (a > b) return 1 - betaQuantile(1 - p, b, a);
  if (a === 1) return -Math.expm1(Math.log1p(-p) / b);
  const z = normalQuantile(p);
  const [u, v] = [1 / (9 * a), 1 / (9 * b)];
  const [x, y] = [1 - u, 1 - v];
  const root = Math.sqrt(y * y * u + x * x * v - u * v * z * z);
  const f = Math.max(0, (x * y + z * root) / (y * y - v * z * z)) ** 3;
  return (a * f) / (a * f + b);
}

/** Where a condition that is false at `low` and true at `high` turns true, to 4e-15 of their distance. */
export function bisect(holds: (x: number) => boolean, low: number, high: number): number {
  for (let i = 0; i < 48; i++) {
    const middle = low + (high - low) / 2;
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** Regularized incomplete beta function I_x(a, b). Source: continued fraction by Lentz's method, DLMF 8.17.22. */
export function incompleteBeta(a: number, b: number, x: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // the fraction converges fast on this side only
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(b, a, 1 - x);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / nonZero(1 - ((a + b) * x) / (a + 1), tiny);
  let fraction = d;
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonZero(1 + even * d, tiny);
    c = nonZero(1 + even / c, tiny);
    fraction *= c * d;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + odd * d, tiny);
    c = nonZero(1 + odd / c, tiny);
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return Math.min(1, front * fraction);
}
const nonZero = (x: number, tiny: number): number => (Math.abs(x) < tiny ? tiny : x);

/** log Γ(x) for x > 0: Stirling's series, after shifting x above 10 (DLMF 5.11.1); relative error below 1e-14. */
function logGamma(x: number): number {
  let shift = 0;
  let at = x;
  while (at < 10) {
    shift += Math.log(at);
    at++;
  }
  const r = 1 / (at * at);
  return (
    (at - 0.5) * Math.log(at) -
    at +
    0.5 * Math.log(2 * Math.PI) +
    polynomial(r, [-1 / 1680, 1 / 1260, -1 / 360, 1 / 12]) / at -
    shift
  );
}
