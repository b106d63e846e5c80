import { z } from 'zod';
import { item } from '../../base/lists.js';
import { magnitude, without } from './magnitude.js';
import type { SparsityMethod } from './types.js';

const options = z.strictObject({});

/**
 * Weights count as much as what they add to the output: |w| times the norm of their input, compared within each row. No
 * weight changes but those that become zero. source: Sun et al. 2023, https://arxiv.org/abs/2306.11695
 */
export const wanda = {
  name: 'wanda',
  doc: 'Weights times the norm of their inputs on calibration samples are compared within each output; the smallest go.',
  options,
  inputs: 'energies',
  scope: 'row',
  prune(problem) {
    const { rows, columns, energies } = problem;
    if (!energies) return magnitude.prune(problem);
    const norms = energies.map(Math.sqrt);
    const norm = (at: number): number => item(norms, Math.floor(at / (rows * columns)) * columns + (at % columns));
    return without(
      problem,
      problem.weights.map((w, at) => Math.abs(w) * norm(at)),
    );
  },
} satisfies SparsityMethod<z.output<typeof options>>;
