import { z } from 'zod';
import { zerosOf } from './pattern.js';
import type { SparsityMethod, SparsityProblem } from './types.js';

const options = z.strictObject({});

/**
 * The smallest weights go; those that stay, stay as they are. source: Han et al. 2015, https://arxiv.org/abs/1506.02626
 */
export const magnitude = {
  name: 'magnitude',
  doc: 'The smallest weights become zero. Needs no data; where much goes, train afterwards.',
  options,
  inputs: 'none',
  scope: 'layer',
  prune: (problem) =>
    without(
      problem,
      problem.weights.map((w) => Math.abs(w)),
    ),
} satisfies SparsityMethod<z.output<typeof options>>;

/** The weights, zero where scores are lowest. */
export function without(
  { groups, rows, columns, weights, pattern }: SparsityProblem,
  scores: Float64Array,
): Float64Array {
  const gone = zerosOf(scores, groups * rows, columns, pattern);
  return weights.map((w, at) => (gone[at] ? 0 : w));
}
