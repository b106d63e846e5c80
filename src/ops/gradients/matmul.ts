/** Gradients of matrix products: each operand's is a product of the result's with the other operand. */
import type { Value } from '../../ir/graph.js';
import type { GradientContext, GradientRule } from '../facets.js';
import { product, reshape, scale, turned, unbroadcast } from './build.js';

const times = (g: GradientContext, a: Value, b: Value): Value => g.add('MatMul', [a, b]);

/** A vector counts as a row on the left and as a column on the right. */
export const matMul: GradientRule = (g) => {
  const given = g.gradient(0);
  if (!given) return [];
  const [sizesA, sizesB] = [g.sizes(g.input(0)), g.sizes(g.input(1))];
  const left = sizesA.length === 1 ? [1, ...sizesA] : sizesA;
  const right = sizesB.length === 1 ? [...sizesB, 1] : sizesB;
  const [a, b] = [reshape(g, g.input(0), left), reshape(g, g.input(1), right)];
  const rows = [left.at(-2) ?? 1, right.at(-1) ?? 1];
  const batch = sizesA.length === 1 && sizesB.length === 1 ? [] : g.sizes(given).slice(0, batchAxes(sizesA, sizesB));
  const d = reshape(g, given, [...batch, ...rows]);
  const flat = right.length === 2 && left.length > 2; // a matrix of weights: the batch is more rows
  return [
    g.need(0) ? reshape(g, unbroadcast(g, times(g, d, turned(g, b)), left), sizesA) : undefined,
    g.need(1)
      ? flat
        ? reshape(g, g.add('Gemm', [asRows(g, a), asRows(g, d)], { transA: 1 }), sizesB)
        : reshape(g, unbroadcast(g, times(g, turned(g, a), d), right), sizesB)
      : undefined,
  ];
};
const batchAxes = (a: readonly number[], b: readonly number[]): number => Math.max(a.length, b.length, 2) - 2;
/** All axes but the last taken together. */
function asRows(g: GradientContext, x: Value): Value {
  const sizes = g.sizes(x);
  return reshape(g, x, [product(sizes.slice(0, -1)), sizes.at(-1) ?? 1]);
}

/** y = alpha · A' · B' + beta · C, where A' and B' may be transposed. */
export const gemm: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [a, b] = [g.input(0), g.input(1)];
  const [transA, transB] = [g.node.int('transA', 0) ? 1 : 0, g.node.int('transB', 0) ? 1 : 0];
  const alpha = g.node.float('alpha', 1);
  const byA = (): Value =>
    transA
      ? g.add('Gemm', [b, d], { alpha, transA: transB, transB: 1 })
      : g.add('Gemm', [d, b], { alpha, transB: 1 - transB });
  const byB = (): Value =>
    transB
      ? g.add('Gemm', [d, a], { alpha, transA: 1, transB: transA })
      : g.add('Gemm', [a, d], { alpha, transA: 1 - transA });
  const c = g.node.inputs[2];
  return [
    g.need(0) ? byA() : undefined,
    g.need(1) ? byB() : undefined,
    c && g.need(2) ? scale(g, unbroadcast(g, d, g.sizes(c)), g.node.float('beta', 1)) : undefined,
  ];
};
