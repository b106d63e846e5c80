import { z } from 'zod';
import { item } from '../../base/lists.js';
import { reverseCholesky } from '../../codes/linear.js';
import { dot, linearKernels } from '../../codes/linear-kernels.js';
import { magnitude } from './magnitude.js';
import { competing, wantedUpTo, withShare, zerosOf, type Pattern } from './pattern.js';
import type { SparsityMethod } from './types.js';

const options = z.strictObject({
  damping: z
    .number()
    .min(0)
    .default(0.01)
    .describe('Share of the mean energy of inputs that is added to each, so that inputs never seen cannot be misused.'),
  columns: z
    .number()
    .int()
    .positive()
    .default(128)
    .describe('Inputs for which it is decided at once which weights go, where a share or blocks go.'),
  sweeps: z
    .number()
    .int()
    .min(0)
    .default(10)
    .describe(
      'Rounds of coordinate descent after it: columns make up for those behind them only, and these bring what stays ' +
        'to what is best for the zeros. 0 for the method as published.',
    ),
});
type Options = z.output<typeof options>;

/**
 * Weights become zero column after column, and the columns that follow make up for what that did to the outputs. With
 * LᵀL = H the error is ‖L·e‖² and component i holds e_0 … e_i, so that the weights of columns not yet visited that are
 * best for the errors so far are w_i + Σ_{j<i} L_ij e_j / L_ii, and making one of them zero costs its square times
 * L_ii²: the 1 / [H⁻¹]_ii of the paper, among the columns that follow. source: Frantar and Alistarh 2023,
 * https://arxiv.org/abs/2301.00774
 */
export const sparsegpt = {
  name: 'sparsegpt',
  doc:
    'Weights become zero column after column where that costs least, and the others make up for the error of the ' +
    'outputs on calibration samples (SparseGPT).',
  options,
  inputs: 'products',
  scope: 'layer',
  prune(problem, o) {
    const { groups, rows, columns, weights, products, pattern } = problem;
    if (!products) return magnitude.prune(problem);
    const made = new Float64Array(weights.length);
    for (let g = 0; g < groups; g++) {
      const own = weights.subarray(g * rows * columns, (g + 1) * rows * columns);
      made.set(
        pruneRows(own, rows, columns, damped(item(products, g), columns, o.damping), pattern, o),
        g * own.length,
      );
    }
    return made;
  },
} satisfies SparsityMethod<Options>;

function damped(products: Float64Array, columns: number, damping: number): Float64Array {
  const h = products.slice();
  let trace = 0;
  for (let i = 0; i < columns; i++) trace += item(h, i * columns + i);
  const more = trace > 0 ? (damping * trace) / columns : 1;
  for (let i = 0; i < columns; i++) h[i * columns + i] = item(h, i * columns + i) + more;
  return h;
}

/** Rows that go through the matrix together, so that a line of it is fetched once for all of them. */
const TOGETHER = 16;

function pruneRows(
  target: Float64Array,
  rows: number,
  columns: number,
  hessian: Float64Array,
  pattern: Pattern,
  o: Options,
): Float64Array {
  const factor = reverseCholesky(hessian, columns);
  const kernels = linearKernels();
  const step = Math.min(columns, stepOf(pattern, o.columns));
  const [l, error, before] = kernels.arrays(columns * columns, rows * columns, rows * step) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ]; // as many as asked for
  l.set(factor);
  const gone = new Uint8Array(rows * columns);
  for (let s = 0, chosen = 0; s < columns; s += step) {
    const end = Math.min(columns, s + step);
    const width = end - s;
    // Σ_{j<s} L_ij e_j, of each column the rows
    for (let i = s; i < end; i++)
      for (let first = 0; first < rows; first += TOGETHER) {
        const count = Math.min(TOGETHER, rows - first);
        kernels.dots(l, i * columns, error, first * columns, columns, count, s, before, (i - s) * rows + first);
      }
    // What the weights would be if none of these went, and what it costs to make each zero.
    const scores = new Float64Array(rows * width);
    const mean = new Float64Array(width);
    for (let r = 0; r < rows; r++)
      for (let i = s; i < end; i++) {
        const sum = item(before, (i - s) * rows + r) + dot(l, i * columns + s, mean, 0, i - s);
        const pivot = item(l, i * columns + i);
        mean[i - s] = -sum / pivot; // the error that it then has
        scores[r * width + i - s] = ((item(target, r * columns + i) + sum / pivot) * pivot) ** 2;
      }
    const wanted = wantedUpTo(pattern, rows, end) - chosen;
    chosen += wanted;
    const zeros = zerosOf(scores, rows, width, withShare(pattern, wanted / competing(pattern, rows, width)));
    for (let r = 0; r < rows; r++)
      for (let i = s; i < end; i++) {
        const at = r * columns + i;
        const sum = item(before, (i - s) * rows + r) + dot(l, i * columns + s, error, r * columns + s, i - s);
        if (zeros[r * width + i - s]) {
          gone[at] = 1;
          error[at] = item(target, at);
        } else error[at] = -sum / item(l, i * columns + i);
      }
  }
  const made = target.map((w, at) => (gone[at] ? 0 : w - item(error, at)));
  if (o.sweeps > 0) descend(made, target, gone, rows, columns, hessian, o.sweeps);
  return made;
}

/** Columns that are decided on together: whole groups or blocks. */
function stepOf(pattern: Pattern, columns: number): number {
  if (pattern.kind === 'ratio') return pattern.of;
  return pattern.kind === 'blocks' ? Math.ceil(columns / pattern.columns) * pattern.columns : columns;
}

/** Coordinate descent on the weights that stay: each in turn becomes what is best for the others. */
function descend(
  made: Float64Array,
  target: Float64Array,
  gone: Uint8Array,
  rows: number,
  columns: number,
  hessian: Float64Array,
  sweeps: number,
): void {
  const kernels = linearKernels();
  const [h, error, gradient, sums] = kernels.arrays(
    columns * columns,
    TOGETHER * columns,
    TOGETHER * columns,
    TOGETHER,
  ) as [Float64Array, Float64Array, Float64Array, Float64Array]; // as many as asked for
  h.set(hessian);
  for (let first = 0; first < rows; first += TOGETHER) {
    const count = Math.min(TOGETHER, rows - first);
    const from = first * columns;
    for (let i = 0; i < count * columns; i++) error[i] = item(target, from + i) - item(made, from + i);
    for (let i = 0; i < columns; i++) {
      kernels.dots(h, i * columns, error, 0, columns, count, columns, sums, 0);
      for (let b = 0; b < count; b++) gradient[b * columns + i] = item(sums, b);
    }
    for (let sweep = 0; sweep < sweeps; sweep++)
      for (let i = 0; i < columns; i++) {
        const own = item(h, i * columns + i);
        for (let b = 0; b < count; b++) {
          const at = from + b * columns + i;
          if (gone[at]) continue;
          const move = item(gradient, b * columns + i) / own;
          made[at] = item(made, at) + move;
          kernels.addScaled(gradient, b * columns, -move, h, i * columns, columns);
        }
      }
  }
}
