/** Gradients of reductions over axes, and of sums along an axis. */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import type { GradientContext, GradientRule } from '../facets.js';
import {
  axesOfRank,
  choose,
  compare,
  divide,
  expand,
  fromStart,
  ints,
  mask,
  multiply,
  product,
  reshape,
  scalar,
  scale,
  sum,
} from './build.js';

interface Reduced {
  /** The gradient and the result, with size 1 along the axes that were reduced. */
  readonly d: Value;
  readonly y: Value;
  readonly x: Value;
  readonly axes: readonly number[];
  readonly sizes: readonly number[];
}
const over =
  (rule: (g: GradientContext, r: Reduced) => Value): GradientRule =>
  (g) => {
    const d = g.gradient(0);
    if (!d) return [];
    const x = g.input(0);
    const sizes = g.sizes(x);
    const given = g.node.inputs[1] ? g.ints(1) : [];
    if (!given.length && g.node.int('noop_with_empty_axes', 0) === 1) return [d];
    const axes = given.length ? fromStart(given, sizes.length) : axesOfRank(sizes.length);
    const kept = sizes.map((n, i) => (axes.includes(i) ? 1 : n));
    const y = reshape(g, item(g.node.outputs, 0), kept); // every node has one output
    return [expand(g, rule(g, { d: reshape(g, d, kept), y, x, axes, sizes }), sizes)];
  };

export const reduceSum = over((_g, { d }) => d);
export const reduceMean = over((g, { d, axes, sizes }) => scale(g, d, 1 / product(axes.map((a) => sizes[a] ?? 1))));
/** Elements that share the extreme share the gradient. */
export const reduceExtreme = over((g, { d, y, x, axes }) => {
  const won = mask(g, g.add('Equal', [x, y]), d);
  return multiply(g, won, divide(g, d, sum(g, won, axes, true)));
});
/** The product of the others: y / x, except where elements are 0. */
export const reduceProd = over((g, { d, y, x, axes }) => {
  const zero = compare(g, 'Equal', x, 0);
  const count = sum(g, mask(g, zero, d), axes, true);
  const rest = choose(g, zero, scalar(g, x, 1), x);
  const others = g.add('ReduceProd', [rest, ints(g, axes)], { keepdims: 1 });
  const alone = choose(g, compare(g, 'Equal', count, 1), others, scalar(g, x, 0));
  return multiply(g, d, choose(g, zero, alone, divide(g, y, rest)));
});
export const reduceL1 = over((g, { d, x }) => multiply(g, d, g.add('Sign', [x])));
/** At the origin, where there is none, the gradient is 0. */
export const reduceL2 = over((g, { d, y, x }) => {
  const safe = choose(g, compare(g, 'Equal', y, 0), scalar(g, y, 1), y);
  return multiply(g, x, divide(g, d, safe));
});
export const reduceLogSum = over((g, { d, y }) => divide(g, d, g.add('Exp', [y])));
export const reduceLogSumExp = over((g, { d, y, x }) => multiply(g, d, g.add('Exp', [g.add('Sub', [x, y])])));
export const reduceSumSquare = over((g, { d, x }) => multiply(g, scale(g, d, 2), x));

/** Sums that started at one end are taken from the other. */
export const cumSum: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const attrs = { exclusive: g.node.int('exclusive', 0), reverse: 1 - g.node.int('reverse', 0) };
  return [g.add('CumSum', [d, g.input(1)], attrs)];
};
