/** Gradients of functions of one element with limits, slopes or shares that are operands too. */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import type { GradientRule } from '../facets.js';
import { castLike, choose, compare, divide, forInput, mask, multiply, scalar, subtract, unbroadcast } from './build.js';

/** Within the bounds, borders included; each bound takes what lies beyond it, as learned clipping (PACT) needs. */
export const clip: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [x, y] = [g.input(0), item(g.node.outputs, 0)]; // every node has one output
  const [low, high] = [g.node.inputs[1], g.node.inputs[2]];
  const within = low || high ? g.add('Equal', [y, x]) : undefined; // one pass over the elements where bounds take two
  const beyond = (i: number, condition: string): Value | undefined =>
    g.need(i)
      ? unbroadcast(g, multiply(g, d, mask(g, g.add(condition, [x, g.input(i)]), d)), g.sizes(g.input(i)))
      : undefined;
  return [
    !g.need(0) ? undefined : within ? multiply(g, d, mask(g, within, d)) : d,
    beyond(1, 'Less'),
    beyond(2, 'Greater'),
  ];
};

export const pRelu: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [x, slope] = [g.input(0), g.input(1)];
  const above = compare(g, 'Greater', x, 0);
  return [
    forInput(g, 0, () => choose(g, above, d, multiply(g, d, slope))),
    forInput(g, 1, () => choose(g, above, scalar(g, d, 0), multiply(g, d, x))),
  ];
};

/** Away from training a Dropout is the identity; in training its mask, the second result, says what was kept. */
export const dropout: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [ratio, training] = [g.node.inputs[1], g.node.inputs[2]];
  if (!training || (training.isInitializer && training.data?.ints()[0] === 0n)) return [d];
  const kept = g.node.outputs[1];
  if (!kept?.name) return g.refuse('in training it must return its mask');
  const share = ratio ? subtract(g, scalar(g, d, 1), castLike(g, ratio, d)) : scalar(g, d, 0.5);
  const made = divide(g, multiply(g, d, mask(g, kept, d)), share);
  return [training.isInitializer ? made : choose(g, training, made, d)];
};
