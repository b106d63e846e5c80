import { z } from 'zod';
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import { adamOptions, adamStep, decayed, type AdamOptions } from './adam.js';
import { withMomentum, type Momentum } from './sgd.js';
import type { Optimiser, StepContext } from './types.js';

export interface MuonOptions extends AdamOptions, Momentum {
  readonly iterations: number;
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
  options: adamOptions(0.01).extend({
    momentum: z.number().min(0).lt(1).default(0.95).describe('Share of the momentum of a matrix that is kept.'),
    nesterov: z.boolean().default(true).describe('Looks one step of the momentum ahead.'),
    iterations: z.number().int().min(1).max(20).default(5).describe('Of Newton and Schulz, towards orthogonal.'),
  }),
  state: (_, shape) => (matrixOf(shape) ? ['momentum'] : ['mean', 'squares']),
  step(context, options) {
    const { gradient, rate, shape, state, add, number, reshape } = context;
    const kept = decayed(context, options.decay);
    const matrix = matrixOf(shape);
    if (!matrix) return adamStep(context, kept, options);
    const [rows, columns] = matrix;
    const { velocity, along } = withMomentum(context, item(state, 0), gradient, options); // one is named
    const made = orthogonal(context, reshape(along, matrix), rows <= columns, options.iterations);
    const length = add('Mul', rate, number(LIKE_ADAM * Math.sqrt(Math.max(rows, columns))));
    return { parameter: add('Sub', kept, reshape(add('Mul', made, length), shape)), state: [velocity] };
  },
} as const satisfies Optimiser<MuonOptions>;
