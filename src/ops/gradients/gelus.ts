/** Gradients of the forms of Gelu that onnxruntime has beside the standard one. */
import type { Value } from '../../ir/graph.js';
import type { GradientContext, GradientRule } from '../facets.js';
import { add, forInput, from, multiply, scale, shift, square } from './build.js';

type Slope = (g: GradientContext, x: Value) => Value;

/** Φ(x) + x·φ(x). */
export const geluByErf: Slope = (g, x) => {
  const cdf = scale(g, shift(g, g.add('Erf', [scale(g, x, Math.SQRT1_2)]), 1), 0.5);
  const pdf = scale(g, g.add('Exp', [scale(g, square(g, x), -0.5)]), 1 / Math.sqrt(2 * Math.PI));
  return add(g, cdf, multiply(g, x, pdf));
};
/** Of x/2 · (1 + tanh u), u = √(2/π) · (x + 0.044715·x³). */
export const geluByTanh: Slope = (g, x) => {
  const [k, c] = [Math.sqrt(2 / Math.PI), 0.044715];
  const x2 = square(g, x);
  const t = g.add('Tanh', [multiply(g, x, shift(g, scale(g, x2, k * c), k))]);
  const inner = multiply(g, from(g, 1, square(g, t)), shift(g, scale(g, x2, 3 * k * c), k));
  return scale(g, add(g, shift(g, t, 1), multiply(g, x, inner)), 0.5);
};
/** σ(αx)·(1 + αx·(1 − σ(αx))). */
const bySigmoid: Slope = (g, x) => {
  const scaled = scale(g, x, g.node.float('alpha', 1.702));
  const s = g.add('Sigmoid', [scaled]);
  return multiply(g, s, shift(g, multiply(g, scaled, from(g, 1, s)), 1));
};

/** Of f(x), or of f(x + bias) where the node has one. */
const rule =
  (slope: Slope): GradientRule =>
  (g) => {
    const d = g.gradient(0);
    if (!d) return [];
    const bias = g.node.inputs[1];
    const by = multiply(g, d, slope(g, bias ? add(g, g.input(0), g.input(1)) : g.input(0)));
    return [forInput(g, 0, () => by), bias ? forInput(g, 1, () => by) : undefined];
  };
export const gelu = rule(geluByErf);
export const biasGelu = rule(geluByErf);
export const fastGelu = rule(geluByTanh);
export const quickGelu = rule(bySigmoid);
