/** The scale and zero point of each part that round its weights with the least error. */
import { item } from '../base/lists.js';
import type { RowsProblem } from '../channels/layer.js';
import { linearKernels, type LinearKernels } from './linear-kernels.js';
import { negate, partsOf, roundingError } from './parts.js';

/** Below this many codes every zero point is tried, from here on the start's and its neighbours. */
const FEW_CODES = 8;
/** The narrowest range that is tried, as a share of the start's. */
const NARROWEST = 0.2;

/**
 * Tries `steps` ranges, from the widest down to a fifth of that of the grid, with each zero point that may do where the
 * grid leaves it free. The widest is that of the grid, or the one that clips no weight: symmetric grids have one level
 * less above zero than below, which at 2 bits cuts a third off the largest weight. Where scales may be negative, both
 * signs are tried. The error is that of rounding, weighted with the diagonal of the Hessian.
 */
export function searchGrid(
  problem: RowsProblem,
  steps: number,
  kernels: LinearKernels = linearKernels(),
): { readonly scale: Float64Array; readonly zeroPoint: Int32Array } {
  const {
    grid: { low, high, symmetric, signed, ...grid },
  } = problem;
  const scale = grid.scale.slice();
  const zeroPoint = grid.zeroPoint.slice();
  let scratch: Float64Array | undefined;
  const room = (n: number): [Float64Array, Float64Array] => {
    // as many as asked for
    const [values, weights, third] = kernels.arrays(n, n, n) as [Float64Array, Float64Array, Float64Array];
    scratch = third;
    return [values, weights];
  };
  for (const { part: p, values, weights } of partsOf(problem, room)) {
    const start = grid.zeroPoint[p]!; // p is a part
    const [from, to] = symmetric
      ? [start, start]
      : high - low < FEW_CODES
        ? [low, high]
        : [Math.max(low, start - 1), Math.min(high, start + 1)];
    const size = Math.abs(item(grid.scale, p));
    let least = Infinity;
    for (const sign of signed ? SIGNS : POSITIVE) {
      if (sign < 0) negate(values);
      const widest = symmetric ? Math.max(size, unclipped(values, low - start, high - start)) : size;
      const narrowest = (NARROWEST * size) / widest;
      const best = kernels.search(values, weights, values.length, scratch!, {
        start: widest,
        narrowest,
        steps,
        from,
        to,
        low,
        high,
      }); // partsOf asks for room first
      const s = Math.floor(best / (to - from + 1));
      const found = widest * (1 - ((1 - narrowest) * s) / steps);
      const zero = from + (best % (to - from + 1));
      const error = signed ? roundingError(values, weights, found, zero, low, high) : 0;
      if (!(error < least)) continue;
      least = error;
      scale[p] = sign * found;
      zeroPoint[p] = zero;
    }
  }
  return { scale, zeroPoint };
}

const POSITIVE = [1];
const SIGNS = [1, -1];

/** The least scale at which codes from `low` to `high` reach every value: 0 is among the codes. */
function unclipped(values: Float64Array, low: number, high: number): number {
  let least = 0;
  for (const v of values) least = Math.max(least, v > 0 ? v / Math.max(high, 1) : v / Math.min(low, -1));
  return least;
}
