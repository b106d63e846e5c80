/** Sliding windows as convolutions and pooling have them, and what goes back through them. */
import type { Value } from '../../ir/graph.js';
import type { GradientContext } from '../facets.js';
import { axesOfRank, constantLike, pad, product, reshape, slice, transpose } from './build.js';

/** One entry for each spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Zeros before and after the data. */
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** The window that slides over data of spatial sizes `data` to results of sizes `result`, padding settled. */
export function windowOf(
  g: GradientContext,
  kernel: readonly number[],
  data: readonly number[],
  result: readonly number[],
): Window {
  const strides = g.node.ints('strides', ones(data));
  const dilations = g.node.ints('dilations', ones(data));
  const pads = g.node.ints('pads', [...data, ...data].map(none));
  const auto = g.node.string('auto_pad', 'NOTSET');
  const window = { kernel, strides, dilations };
  if (auto === 'NOTSET')
    return { ...window, before: pads.slice(0, data.length), after: pads.slice(data.length, 2 * data.length) };
  if (auto === 'VALID') return { ...window, before: data.map(none), after: data.map(none) };
  const missing = data.map((size, i) => Math.max(0, reachOf(window, i, result[i] ?? 0) - size));
  const [less, more] = [missing.map((n) => Math.floor(n / 2)), missing.map((n) => Math.ceil(n / 2))];
  return auto === 'SAME_LOWER' ? { ...window, before: more, after: less } : { ...window, before: less, after: more };
}
const ones = (list: readonly number[]): number[] => list.map(() => 1);
const none = (): number => 0;

/** Elements of axis i, padding included, that `count` steps of the window cover. */
export function reachOf(
  { kernel, strides, dilations }: Omit<Window, 'before' | 'after'>,
  i: number,
  count: number,
): number {
  return (count - 1) * (strides[i] ?? 1) + ((kernel[i] ?? 1) - 1) * (dilations[i] ?? 1) + 1;
}

/**
 * What the results' gradients `d` [N, M, …] give back to the data, of spatial sizes `data`: a transposed convolution
 * with the weight [M, C / group, …kernel] of the convolution.
 */
export function backThrough(
  g: GradientContext,
  d: Value,
  weight: Value,
  group: number,
  w: Window,
  data: readonly number[],
): Value {
  const counts = g.sizes(d).slice(2);
  const reach = data.map((_, i) => reachOf(w, i, counts[i] ?? 0));
  if (product(w.strides) === 1) {
    const turnedPads = (side: readonly number[]): number[] =>
      side.map((p, i) => ((w.kernel[i] ?? 1) - 1) * (w.dilations[i] ?? 1) - p);
    const before = turnedPads(w.before);
    const after = data.map((size, i) => size + (w.before[i] ?? 0) - (counts[i] ?? 0)); // so that `data` comes out
    if ([...before, ...after].every((p) => p >= 0))
      return g.add('Conv', [d, turnedWeight(g, weight, group)], {
        kernel_shape: w.kernel,
        dilations: w.dilations,
        group,
        pads: [...before, ...after],
      });
  }
  const extra = data.map((size, i) => size + (w.before[i] ?? 0) - (reach[i] ?? 0));
  const outputPadding = extra.map((n, i) => Math.min(Math.max(n, 0), (w.strides[i] ?? 1) - 1));
  const begins = w.before;
  const ends = extra.map((n) => Math.max(0, -n));
  const made = g.add('ConvTranspose', [d, weight], {
    kernel_shape: w.kernel,
    strides: w.strides,
    dilations: w.dilations,
    group,
    pads: [...begins, ...ends],
    output_padding: outputPadding,
  });
  // Where the last steps of a large stride leave out more than the transposed window can add, zeros follow.
  const rest = extra.map((n, i) => Math.max(0, n) - (outputPadding[i] ?? 0));
  return pad(g, made, [0, 0, ...rest.map(none)], [0, 0, ...rest]);
}

/** [M, C / group, …] as the weight [C, M / group, …] of the way back, each kernel turned around. */
function turnedWeight(g: GradientContext, weight: Value, group: number): Value {
  const [m = 0, perGroup = 0, ...kernel] = g.sizes(weight);
  const spatial = kernel.flatMap((k, i) => (k > 1 ? [i + 2] : []));
  const minus = spatial.map(() => -1);
  const far = spatial.map(() => Number.MIN_SAFE_INTEGER);
  const flipped = slice(g, weight, spatial, minus, far, minus);
  if (perGroup === 1 && m === group) return flipped;
  const apart = reshape(g, flipped, [group, m / group, perGroup, ...kernel]);
  const axes = axesOfRank(kernel.length).map((i) => i + 3);
  return reshape(g, transpose(g, apart, [0, 2, 1, ...axes]), [group * perGroup, m / group, ...kernel]);
}

/** A weight of ones that takes each of `channels` for itself. */
export const onesWeight = (g: GradientContext, like: Value, channels: number, kernel: readonly number[]): Value =>
  constantLike(g, like, Array<number>(channels * product(kernel)).fill(1), [channels, 1, ...kernel]);
