/** Hessians with their columns in the order in which they are gone through. */
import type { OrderedHessian } from '../channels/layer.js';
import { factorReverse } from './linear.js';
import type { LinearKernels } from './linear-kernels.js';

/** Fills H and L of a Hessian whose columns are to come in an order. `sums` [16] is room for partial results. */
export function orderHessian(
  hessian: Float64Array,
  made: OrderedHessian,
  sums: Float64Array,
  kernels: LinearKernels,
): OrderedHessian {
  const { order, h, l } = made;
  const n = order.length;
  // a permutation
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) h[i * n + j] = hessian[order[i]! * n + order[j]!]!;
  l.set(h);
  factorReverse(l, n, sums, kernels);
  return made;
}

/** Columns by the energy of their inputs, largest first; equal ones keep their order. */
export function byInput(h: Float64Array, columns: number): Int32Array {
  return Int32Array.from({ length: columns }, (_, i) => i).sort(
    (a, b) => h[b * columns + b]! - h[a * columns + a]! || a - b,
  );
}

/** Whether no column goes with another. */
export function isDiagonal(h: Float64Array, n: number): boolean {
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) if (h[i * n + j] !== 0) return false;
  return true;
}
