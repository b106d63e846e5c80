/** Gradients of BatchNormalization, frozen and in training. */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import type { GradientRule } from '../facets.js';
import { add, axesOfRank, mean, multiply, product, reshape, scale, square, subtract, sum } from './build.js';
import { epsilonOf, inverse } from './norm.js';

/**
 * Frozen: an affine map by channel, of which mean and variance are operands too. In training: statistics of the batch,
 * which the second and third result hold where the running ones are forgotten (momentum 0).
 */
export const batchNorm: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const sizes = g.sizes(d);
  const [x, gamma] = [g.input(0), g.input(1)];
  const others = axesOfRank(sizes.length).filter((a) => a !== 1);
  const wide = (v: Value): Value =>
    reshape(
      g,
      v,
      sizes.map((n, a) => (a === 1 ? n : 1)),
    );
  const training = g.node.int('training_mode', 0) === 1;
  if (training && (g.gradient(1) ?? g.gradient(2))) return g.refuse('the loss depends on its running statistics');
  const held = training && g.node.float('momentum', 0.9) === 0 && g.node.outputs[1]?.name && g.node.outputs[2]?.name;
  const mu = held ? item(g.node.outputs, 1) : training ? sum1(mean(g, x, others)) : g.input(3);
  const variance = held
    ? item(g.node.outputs, 2)
    : training
      ? sum1(mean(g, square(g, subtract(g, x, wide(mu))), others))
      : g.input(4);
  const factor = inverse(g, variance, epsilonOf(g));
  const byBeta = sum(g, d, others, false);
  const dx = sum(g, multiply(g, d, x), others, false);
  // Σ d·x̂ = (Σ d·x − μ·Σ d) / σ
  const byGamma = multiply(g, factor, subtract(g, dx, multiply(g, mu, byBeta)));
  const k = multiply(g, gamma, factor);
  const affine = (): readonly (Value | undefined)[] => [
    g.need(0) ? multiply(g, d, wide(k)) : undefined,
    byGamma,
    byBeta,
    g.need(3) ? scale(g, multiply(g, byBeta, k), -1) : undefined,
    // dσ² = −½ · γ · Σ d·x̂ / σ²
    g.need(4) ? scale(g, multiply(g, multiply(g, byGamma, gamma), square(g, factor)), -0.5) : undefined,
  ];
  if (!training) return affine();
  const count = product(others.map((a) => sizes[a] ?? 1));
  // γ/σ · (d − Σd/M − x̂ · Σ d·x̂ / M) as one affine map of d and one of x
  const k2 = scale(g, multiply(g, multiply(g, k, factor), byGamma), -1 / count);
  const k3 = subtract(g, scale(g, multiply(g, k, byBeta), -1 / count), multiply(g, k2, mu));
  const all = add(g, multiply(g, d, wide(k)), add(g, multiply(g, x, wide(k2)), wide(k3)));
  return [g.need(0) ? all : undefined, byGamma, byBeta];

  function sum1(v: Value): Value {
    return reshape(g, v, [sizes[1] ?? 1]);
  }
};
