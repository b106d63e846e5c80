import { z } from 'zod';
import { roundHalfEven } from '../scheme/rounding.js';
import { solveParts, type Ends, type Fitted, type ScaleAndZero } from './parts.js';
import type { WeightMethod } from './types.js';

const options = z.strictObject({
  p: z
    .number()
    .min(0)
    .max(1)
    .default(0.7)
    .describe('Exponent of the norm of the error: the smaller, the less outliers count.'),
  beta: z.number().positive().default(10).describe('How closely the auxiliary error follows at first.'),
  kappa: z.number().min(1).default(1.01).describe('Growth of beta in each round.'),
  rounds: z.number().int().positive().default(20).describe('Most rounds; it stops once the error grows.'),
});
type Options = z.output<typeof options>;

/**
 * Half-quadratic quantization: min ‖W − s·(Q − z)‖_p with an auxiliary error e, in turn e = shrink(W − s·(Q − z)) and
 * the grid that is best for W − e in closed form: the zero point z = ⟨Q − (W − e)/s⟩, or the scale s = ⟨(W −
 * e)·q⟩/⟨q·q⟩ with q = Q − z where the zero point is fixed. shrink is the proximal step of |x|^p: sign(x)·max(0, |x| −
 * |x|^(p−1)/β).
 * source: Badri and Shaji 2023, https://mobiusml.github.io/hqq_blog/; unlike there, zero points are rounded to codes at
 * the end, for kernels hold them so, and scales are then fitted once more.
 */
export const hqq = {
  name: 'hqq',
  doc:
    'Fits zero points, or scales where the zero point is fixed, so that few large errors count less than many ' +
    'small ones (half-quadratic quantization). Needs no data; where there are, weights are first fitted to what ' +
    'earlier layers really give.',
  options,
  inputs: 'optional',
  solve(problem, o) {
    return solveParts(problem, ({ values }, start) => fitPart(values, start, problem.grid, o));
  },
} satisfies WeightMethod<Options>;

function fitPart(
  values: Float64Array,
  { scale: startScale, zero: startZero }: ScaleAndZero,
  { low, high, symmetric }: Ends,
  { p, beta: first, kappa, rounds }: Options,
): Fitted {
  const clipped = (q: number): number => (q > high ? high : q < low ? low : q);
  const n = values.length;
  let [scale, zero] = [startScale, startZero];
  let best = { scale, zero: startZero, error: norm(values, startScale, startZero, low, high, p) };
  let beta = first;
  let least = Infinity;
  let tried = startZero;
  for (let round = 0; round < rounds; round++, beta *= kappa) {
    const all = (1 / beta) ** (1 / (2 - p)); // smaller errors are shrunk to nothing
    let [sum, up, down, off] = [0, 0, 0, 0];
    for (let i = 0; i < n; i++) {
      const w = values[i]!;
      const q = clipped(roundHalfEven(w / scale + zero));
      const e = w - (q - zero) * scale;
      const size = Math.abs(e);
      const kept = size <= all ? 0 : Math.max(0, size - size ** (p - 1) / beta) * Math.sign(e);
      off += size;
      sum += q - (w - kept) / scale;
      up += (w - kept) * (q - zero);
      down += (q - zero) ** 2;
    }
    if (off >= least) break;
    least = off;
    if (symmetric) {
      const made = down > 0 ? up / down : 0;
      if (!(made > 0)) break;
      scale = made;
    } else zero = sum / n;
    const whole = symmetric ? startZero : Math.min(high, Math.max(low, roundHalfEven(zero)));
    if (!symmetric && whole === tried) continue;
    tried = whole;
    const error = norm(values, scale, whole, low, high, p);
    if (error < best.error) best = { scale, zero: whole, error };
  }
  if (symmetric) return best;
  // The scale that is best for the rounded zero point.
  let [up, down] = [0, 0];
  for (let i = 0; i < n; i++) {
    const q = clipped(roundHalfEven(values[i]! / best.scale) + best.zero) - best.zero;
    up += q * values[i]!;
    down += q * q;
  }
  const made = down > 0 ? up / down : 0;
  const error = made > 0 ? norm(values, made, best.zero, low, high, p) : Infinity;
  return error < best.error ? { scale: made, zero: best.zero, error } : best;
}

/** Σ |w − s·(Q − z)|^p with the nearest codes. */
function norm(values: Float64Array, scale: number, zero: number, low: number, high: number, p: number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const q = roundHalfEven(values[i]! / scale) + zero;
    const size = Math.abs(values[i]! - ((q > high ? high : q < low ? low : q) - zero) * scale);
    if (size > 0) sum += size ** p;
  }
  return sum;
}
