/** How the codes of a layer's weights are chosen, beyond rounding each to the nearest. */
import type { z } from 'zod';
import { roundHalfEven } from '../scheme/rounding.js';
import type { Grid, RowsProblem } from '../channels/layer.js';

export interface Solved {
  /** One for each weight, row-major. */
  readonly codes: Int32Array;
  /** The grid's scales, possibly changed. */
  readonly scale: Float64Array;
  readonly zeroPoint: Int32Array;
}

export interface WeightMethod<O = unknown> {
  readonly name: string;
  readonly doc: string;
  readonly options: z.ZodType<O>;
  /**
   * Whether it looks at what the layer's inputs are: required needs calibration data, optional takes them where they
   * are.
   */
  readonly inputs: 'none' | 'optional' | 'required';
  /** Pure. */
  solve(problem: RowsProblem, options: O): Solved;
}

/** The code of each weight that is nearest to it on a grid. */
export function nearestCodes(target: Float64Array, { part, scale, zeroPoint, low, high }: Grid): Int32Array {
  const codes = new Int32Array(target.length);
  for (let at = 0; at < target.length; at++) {
    const p = part[at]!; // every element has a part
    codes[at] = Math.min(high, Math.max(low, roundHalfEven(target[at]! / scale[p]!) + zeroPoint[p]!)); // p is a part
  }
  return codes;
}
