/** Gradients of functions of one element. Where a function has a corner, the gradient is that of PyTorch. */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import type { GradientContext, GradientRule } from '../facets.js';
import { add, choose, compare, divide, from, mask, multiply, negate, scalar, scale, shift, square } from './build.js';
import { geluByErf, geluByTanh } from './gelus.js';

/** A rule from the gradient d by y = f(x). */
const of =
  (rule: (g: GradientContext, d: Value, x: Value, y: Value) => Value): GradientRule =>
  (g) => {
    const d = g.gradient(0);
    return d ? [rule(g, d, g.input(0), item(g.node.outputs, 0))] : []; // every node has one output
  };
const op = (g: GradientContext, name: string, x: Value): Value => g.add(name, [x]);
const zero = (g: GradientContext, like: Value): Value => scalar(g, like, 0);

export const identity = of((_g, d) => d);
export const relu = of((g, d, _x, y) => multiply(g, d, mask(g, compare(g, 'Greater', y, 0), d)));
export const leakyRelu = of((g, d, x) =>
  choose(g, compare(g, 'Greater', x, 0), d, scale(g, d, g.node.float('alpha', 0.01))),
);
export const sigmoid = of((g, d, _x, y) => multiply(g, d, multiply(g, y, from(g, 1, y))));
export const tanh = of((g, d, _x, y) => multiply(g, d, from(g, 1, square(g, y))));
export const erf = of((g, d, x) =>
  multiply(g, d, scale(g, op(g, 'Exp', negate(g, square(g, x))), 2 / Math.sqrt(Math.PI))),
);
export const exp = of((g, d, _x, y) => multiply(g, d, y));
export const log = of((g, d, x) => divide(g, d, x));
export const sqrt = of((g, d, _x, y) => divide(g, scale(g, d, 0.5), y));
export const reciprocal = of((g, d, _x, y) => negate(g, multiply(g, d, square(g, y))));
export const neg = of((g, d) => negate(g, d));
export const abs = of((g, d, x) => multiply(g, d, op(g, 'Sign', x)));
export const elu = of((g, d, x, y) =>
  choose(g, compare(g, 'Greater', x, 0), d, multiply(g, d, shift(g, y, g.node.float('alpha', 1)))),
);
export const selu = of((g, d, x, y) => {
  const gamma = g.node.float('gamma', 1.0507009873554805);
  const alpha = g.node.float('alpha', 1.6732632423543772);
  const below = multiply(g, d, shift(g, y, gamma * alpha));
  return choose(g, compare(g, 'Greater', x, 0), scale(g, d, gamma), below);
});
export const celu = of((g, d, x) => {
  const below = g.add('Min', [x, zero(g, x)]); // above zero the power would overflow before it is left out
  const alpha = g.node.float('alpha', 1);
  return multiply(g, d, op(g, 'Exp', scale(g, below, 1 / alpha)));
});
export const softplus = of((g, d, x) => multiply(g, d, op(g, 'Sigmoid', x)));
export const softsign = of((g, d, x) => divide(g, d, square(g, shift(g, op(g, 'Abs', x), 1))));
export const hardSigmoid = of((g, d, _x, y) => {
  const inside = g.add('And', [compare(g, 'Greater', y, 0), compare(g, 'Less', y, 1)]);
  return multiply(g, scale(g, d, g.node.float('alpha', 0.2)), mask(g, inside, d));
});
export const hardSwish = of((g, d, x) => {
  const slope = shift(g, scale(g, x, 1 / 3), 0.5);
  const bent = choose(g, compare(g, 'GreaterOrEqual', x, 3), scalar(g, x, 1), slope);
  return multiply(g, d, choose(g, compare(g, 'LessOrEqual', x, -3), zero(g, x), bent));
});
export const gelu = of((g, d, x) =>
  multiply(g, d, (g.node.string('approximate', 'none') === 'tanh' ? geluByTanh : geluByErf)(g, x)),
);
export const mish = of((g, d, x) => {
  const t = op(g, 'Tanh', op(g, 'Softplus', x));
  const slope = multiply(g, multiply(g, x, op(g, 'Sigmoid', x)), from(g, 1, square(g, t)));
  return multiply(g, d, add(g, t, slope));
});
export const swish = of((g, d, x) => {
  const alpha = g.node.float('alpha', 1);
  const s = op(g, 'Sigmoid', scale(g, x, alpha));
  return multiply(g, d, add(g, s, scale(g, multiply(g, x, multiply(g, s, from(g, 1, s))), alpha)));
});
export const thresholdedRelu = of((g, d, x) =>
  multiply(g, d, mask(g, compare(g, 'Greater', x, g.node.float('alpha', 1)), d)),
);
export const shrink = of((g, d, x) =>
  multiply(g, d, mask(g, compare(g, 'Greater', op(g, 'Abs', x), g.node.float('lambd', 0.5)), d)),
);
export const sin = of((g, d, x) => multiply(g, d, op(g, 'Cos', x)));
export const cos = of((g, d, x) => negate(g, multiply(g, d, op(g, 'Sin', x))));
export const tan = of((g, d, _x, y) => multiply(g, d, shift(g, square(g, y), 1)));
const arcSlope = (g: GradientContext, d: Value, x: Value): Value =>
  divide(g, d, op(g, 'Sqrt', from(g, 1, square(g, x))));
export const asin = of(arcSlope);
export const acos = of((g, d, x) => negate(g, arcSlope(g, d, x)));
export const atan = of((g, d, x) => divide(g, d, shift(g, square(g, x), 1)));
export const sinh = of((g, d, x) => multiply(g, d, op(g, 'Cosh', x)));
export const cosh = of((g, d, x) => multiply(g, d, op(g, 'Sinh', x)));
export const asinh = of((g, d, x) => divide(g, d, op(g, 'Sqrt', shift(g, square(g, x), 1))));
export const acosh = of((g, d, x) => divide(g, d, op(g, 'Sqrt', shift(g, square(g, x), -1))));
export const atanh = of((g, d, x) => divide(g, d, from(g, 1, square(g, x))));
