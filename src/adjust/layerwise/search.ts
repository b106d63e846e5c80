/** The scale and zero point of each part that round its weights with the least error. */
import type { RowsProblem } from './layer.js';
import { partsOf, roundingError } from './parts.js';

/** Below this many codes every zero point is tried, from here on the start's and its neighbours. */
const FEW_CODES = 8;
/** The narrowest range that is tried, as a share of the start's. */
const NARROWEST = 0.2;

/**
 * Tries `steps` narrower ranges, from that of the grid down to a fifth of it, with each zero point that may do where the
 * grid leaves it free. The error is that of rounding, weighted with the diagonal of the Hessian.
 */
export function searchGrid(problem: RowsProblem, steps: number): { readonly scale: Float64Array; readonly zeroPoint: Int32Array } {
  const { grid: { low, high, symmetric, ...grid } } = problem;
  const scale = grid.scale.slice();
  const zeroPoint = grid.zeroPoint.slice();
  for (const { part: p, values, weights } of partsOf(problem)) {
    const start = grid.zeroPoint[p]!; // p is a part
    const [from, to] = symmetric ? [start, start] : high - low < FEW_CODES ? [low, high] : [Math.max(low, start - 1), Math.min(high, start + 1)];
    let least = Infinity;
    for (let s = 0; s < steps; s++) {
      const tried = grid.scale[p]! * (1 - ((1 - NARROWEST) * s) / steps);
      for (let z = from; z <= to; z++) {
        const error = roundingError(values, weights, tried, z, low, high);
        if (error < least) { least = error; scale[p] = tried; zeroPoint[p] = z; }
      }
    }
  }
  return { scale, zeroPoint };
}
