/**
 * Logarithms of the softmax of scores[at …] into `out`. A row that already is a distribution (none below 0, sum 1
 * within 1e-3) is not softmaxed once more. False where a score is NaN or +∞, or all are −∞.
 */
export function logProbabilities(scores: ArrayLike<number>, at: number, out: Float64Array): boolean {
  const n = out.length;
  let high = -Infinity;
  let sum = 0;
  let least = Infinity;
  for (let c = 0; c < n; c++) {
    const x = scores[at + c]!;
    if (Number.isNaN(x)) return false;
    if (x > high) high = x;
    if (x < least) least = x;
    sum += x;
  }
  if (!Number.isFinite(high)) return false;
  if (least >= 0 && Math.abs(sum - 1) < 1e-3) {
    for (let c = 0; c < n; c++) out[c] = Math.log(scores[at + c]! / sum);
    return true;
  }
  let total = 0;
  for (let c = 0; c < n; c++) total += Math.exp(scores[at + c]! - high);
  const log = Math.log(total);
  for (let c = 0; c < n; c++) out[c] = scores[at + c]! - high - log; // in this order large scores lose nothing
  return true;
}

/**
 * A probability of 0 where the other model has more would give an infinite divergence; no logarithm goes below this.
 */
export const LEAST_LOG = -100;

/** Kullback–Leibler divergence p ‖ q in nats from logarithms of both (Kullback & Leibler 1951). */
export function divergence(p: Float64Array, q: Float64Array): number {
  let sum = 0;
  for (let c = 0; c < p.length; c++)
    // equal lengths
    if (p[c]! > -Infinity) sum += Math.exp(p[c]!) * (p[c]! - Math.max(q[c]!, Math.min(p[c]!, LEAST_LOG)));
  return sum;
}
