/** What gradient rules build again and again. */
import { dtypeCode } from '../../ir/dtype.js';
import { encodeTensor } from '../../ir/encode.js';
import type { Value } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { GradientContext } from '../facets.js';
import { normalAxis } from '../spec.js';

type G = GradientContext;

export const add = (g: G, a: Value, b: Value): Value => g.add('Add', [a, b]);
export const subtract = (g: G, a: Value, b: Value): Value => g.add('Sub', [a, b]);
export const multiply = (g: G, a: Value, b: Value): Value => g.add('Mul', [a, b]);
export const divide = (g: G, a: Value, b: Value): Value => g.add('Div', [a, b]);
export const negate = (g: G, a: Value): Value => g.add('Neg', [a]);
export const choose = (g: G, condition: Value, a: Value, b: Value): Value => g.add('Where', [condition, a, b]);

/** Numbers as a constant of the type of `like`; a scalar without `dims`. */
export const constantLike = (g: G, like: Value, values: ArrayLike<number>, dims: readonly number[]): Value =>
  g.constant(encodeTensor(like.dtype ?? 'float32', dims, values));
export const scalar = (g: G, like: Value, value: number): Value => constantLike(g, like, [value], []);
/** `x` times a number. */
export const scale = (g: G, x: Value, factor: number): Value =>
  factor === 1 ? x : multiply(g, x, scalar(g, x, factor));
/** `x` plus a number. */
export const shift = (g: G, x: Value, by: number): Value => add(g, x, scalar(g, x, by));
export const square = (g: G, x: Value): Value => multiply(g, x, x);
export const ints = (g: G, values: readonly number[]): Value => g.constant(Tensor.i64(values));

/** 1 where a condition holds, else 0, of the type of `like`. */
export const mask = (g: G, condition: Value, like: Value): Value => castLike(g, condition, like);
export const castLike = (g: G, x: Value, like: Value): Value =>
  x.dtype === like.dtype ? x : g.add('Cast', [x], { to: dtypeCode(like.dtype ?? 'float32') });
/** A comparison with a number, as a condition. */
export const compare = (
  g: G,
  op: 'Equal' | 'Greater' | 'GreaterOrEqual' | 'Less' | 'LessOrEqual',
  x: Value,
  than: number,
): Value => g.add(op, [x, scalar(g, x, than)]);

export const zeros = (g: G, like: Value, sizes: readonly number[]): Value =>
  g.add('ConstantOfShape', [ints(g, sizes)], { value: encodeTensor(like.dtype ?? 'float32', [1], [0]) });
export const reshape = (g: G, x: Value, sizes: readonly number[]): Value =>
  sameSizes(g.sizes(x), sizes) ? x : g.add('Reshape', [x, ints(g, sizes)], { allowzero: 1 });
export const expand = (g: G, x: Value, sizes: readonly number[]): Value =>
  sameSizes(g.sizes(x), sizes) ? x : g.add('Expand', [x, ints(g, sizes)]);
export const transpose = (g: G, x: Value, perm: readonly number[]): Value =>
  perm.every((p, i) => p === i) ? x : g.add('Transpose', [x], { perm });
/** With the last two axes exchanged. */
export function turned(g: G, x: Value): Value {
  const rank = g.sizes(x).length;
  return transpose(g, x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
}
export const sameSizes = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);
export const product = (sizes: readonly number[]): number => sizes.reduce((n, d) => n * d, 1);
/** 0 … rank − 1 */
export const axesOfRank = (rank: number): number[] => [...Array(rank).keys()];
/** Axes counted from the start. */
export const fromStart = (axes: readonly number[], rank: number): number[] => axes.map((a) => normalAxis(a, rank));

/** Sum over axes; over none, the tensor itself. */
export function sum(g: G, x: Value, axes: readonly number[], keepdims: boolean): Value {
  return axes.length ? g.add('ReduceSum', [x, ints(g, axes)], { keepdims: keepdims ? 1 : 0 }) : x;
}
export function mean(g: G, x: Value, axes: readonly number[]): Value {
  return axes.length ? g.add('ReduceMean', [x, ints(g, axes)], { keepdims: 1 }) : x;
}

/** The gradient by an operand of sizes `to` that was broadcast: summed over the axes along which it was repeated. */
export function unbroadcast(g: G, d: Value, to: readonly number[]): Value {
  const from = g.sizes(d);
  if (sameSizes(from, to)) return d;
  const more = from.length - to.length;
  const repeated = from.flatMap((n, i) => (i < more || (to[i - more] === 1 && n !== 1) ? [i] : []));
  return reshape(g, sum(g, d, repeated, false), to);
}
/** As {@link unbroadcast}, for input i of the node; undefined where it is not needed. */
export const forInput = (g: G, i: number, gradient: () => Value): Value | undefined =>
  g.need(i) ? unbroadcast(g, gradient(), g.sizes(g.input(i))) : undefined;

/** Elements from `start` up to `end` in steps along axes. */
export function slice(
  g: G,
  x: Value,
  axes: readonly number[],
  starts: readonly number[],
  ends: readonly number[],
  steps: readonly number[] = starts.map(() => 1),
): Value {
  return axes.length ? g.add('Slice', [x, ints(g, starts), ints(g, ends), ints(g, axes), ints(g, steps)]) : x;
}
/** The gradient by a tensor of so many elements along `axis`, of which `d` holds those at `picked`, some repeatedly. */
export function scatterSum(g: G, d: Value, axis: number, picked: readonly number[], size: number): Value {
  const sizes = g.sizes(d);
  const indices = g.constant(
    Tensor.i64(
      picked,
      sizes.map((_, i) => (i === axis ? picked.length : 1)),
    ),
  );
  const to = sizes.map((n, i) => (i === axis ? size : n));
  return g.add('ScatterElements', [zeros(g, d, to), expand(g, indices, sizes), d], { axis, reduction: 'add' });
}

/** A number − x. */
export const from = (g: G, value: number, x: Value): Value => subtract(g, scalar(g, x, value), x);
