/** Rows of a layer that are solved apart from its others, in this thread or another: what is asked, and the answer. */
import type { OrderedHessian, RowsProblem } from '../channels/layer.js';
import { weightMethods } from './index.js';
import { linearKernels, type LinearKernels } from './linear-kernels.js';
import { solveReverse } from './linear.js';
import type { Solved, WeightMethod } from './types.js';

/** A matrix [columns, columns] that threads share: where it begins in the memory of the kernels, or itself. */
export type SharedMatrix = number | Float64Array;

/** The float weights that give, on the inputs of the quantized model, what they gave on their own. */
export interface FitJob {
  readonly kind: 'fit';
  readonly columns: number;
  /** [rows, columns]. */
  readonly float: Float64Array;
  /** With LᵀL the damped Σx̂x̂ᵀ. */
  readonly l: SharedMatrix;
  /** Σx̂xᵀ. */
  readonly cross: Float64Array;
  /** What was added to the diagonal. */
  readonly more: number;
}
export interface SolveJob {
  readonly kind: 'solve';
  readonly problem: Omit<RowsProblem, 'ordered'>;
  readonly ordered: { readonly order: Int32Array; readonly h: SharedMatrix; readonly l: SharedMatrix } | undefined;
  /** Name of the method. */
  readonly method: string;
  readonly options: unknown;
}
export type RowJob = FitJob | SolveJob;
/** A job for a thread, and the range of the memory that it may use. */
export interface ThreadJob {
  readonly job: RowJob;
  readonly from: number;
  readonly to: number;
}
export type ThreadResult = { readonly made: Float64Array | Solved } | { readonly error: unknown };

/** Bytes that a job needs of the kernels' memory, but for the matrices; blocks are of at most 724 columns. */
export const roomOf = (columns: number): number => 8 * 64 * (columns + ROWS) + (4 << 20);

/** Rows that are fitted together. */
export const ROWS = 16;

/**
 * (W·Σxx̂ᵀ + λW)·(Σx̂x̂ᵀ + λ)⁻¹, [rows, columns].
 * source: asymmetric calibration, GPTAQ, https://arxiv.org/abs/2504.02692
 */
export function fitRows({ columns: k, float, cross, more, ...of }: FitJob, kernels = linearKernels()): Float64Array {
  const l = matrixOf(of.l, k, kernels);
  const [line, own, right, room] = kernels.arrays(k, ROWS * k, ROWS * k, ROWS * ROWS) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ]; // as many as asked for
  const made = new Float64Array(float.length);
  const rows = float.length / k;
  for (let first = 0; first < rows; first += ROWS) {
    // some rows together: each line of the sums is fetched once for all of them
    const count = Math.min(ROWS, rows - first);
    own.set(float.subarray(first * k, (first + count) * k));
    for (let c = 0; c < k; c++) {
      line.set(cross.subarray(c * k, (c + 1) * k));
      kernels.dots(line, 0, own, 0, k, count, k, room, 0); // cross[c][j] = Σ x̂_c·x_j
      for (let r = 0; r < count; r++) right[r * k + c] = more * own[r * k + c]! + room[r]!;
    }
    solveReverse(l, k, right, count, room, kernels);
    made.set(right.subarray(0, count * k), first * k);
  }
  return made;
}

export function solveRows(
  { problem, ordered, options }: SolveJob,
  method: WeightMethod,
  kernels = linearKernels(),
): Solved {
  const k = problem.columns;
  const given: OrderedHessian | undefined = ordered && {
    order: ordered.order,
    h: matrixOf(ordered.h, k, kernels),
    l: matrixOf(ordered.l, k, kernels),
  };
  return method.solve({ ...problem, ordered: given }, options);
}

/** A job as a thread does it: its method is one of ours. */
export function runJob(job: RowJob): Float64Array | Solved {
  if (job.kind === 'fit') return fitRows(job);
  const method = weightMethods.find((m) => m.name === job.method)!; // only these are sent
  return solveRows(job, method);
}

function matrixOf(at: SharedMatrix, k: number, { memory }: LinearKernels): Float64Array {
  return typeof at === 'number' ? new Float64Array(memory!.buffer, at, k * k) : at; // places are of a memory
}
