import { z } from 'zod';
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import { adamStep } from './adam.js';
import type { Optimiser, StepContext } from './types.js';

export interface MuonOptions {
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly iterations: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly decay: number;
}

/** a·X + b·(X·Xᵀ)·X + c·(X·Xᵀ)²·X draws singular values from (0, 1] to about 1, quickly rather than exactly. */
const [A, B, C] = [3.4445, -4.775, 2.0315];
/** Root mean square of a step of Adam, which that of a matrix is made like: one rate does for both. */
const LIKE_ADAM = 0.2;

/** Rows are what axis 0 counts: channels out of a convolution. Undefined for what is no matrix, such as biases. */
function matrixOf(shape: readonly number[]): readonly [rows: number, columns: number] | undefined {
  const [rows = 1, ...rest] = shape;
  const columns = rest.reduce((p, d) => p * d, 1);
  return Math.min(rows, columns) > 1 ? [rows, columns] : undefined;
}

/** The matrix with all singular values near 1, by Newton and Schulz's iteration. */
function orthogonal({ add, number }: StepContext, given: Value, wide: boolean, iterations: number): Value {
  const norm = add('Add', add('ReduceL2', given), number(1e-7));
  let x = add('Div', wide ? given : add('Transpose', given), norm);
  for (let i = 0; i < iterations; i++) {
    const gram = add('MatMul', x, add('Transpose', x));
    const both = add('Add', add('Mul', gram, number(B)), add('Mul', add('MatMul', gram, gram), number(C)));
    x = add('Add', add('Mul', x, number(A)), add('MatMul', both, x));
  }
  return wide ? x : add('Transpose', x);
}

/**
 * Matrices and kernels, as matrices of a row for each output, step along the orthogonal factor of their momentum, as
 * long as a step of Adam is; all else steps as AdamW does. Decay is AdamW's.
 * source: https://kellerjordan.github.io/posts/muon/; the length of a step: https://arxiv.org/abs/2502.16982
 */
export const muon = {
  name: 'muon',
  doc: 'Steps of matrices and kernels are made orthogonal, so that all directions are learned at once; else AdamW.',
  options: z.strictObject({
    momentum: z.number().min(0).lt(1).default(0.95).describe('Share of the momentum of a matrix that is kept.'),
    nesterov: z.boolean().default(true).describe('Looks one step of the momentum ahead.'),
    iterations: z.number().int().min(1).max(20).default(5).describe('Of Newton and Schulz, towards orthogonal.'),
    beta1: z.number().min(0).lt(1).default(0.9).describe('Elsewhere: share of the mean of gradients that is kept.'),
    beta2: z.number().min(0).lt(1).default(0.999).describe('Elsewhere: share of the mean of squares that is kept.'),
    epsilon: z.number().positive().default(1e-8).describe('Elsewhere: added to the root of the squares.'),
    decay: z.number().min(0).default(0.01).describe('Weight decay.'),
  }),
  state: (_, shape) => (matrixOf(shape) ? ['momentum'] : ['mean', 'squares']),
  step(context, options) {
    const { parameter: w, gradient: g, rate, shape, decays, add, number, reshape } = context;
    const { decay, momentum } = options;
    const kept = decays && decay ? add('Mul', w, add('Sub', number(1), add('Mul', rate, number(decay)))) : w;
    const matrix = matrixOf(shape);
    if (!matrix) return adamStep(context, kept, options);
    const [rows, columns] = matrix;
    const v = add('Add', add('Mul', item(context.state, 0), number(momentum)), g); // one is named
    const along = options.nesterov ? add('Add', g, add('Mul', v, number(momentum))) : v;
    const made = orthogonal(context, reshape(along, matrix), rows <= columns, options.iterations);
    const length = add('Mul', rate, number(LIKE_ADAM * Math.sqrt(Math.max(rows, columns))));
    return { parameter: add('Sub', kept, reshape(add('Mul', made, length), shape)), state: [v] };
  },
} as const satisfies Optimiser<MuonOptions>;
