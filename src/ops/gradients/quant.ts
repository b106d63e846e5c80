/**
 * Gradients through quantization: of the scales of what is dequantized, and the straight-through estimator of rounding.
 * Composed, QuantizeLinear and DequantizeLinear give the gradient of learned step sizes: ⌊x/s⌉ − x/s within the range,
 * the bound beyond it. source: https://arxiv.org/abs/1902.08153 (LSQ)
 */
import { item } from '../../base/lists.js';
import { integerRange, isFloat } from '../../ir/dtype.js';
import type { Value } from '../../ir/graph.js';
import { normalAxis } from '../spec.js';
import type { GradientContext, GradientRule } from '../facets.js';
import {
  castLike,
  compare,
  constantLike,
  divide,
  mask,
  multiply,
  negate,
  reshape,
  subtract,
  unbroadcast,
} from './build.js';

/** How the elements of a tensor share scales: views that broadcast, and the sums that lead back. */
interface Shared {
  /** The tensor with axes along which scales are the same. */
  readonly sizes: readonly number[];
  readonly scales: readonly number[];
}
function sharedOf(g: GradientContext, sizes: readonly number[], scale: readonly number[]): Shared {
  if (scale.every((n) => n === 1) && scale.length <= 1) return { sizes, scales: [] };
  const axis = normalAxis(g.node.int('axis', 1), sizes.length);
  const block = g.node.int('block_size', 0);
  if (!block) return { sizes, scales: sizes.map((n, a) => (a === axis ? n : 1)) };
  const count = scale[axis] ?? 1;
  if (count * block !== sizes[axis]) return g.refuse('its last block is not full');
  const cut = (at: readonly number[], inner: number): number[] =>
    at.flatMap((n, a) => (a === axis ? [count, inner] : [n]));
  return { sizes: cut(sizes, block), scales: cut(scale, 1) };
}
const viewOf = (g: GradientContext, v: Value, sizes: readonly number[]): Value => reshape(g, v, sizes);

/** The zero point as a float that broadcasts; undefined for 0. */
function zeroPoint(g: GradientContext, like: Value, shared: Shared): Value | undefined {
  const z = g.node.inputs[2];
  if (!z) return undefined;
  const sizes = g.sizes(z).every((n) => n === 1) ? [] : shared.scales;
  if (!z.isInitializer || !z.data) return viewOf(g, castLike(g, z, like), sizes);
  const values = z.data.f64();
  return values.every((v) => v === 0) ? undefined : constantLike(g, like, values, sizes);
}

/** y = (q − z) · s. The gradient by the codes is that of numbers, as an estimator of what made them needs it. */
export const dequantizeLinear: GradientRule = (g) => {
  const d = g.gradient(0);
  const s = g.input(1);
  if (!d) return [];
  const sizes = g.sizes(d);
  const shared = sharedOf(g, sizes, g.sizes(s));
  const dy = viewOf(g, d, shared.sizes);
  const codes = (): Value => {
    const q = viewOf(g, castLike(g, g.input(0), d), shared.sizes);
    const z = zeroPoint(g, d, shared);
    return z ? subtract(g, q, z) : q;
  };
  return [
    g.need(0) ? reshape(g, multiply(g, dy, viewOf(g, s, shared.scales)), sizes) : undefined,
    g.need(1) ? reshape(g, unbroadcast(g, multiply(g, dy, codes()), shared.scales), g.sizes(s)) : undefined,
  ];
};

/** q = clip(⌊x/s⌉ + z): as if it did not round. */
export const quantizeLinear: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [x, s, q] = [g.input(0), g.input(1), item(g.node.outputs, 0)]; // every node has one output
  const range = q.dtype && integerRange(q.dtype);
  if (!range || !x.dtype || !isFloat(x.dtype)) return g.refuse(`codes of type ${q.dtype ?? 'unknown'} have no rule`);
  const sizes = g.sizes(x);
  const shared = sharedOf(g, sizes, g.sizes(s));
  const scales = viewOf(g, s, shared.scales);
  const ratio = divide(g, viewOf(g, x, shared.sizes), scales);
  const z = zeroPoint(g, x, shared);
  const rounded = g.add('Round', [ratio]);
  const code = z ? g.add('Add', [rounded, z]) : rounded;
  const within = g.add('And', [
    compare(g, 'GreaterOrEqual', code, range[0]),
    compare(g, 'LessOrEqual', code, range[1]),
  ]);
  const byX = divide(g, multiply(g, viewOf(g, castLike(g, d, x), shared.sizes), mask(g, within, x)), scales);
  return [
    g.need(0) ? reshape(g, byX, sizes) : undefined,
    g.need(1) ? reshape(g, unbroadcast(g, negate(g, multiply(g, byX, ratio)), shared.scales), g.sizes(s)) : undefined,
  ];
};

/** Rounding as if it did nothing. */
export const straightThrough: GradientRule = (g) => [g.gradient(0)];
/** The sign as if it were the number itself, between −1 and 1: the estimator of binary weights. */
export const hardTanh: GradientRule = (g) => {
  const d = g.gradient(0);
  return d ? [multiply(g, d, mask(g, compare(g, 'LessOrEqual', g.add('Abs', [g.input(0)]), 1), d))] : [];
};
