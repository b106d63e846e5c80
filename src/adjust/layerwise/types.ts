/** How the codes of a layer's weights are chosen, beyond rounding each to the nearest. */
import type { z } from 'zod';
import type { RowsProblem } from './layer.js';

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
  /** Whether it looks at what the layer's inputs are (needs calibration data). */
  readonly needsInputs: boolean;
  /** Pure. */
  solve(problem: RowsProblem, options: O): Solved;
}
