/** The scale and zero point of each part that round its weights with the least error. */
import type { RowsProblem } from './layer.js';
import { linearKernels, type LinearKernels } from '../linear-kernels.js';
import { partsOf } from './parts.js';

/** Below this many codes every zero point is tried, from here on the start's and its neighbours. */
const FEW_CODES = 8;
/** The narrowest range that is tried, as a share of the start's. */
const NARROWEST = 0.2;

/**
 * Tries `steps` narrower ranges, from that of the grid down to a fifth of it, with each zero point that may do where the
 * grid leaves it free. The error is that of rounding, weighted with the diagonal of the Hessian.
 */
export function searchGrid(problem: RowsProblem, steps: number, kernels: LinearKernels = linearKernels()): { readonly scale: Float64Array; readonly zeroPoint: Int32Array } {
  const { grid: { low, high, symmetric, ...grid } } = problem;
  const scale = grid.scale.slice();
  const zeroPoint = grid.zeroPoint.slice();
  let scratch: Float64Array | undefined;
  const room = (n: number): [Float64Array, Float64Array] => {
    const [values, weights, third] = kernels.arrays(n, n, n) as [Float64Array, Float64Array, Float64Array]; // as many as asked for
    scratch = third;
    return [values, weights];
  };
  for (const { part: p, values, weights } of partsOf(problem, room)) {
    const start = grid.zeroPoint[p]!; // p is a part
    const [from, to] = symmetric ? [start, start] : high - low < FEW_CODES ? [low, high] : [Math.max(low, start - 1), Math.min(high, start + 1)];
    const best = kernels.search(values, weights, values.length, scratch!, { start: grid.scale[p]!, narrowest: NARROWEST, steps, from, to, low, high }); // partsOf asks for room first
    const s = Math.floor(best / (to - from + 1));
    scale[p] = grid.scale[p]! * (1 - ((1 - NARROWEST) * s) / steps);
    zeroPoint[p] = from + (best % (to - from + 1));
  }
  return { scale, zeroPoint };
}
