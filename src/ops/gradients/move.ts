/** Gradients of operators that move elements: each goes back to where its element came from. */
import { normalAxis } from '../spec.js';
import type { GradientRule } from '../facets.js';
import { axesOfRank, reshape, sum, transpose, zeros } from './build.js';
import { parts } from './copy.js';

/** Reshape, Flatten, Squeeze, Unsqueeze: the same elements in order. */
export const reshaped: GradientRule = (g) => {
  const d = g.gradient(0);
  return d ? [reshape(g, d, g.sizes(g.input(0)))] : [];
};

export const transposed: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const rank = g.sizes(d).length;
  const perm = g.node.ints('perm', axesOfRank(rank).reverse());
  return [
    transpose(
      g,
      d,
      perm.map((_, i) => perm.indexOf(i)),
    ),
  ];
};

export const concatenated: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const axis = normalAxis(g.node.int('axis'), g.sizes(d).length);
  const sizes = g.node.inputs.map((_, i) => g.sizes(g.input(i))[axis] ?? 0);
  return parts(g, d, axis, sizes).map((part, i) => (g.need(i) ? part : undefined));
};

/** Parts that the loss does not depend on are zeros. */
export const split: GradientRule = (g) => {
  const axis = normalAxis(g.node.int('axis', 0), g.sizes(g.input(0)).length);
  const parts = g.node.outputs.map((y, i) => g.gradient(i) ?? zeros(g, g.input(0), g.sizes(y)));
  return [g.add('Concat', parts, { axis })];
};

export const tiled: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const sizes = g.sizes(g.input(0));
  const repeats = g.ints(1);
  const apart = reshape(
    g,
    d,
    sizes.flatMap((n, a) => [repeats[a] ?? 1, n]),
  );
  return [
    sum(
      g,
      apart,
      sizes.map((_, a) => 2 * a),
      false,
    ),
  ];
};

/** The mirror of a triangle is the same triangle. */
export const triangle: GradientRule = (g) => {
  const d = g.gradient(0);
  return d ? [g.add('Trilu', [d, g.node.inputs[1] ?? null], { upper: g.node.int('upper', 1) })] : [];
};
/** What was reversed is reversed again. */
export const reversed: GradientRule = (g) => {
  const d = g.gradient(0);
  const [batch, time] = [g.node.int('batch_axis', 1), g.node.int('time_axis', 0)];
  return d ? [g.add('ReverseSequence', [d, g.input(1)], { batch_axis: batch, time_axis: time })] : [];
};

/** Blocks of space from channels, the way back. */
export const depthToSpace: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const blocksize = g.node.int('blocksize');
  if (g.node.string('mode', 'DCR') === 'DCR') return [g.add('SpaceToDepth', [d], { blocksize })];
  const [n = 0, c = 0, h = 0, w = 0] = g.sizes(g.input(0));
  const blocks = reshape(g, d, [n, c / blocksize ** 2, h, blocksize, w, blocksize]);
  return [reshape(g, transpose(g, blocks, [0, 1, 3, 5, 2, 4]), [n, c, h, w])];
};
export const spaceToDepth: GradientRule = (g) => {
  const d = g.gradient(0);
  return d ? [g.add('DepthToSpace', [d], { blocksize: g.node.int('blocksize'), mode: 'DCR' })] : [];
};
