/** Gradients of pooling: the share of each window goes back to where it came from. */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import type { GradientContext, GradientRule } from '../facets.js';
import {
  choose,
  compare,
  constantLike,
  divide,
  expand,
  multiply,
  product,
  reshape,
  scalar,
  scale,
  zeros,
} from './build.js';
import { countsAlong, windowOf, type Window } from '../window.js';
import { backThrough, onesWeight } from './window.js';

/** Of equal elements the first is the maximum: the one that the second result, the indices, names. */
export const maxPool = (g: GradientContext): readonly (Value | undefined)[] => {
  const d = g.gradient(0);
  if (!d) return [];
  if (g.node.int('storage_order', 0) !== 0) return g.refuse('its indices count by columns (storage_order)');
  const sizes = g.sizes(g.input(0));
  const [count, all] = [product(g.sizes(d)), product(sizes)];
  const indices = item(g.node.outputs, 1); // the facet asks for it
  const flat = g.add('ScatterElements', [zeros(g, d, [all]), reshape(g, indices, [count]), reshape(g, d, [count])], {
    axis: 0,
    reduction: overlaps(g) ? 'add' : 'none',
  });
  return [reshape(g, flat, sizes)];
};
function overlaps(g: GradientContext): boolean {
  const kernel = g.node.ints('kernel_shape');
  const dilations = g.node.ints(
    'dilations',
    kernel.map(() => 1),
  );
  const strides = g.node.ints(
    'strides',
    kernel.map(() => 1),
  );
  return kernel.some((k, i) => (k - 1) * (dilations[i] ?? 1) + 1 > (strides[i] ?? 1));
}

/** How a window slides over the data, and how many channels it takes one by one. */
function pooling(g: GradientContext, d: Value): { readonly window: Window; readonly sizes: readonly number[] } {
  const sizes = g.sizes(g.input(0));
  return { sizes, window: windowOf(g.node, g.node.ints('kernel_shape'), sizes.slice(2), g.sizes(d).slice(2)) };
}
const spread = (g: GradientContext, d: Value, window: Window, sizes: readonly number[]): Value =>
  backThrough(g, d, onesWeight(g, d, sizes[1] ?? 1, window.kernel), sizes[1] ?? 1, window, sizes.slice(2));

/** Each result is shared by the elements of its window; zeros of the padding take their share where they count. */
export const averagePool: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const { window, sizes } = pooling(g, d);
  const results = g.sizes(d).slice(2);
  const included = g.node.int('count_include_pad', 0) !== 0;
  const counts = results.map((n, i) => countsAlong(window, i, sizes[i + 2] ?? 0, n, included));
  const total = product(window.kernel);
  const same = counts.every((list, i) => list.every((n) => n === window.kernel[i]));
  if (same) return [spread(g, scale(g, d, 1 / total), window, sizes)];
  let divisors = [1];
  for (const list of counts) divisors = divisors.flatMap((a) => list.map((b) => a * b));
  return [spread(g, divide(g, d, constantLike(g, d, divisors, [1, 1, ...results])), window, sizes)];
};

/** y = (Σ |x|^p)^(1/p): d · sign(x) · |x|^(p−1) · y^(1−p). */
export const lpPool: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [x, y] = [g.input(0), item(g.node.outputs, 0)]; // every node has one output
  const { window, sizes } = pooling(g, d);
  const p = g.node.int('p', 2);
  const safe = choose(g, compare(g, 'Equal', y, 0), scalar(g, y, 1), y);
  const back = spread(g, divide(g, d, powered(g, safe, p - 1)), window, sizes);
  return [multiply(g, back, multiply(g, g.add('Sign', [x]), powered(g, g.add('Abs', [x]), p - 1)))];
};
const powered = (g: GradientContext, x: Value, p: number): Value => (p === 1 ? x : g.add('Pow', [x, scalar(g, x, p)]));

export const globalAveragePool: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const sizes = g.sizes(g.input(0));
  return [expand(g, scale(g, d, 1 / product(sizes.slice(2))), sizes)];
};
/** The first of equal maxima, as MaxPool takes. */
export const globalMaxPool: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [n = 0, c = 0, ...spatial] = g.sizes(g.input(0));
  const flat = [n, c, product(spatial)];
  const first = g.add('ArgMax', [reshape(g, g.input(0), flat)], { axis: 2, keepdims: 1 });
  const made = g.add('ScatterElements', [zeros(g, d, flat), first, reshape(g, d, [n, c, 1])], { axis: 2 });
  return [reshape(g, made, [n, c, ...spatial])];
};
