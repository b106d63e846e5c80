/** The gradient of Pad. */
import type { GradientRule } from '../facets.js';
import { axesOfRank, fromStart, reshape, scatterSum, subtract, sum } from './build.js';
import { pad } from './copy.js';

/** What was put around is left out; where it repeats elements of the tensor, its gradient is theirs. */
export const padded: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const sizes = g.sizes(g.input(0));
  const pads = g.ints(1);
  const axes = g.node.inputs[3] ? fromStart(g.ints(3), sizes.length) : axesOfRank(sizes.length);
  const [before, after] = [0, axes.length].map((at) =>
    sizes.map((_, a) => (axes.includes(a) ? (pads[at + axes.indexOf(a)] ?? 0) : 0)),
  ) as [number[], number[]]; // one for each of the two
  const mode = g.node.string('mode', 'constant');
  if (mode === 'constant') {
    const inner = pad(
      g,
      d,
      before.map((n) => -n),
      after.map((n) => -n),
    );
    if (!g.node.inputs[2] || !g.need(2)) return [inner];
    const all = axesOfRank(sizes.length);
    return [
      g.need(0) ? inner : undefined,
      undefined,
      reshape(g, subtract(g, sum(g, d, all, false), sum(g, inner, all, false)), g.sizes(g.input(2))),
    ];
  }
  let back = d;
  sizes.forEach((size, axis) => {
    const [first = 0, last = 0] = [before[axis], after[axis]];
    if (first === 0 && last === 0) return;
    const source = Array.from({ length: size + first + last }, (_, i) => sourceOf(mode, i - first, size));
    back = scatterSum(g, back, axis, source, size);
  });
  return [back];
};
/** The element that stands at place i, which may lie outside of 0 … size − 1. */
function sourceOf(mode: string, i: number, size: number): number {
  if (mode === 'edge') return Math.min(Math.max(i, 0), size - 1);
  if (mode === 'wrap') return ((i % size) + size) % size;
  if (size === 1) return 0;
  const period = 2 * (size - 1); // reflect: the borders stand once
  const at = ((i % period) + period) % period;
  return at < size ? at : period - at;
}
