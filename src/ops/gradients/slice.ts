/** The gradient of Slice. */
import type { Value } from '../../ir/graph.js';
import type { GradientContext, GradientRule } from '../facets.js';
import { axesOfRank, fromStart, slice } from './build.js';
import { pad, zeroStuffed } from './copy.js';

/**
 * Zeros between the elements, where steps left some out, then around them. A range that runs backwards is turned
 * around first.
 */
export const sliced: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const sizes = g.sizes(g.input(0));
  const rank = sizes.length;
  const counts = g.sizes(d);
  const starts = g.ints(1);
  const axes = g.node.inputs[3] ? fromStart(g.ints(3), rank) : axesOfRank(starts.length);
  const steps = g.node.inputs[4] ? g.ints(4) : starts.map(() => 1);
  const first = axesOfRank(rank).map(() => 0);
  const stride = axesOfRank(rank).map(() => 1);
  axes.forEach((axis, i) => {
    const size = sizes[axis] ?? 0;
    const [start = 0, step = 1] = [starts[i], steps[i]];
    const from = start < 0 ? start + size : start;
    first[axis] = step > 0 ? Math.min(Math.max(from, 0), size) : Math.min(Math.max(from, -1), size - 1);
    stride[axis] = step;
  });
  const backwards = axesOfRank(rank).filter((a) => (stride[a] ?? 1) < 0 && (counts[a] ?? 0) > 0);
  const ahead = flipped(g, d, backwards);
  const begin = first.map((f, a) => (backwards.includes(a) ? f + ((counts[a] ?? 0) - 1) * (stride[a] ?? 1) : f));
  const spread = zeroStuffed(
    g,
    ahead,
    stride.map((s) => Math.abs(s)),
  );
  const now = g.sizes(spread);
  return [
    pad(
      g,
      spread,
      begin,
      sizes.map((n, a) => n - (begin[a] ?? 0) - (now[a] ?? 0)),
    ),
  ];
};
/** Turned around along axes. */
export function flipped(g: GradientContext, x: Value, axes: readonly number[]): Value {
  const all = axes.map(() => -1);
  const toStart = axes.map(() => Number.MIN_SAFE_INTEGER);
  return slice(g, x, axes, all, toStart, all);
}
