/** Rounding of a real number to an integer, by the rules that quantizers use. */
import type { Rng } from '../base/rng.js';
import type { Rounding } from './types.js';

/** 1.5 · 2^52: adding it leaves a double no bit for a fraction, so the sum itself rounds half to even. */
export const MAGIC = 6755399441055744;

/**
 * x rounded half to even, as ONNX, numpy and onnxruntime do. Never −0. Exact for every double; NaN and ±Infinity pass
 * through.
 */
export function roundHalfEven(x: number): number {
  if (Math.abs(x) < 2251799813685248) return x + MAGIC - MAGIC;
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

/**
 * The function for a rule. `stochastic` rounds up with the probability of the fraction, drawn from `rng`; the other
 * rules ignore it.
 */
export function roundingFunction(rule: Rounding, rng: Rng): (x: number) => number {
  switch (rule) {
    case 'half-even':
      return roundHalfEven;
    case 'half-away':
      return (x) => (x < 0 ? -halfUp(-x) : halfUp(x)) + 0;
    case 'toward-zero':
      return (x) => Math.trunc(x) + 0;
    case 'floor':
      return (x) => Math.floor(x) + 0;
    case 'ceil':
      return (x) => Math.ceil(x) + 0; // + 0 turns −0 into 0
    case 'stochastic':
      return (x) => {
        const low = Math.floor(x);
        return low + (rng.next() < x - low ? 1 : 0);
      };
    default:
      return rule satisfies never;
  }
}

/** For x ≥ 0. Not floor(x + 0.5), which is wrong for the largest double below 0.5. */
function halfUp(x: number): number {
  const low = Math.floor(x);
  return x - low >= 0.5 ? low + 1 : low;
}
