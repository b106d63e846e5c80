/** Descent on eᵀHe, the error of a layer's outputs by the sums of its inputs: no sample is looked at again. */
import { z } from 'zod';
import { item } from '../base/lists.js';
import { TOGETHER } from '../codes/gptq.js';
import { linearKernels, type LinearKernels } from '../codes/linear-kernels.js';
import type { Solved } from '../codes/types.js';
import type { RowsProblem } from '../channels/layer.js';

/** Option of methods that learn by it. */
export const iterations = z
  .number()
  .int()
  .positive()
  .default(200)
  .describe('Steps for each row. A step takes as many multiplications as the layer has weights, times its columns.');

/** Learns all rows of a problem, some of them together. */
export function learnRows(problem: RowsProblem, learn: (rows: GramRows, first: number, count: number) => void): void {
  const rows = new GramRows(problem);
  for (let first = 0; first < problem.rows; first += TOGETHER)
    learn(rows, first, Math.min(TOGETHER, problem.rows - first));
}

/** The error of a few rows at a time, and its gradient. */
export class GramRows {
  readonly #kernels: LinearKernels;
  readonly #hessian: Float64Array;
  readonly #lines: Int32Array;
  readonly columns: number;
  /** e = target − weight of each row [TOGETHER, columns]: to be set. */
  readonly error: Float64Array;
  /** H·e of each row. */
  readonly gradient: Float64Array;

  constructor({ columns, hessian }: RowsProblem, kernels: LinearKernels = linearKernels()) {
    this.#kernels = kernels;
    this.columns = columns;
    // as many as asked for
    [this.#hessian, this.error, this.gradient] = kernels.arrays(
      columns ** 2,
      TOGETHER * columns,
      TOGETHER * columns,
    ) as [Float64Array, Float64Array, Float64Array];
    this.#hessian.set(hessian);
    this.#lines = Int32Array.from({ length: columns }, (_, c) => c * columns);
  }

  /** Sets the gradients of `count` rows and gives eᵀHe of each. */
  measure(count: number): Float64Array {
    const { columns: k, error, gradient } = this;
    gradient.fill(0, 0, count * k);
    this.#kernels.addLines(gradient, 0, k, count, error, k, this.#hessian, this.#lines, k);
    const sums = new Float64Array(count);
    for (let r = 0; r < count; r++)
      for (let i = r * k; i < (r + 1) * k; i++) sums[r] = item(sums, r) + item(error, i) * item(gradient, i);
    return sums;
  }

  /** Sets the errors of some rows for given codes, and measures them. */
  of(
    { target, grid, columns: k }: RowsProblem,
    { codes, scale, zeroPoint }: Solved,
    first: number,
    count: number,
  ): Float64Array {
    for (let at = first * k, i = 0; i < count * k; at++, i++) {
      const p = item(grid.part, at);
      this.error[i] = item(target, at) - (item(codes, at) - item(zeroPoint, p)) * item(scale, p);
    }
    return this.measure(count);
  }
}

/** Adam on float64. source: https://arxiv.org/abs/1412.6980 */
export class Adam {
  readonly #mean: Float64Array;
  readonly #squares: Float64Array;
  #steps = 0;
  constructor(size: number) {
    this.#mean = new Float64Array(size);
    this.#squares = new Float64Array(size);
  }
  /** Moves `values` against `gradient` by a rate. */
  step(values: Float64Array, gradient: Float64Array, rate: number): void {
    this.#steps++;
    const [first, second] = [1 - 0.9 ** this.#steps, 1 - 0.999 ** this.#steps];
    for (let i = 0; i < values.length; i++) {
      const g = item(gradient, i);
      const m = (this.#mean[i] = 0.9 * item(this.#mean, i) + 0.1 * g);
      const v = (this.#squares[i] = 0.999 * item(this.#squares, i) + 0.001 * g * g);
      if (v > 0) values[i] = item(values, i) - (rate * m) / first / Math.sqrt(v / second);
    }
  }
}
