/** Gradients of normalisations: what the statistics take back lies within the directions they removed. */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import { normalAxis } from '../spec.js';
import type { GradientContext, GradientRule } from '../facets.js';
import {
  add,
  axesOfRank,
  choose,
  compare,
  divide,
  forInput,
  mean,
  multiply,
  product,
  reshape,
  scalar,
  shift,
  square,
  subtract,
  sum,
  unbroadcast,
} from './build.js';

export const inverse = (g: GradientContext, variance: Value, epsilon: number): Value =>
  g.add('Reciprocal', [g.add('Sqrt', [shift(g, variance, epsilon)])]);
export const epsilonOf = (g: GradientContext): number => g.node.float('epsilon', 1e-5);

interface Normalised {
  /** (x − mean) / deviation, and 1 / deviation. */
  readonly value: Value;
  readonly inverse: Value;
}
function normalise(g: GradientContext, x: Value, axes: readonly number[], epsilon: number, centred = true): Normalised {
  const middle = centred ? subtract(g, x, mean(g, x, axes)) : x;
  const factor = inverse(g, mean(g, square(g, middle), axes), epsilon);
  return { value: multiply(g, middle, factor), inverse: factor };
}
/** From the gradient by the normalised tensor to that by the tensor. */
function back(g: GradientContext, d: Value, n: Normalised, axes: readonly number[], centred = true): Value {
  const along = multiply(g, n.value, mean(g, multiply(g, d, n.value), axes));
  const rest = subtract(g, centred ? subtract(g, d, mean(g, d, axes)) : d, along);
  return multiply(g, rest, n.inverse);
}

/** Over the last axes, with factors of their sizes. */
const overLast =
  (centred: boolean): GradientRule =>
  (g) => {
    const d = g.gradient(0);
    if (!d) return [];
    const rank = g.sizes(d).length;
    const axes = axesOfRank(rank).slice(normalAxis(g.node.int('axis', -1), rank));
    const n = normalise(g, g.input(0), axes, epsilonOf(g), centred);
    return [
      g.need(0) ? back(g, multiply(g, d, g.input(1)), n, axes, centred) : undefined,
      forInput(g, 1, () => multiply(g, d, n.value)),
      g.node.inputs[2] ? forInput(g, 2, () => d) : undefined,
    ];
  };
export const layerNorm = overLast(true);
export const rmsNorm = overLast(false);

/** Of x + skip + bias, over the last axis; results 0 and 3 are the normalised sum and the sum. */
export const skipNorm =
  (centred: boolean): GradientRule =>
  (g) => {
    const [d, ofSum] = [g.gradient(0), g.gradient(3)];
    const [, , , third, fourth] = g.node.inputs;
    const [beta, bias] = centred ? [third, fourth] : [undefined, third];
    const plain = add(g, g.input(0), g.input(1));
    const x = bias ? add(g, plain, bias) : plain;
    const n = normalise(g, x, [g.sizes(plain).length - 1], g.node.float('epsilon', centred ? 1e-12 : 1e-6), centred);
    const inner = d && back(g, multiply(g, d, g.input(2)), n, [g.sizes(plain).length - 1], centred);
    const all = inner && ofSum ? add(g, inner, ofSum) : (inner ?? ofSum);
    if (!all) return [];
    const by = (i: number, value: Value | undefined): Value | undefined => value && forInput(g, i, () => value);
    return [
      by(0, all),
      by(1, all),
      d && forInput(g, 2, () => multiply(g, d, n.value)),
      ...(centred ? [beta ? by(3, d) : undefined, bias ? by(4, all) : undefined] : [bias ? by(3, all) : undefined]),
    ];
  };

/** Over positions, within `groups` of channels of a sample, with factors for each channel or, in old files, group. */
function overGroups(g: GradientContext, groups: number): readonly (Value | undefined)[] {
  const d = g.gradient(0);
  if (!d) return [];
  const sizes = g.sizes(d);
  const [n = 0, c = 0] = sizes;
  const inner = [n, groups, c / groups, product(sizes.slice(2))];
  const factors = g.sizes(g.input(1))[0] === c ? [groups, c / groups, 1] : [groups, 1, 1];
  const [dy, x] = [reshape(g, d, inner), reshape(g, g.input(0), inner)];
  const normal = normalise(g, x, [2, 3], epsilonOf(g));
  const by = (i: number, whole: () => Value): Value | undefined =>
    g.need(i) ? reshape(g, unbroadcast(g, whole(), factors), g.sizes(g.input(i))) : undefined;
  const scaled = (): Value => multiply(g, dy, reshape(g, g.input(1), factors));
  return [
    g.need(0) ? reshape(g, back(g, scaled(), normal, [2, 3]), sizes) : undefined,
    by(1, () => multiply(g, dy, normal.value)),
    by(2, () => dy),
  ];
}
export const groupNorm: GradientRule = (g) => overGroups(g, g.node.int('num_groups'));
export const instanceNorm: GradientRule = (g) => overGroups(g, g.sizes(g.input(0))[1] ?? 1);

/** Zero mean and unit deviation over axes, without factors. */
export const meanVariance: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const axes = g.node.ints('axes', [0, 2, 3]).map((a) => normalAxis(a, g.sizes(d).length));
  return [back(g, d, normalise(g, g.input(0), axes, 1e-9), axes)];
};

/** x / ‖x‖ along an axis; 0 where the norm is. */
export const lpNorm: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [x, y] = [g.input(0), item(g.node.outputs, 0)]; // every node has one output
  const axis = [normalAxis(g.node.int('axis', -1), g.sizes(d).length)];
  const l1 = g.node.int('p', 2) === 1;
  const size = sum(g, l1 ? g.add('Abs', [x]) : square(g, x), axis, true);
  const norm = l1 ? size : g.add('Sqrt', [size]);
  const along = multiply(g, l1 ? g.add('Sign', [x]) : y, sum(g, multiply(g, d, y), axis, true));
  const safe = choose(g, compare(g, 'Equal', norm, 0), scalar(g, norm, 1), norm);
  return [divide(g, subtract(g, d, along), safe)];
};
