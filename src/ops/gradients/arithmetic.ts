/** Gradients of operators that combine elements of several tensors, with broadcasting. */
import { item } from '../../base/lists.js';
import { isFloat, dtypeFromCode } from '../../ir/dtype.js';
import type { Value } from '../../ir/graph.js';
import type { GradientContext, GradientRule } from '../facets.js';
import {
  add,
  castLike,
  choose,
  compare,
  divide,
  forInput,
  mask,
  multiply,
  negate,
  scalar,
  scale,
  shift,
  unbroadcast,
} from './build.js';

/** Of the gradient d by the result: one function for each operand, in order. */
const operands =
  (...rules: readonly ((g: GradientContext, d: Value, a: Value, b: Value) => Value)[]): GradientRule =>
  (g) => {
    const d = g.gradient(0);
    return d ? rules.map((rule, i) => forInput(g, i, () => rule(g, d, g.input(0), g.input(1)))) : [];
  };
const same = (_g: GradientContext, d: Value): Value => d;

export const sumOfTwo = operands(same, same);
export const difference = operands(same, negate);
export const productOfTwo = operands(
  (g, d, _a, b) => multiply(g, d, b),
  (g, d, a) => multiply(g, d, a),
);
export const quotient = operands(
  (g, d, _a, b) => divide(g, d, b),
  // −d · (a / b) / b, summed before it is divided: a divisor that many elements share is small
  (g, d, _a, b) => negate(g, divide(g, unbroadcast(g, multiply(g, d, item(g.node.outputs, 0)), g.sizes(b)), b)),
);
/** a − b · trunc(a / b) for floats; integers have no gradient. */
export const remainder = operands(same, (g, d, a, b) => {
  const ratio = divide(g, a, b);
  return negate(g, multiply(g, d, multiply(g, g.add('Sign', [ratio]), g.add('Floor', [g.add('Abs', [ratio])]))));
});
/** The exponent may be of another type. Where it is 0, so is the slope, also at 0^(−1). */
export const power = operands(
  (g, d, a, b) => {
    const one = b.isInitializer && b.data?.size === 1 ? b.data.f64()[0] : undefined;
    if (one === 2) return multiply(g, d, scale(g, a, 2));
    if (one === 1) return d;
    const p = castLike(g, b, a);
    const slope = multiply(g, p, g.add('Pow', [a, shift(g, p, -1)]));
    return multiply(g, d, choose(g, compare(g, 'Equal', p, 0), scalar(g, d, 0), slope));
  },
  (g, d, a, b) => {
    const positive = compare(g, 'Greater', a, 0);
    const logarithm = g.add('Log', [choose(g, positive, a, scalar(g, a, 1))]);
    return castLike(g, multiply(g, d, multiply(g, item(g.node.outputs, 0), logarithm)), b); // ln of nothing below 0
  },
);

/** Every operand gets a share of the gradient. */
const each =
  (share: (g: GradientContext, d: Value, x: Value) => Value): GradientRule =>
  (g) => {
    const d = g.gradient(0);
    return d ? g.node.inputs.map((_, i) => forInput(g, i, () => share(g, d, g.input(i)))) : [];
  };
export const sumOfAll = each(same);
export const meanOfAll = each((g, d) => scale(g, d, 1 / g.node.inputs.length));

/** The gradient goes to the operand that won; where several are equal, each gets the same share. */
export const extremeOfAll: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const y = item(g.node.outputs, 0); // every node has one output
  const wins = g.node.inputs.map((_, i) => mask(g, g.add('Equal', [g.input(i), y]), d));
  const share =
    wins.length > 1
      ? divide(
          g,
          d,
          wins.reduce((a, b) => add(g, a, b)),
        )
      : d;
  return wins.map((won, i) => forInput(g, i, () => multiply(g, share, won)));
};

export const where: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [condition, zero] = [g.input(0), scalar(g, d, 0)];
  return [
    undefined,
    forInput(g, 1, () => choose(g, condition, d, zero)),
    forInput(g, 2, () => choose(g, condition, zero, d)),
  ];
};

/** Between float types; what becomes an integer steps. */
export const cast: GradientRule = (g) => {
  const d = g.gradient(0);
  const to = dtypeFromCode(g.node.int('to'));
  const x = g.input(0);
  return d && to && isFloat(to) && x.dtype && isFloat(x.dtype) ? [castLike(g, d, x)] : [];
};

/** Of one operand that was repeated. */
export const expanded: GradientRule = (g) => {
  const d = g.gradient(0);
  return d ? [unbroadcast(g, d, g.sizes(g.input(0)))] : [];
};
