/** What goes back through sliding windows. */
import type { Value } from '../../ir/graph.js';
import type { GradientContext } from '../facets.js';
import { reachOf, type Window } from '../window.js';
import { axesOfRank, constantLike, product, reshape, slice, transpose } from './build.js';
import { padSpatial } from './copy.js';

const none = (): number => 0;

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
  return padSpatial(g, made, rest.map(none), rest);
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
