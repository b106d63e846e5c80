/** How it is decided which weights become zero, and what becomes of those that stay. */
import type { z } from 'zod';
import type { Pattern } from './pattern.js';

/** The weights of a layer as rows of what its outputs sum over; those of its groups one below the other. */
export interface SparsityProblem {
  readonly groups: number;
  /** Of each group. */
  readonly rows: number;
  readonly columns: number;
  /** [groups · rows, columns]. */
  readonly weights: Float64Array;
  readonly pattern: Pattern;
  /** Mean square of each input, [groups, columns]. Undefined where no inputs were looked at. */
  readonly energies?: Float64Array | undefined;
  /** Mean of x·xᵀ of each group [columns, columns], about the mean of x where a bias makes up for that. */
  readonly products?: readonly Float64Array[] | undefined;
}

export interface SparsityMethod<O = unknown> {
  readonly name: string;
  readonly doc: string;
  readonly options: z.ZodType<O>;
  /** What it looks at beside weights. */
  readonly inputs: 'none' | 'energies' | 'products';
  /** Among which weights a share is counted where the recipe does not say. */
  readonly scope: 'row' | 'layer';
  /** The weights with zeros as the pattern says. Pure. */
  prune(problem: SparsityProblem, options: O): Float64Array;
}
