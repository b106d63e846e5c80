/** Gradients of Softmax and its logarithm, along one axis. */
import { item } from '../../base/lists.js';
import { normalAxis } from '../spec.js';
import type { GradientRule } from '../facets.js';
import { multiply, subtract, sum } from './build.js';

/** y · (d − Σ d·y) */
export const softmax: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const y = item(g.node.outputs, 0); // every node has one output
  const axis = [normalAxis(g.node.int('axis', -1), g.sizes(d).length)];
  return [multiply(g, y, subtract(g, d, sum(g, multiply(g, d, y), axis, true)))];
};
/** d − e^y · Σ d */
export const logSoftmax: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const axis = [normalAxis(g.node.int('axis', -1), g.sizes(d).length)];
  // it has one output
  return [subtract(g, d, multiply(g, g.add('Exp', [item(g.node.outputs, 0)]), sum(g, d, axis, true)))];
};
