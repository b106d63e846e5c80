/** Gradients of operators that pick elements by indices, or put some in place of others. */
import { item } from '../../base/lists.js';
import { Tensor } from '../../ir/tensor.js';
import type { Value } from '../../ir/graph.js';
import { normalAxis } from '../spec.js';
import type { GradientContext, GradientRule } from '../facets.js';
import { axesOfRank, expand, product, reshape, zeros } from './build.js';

/** Rows that were picked several times get the sum. */
export const gather: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [x, indices] = [g.input(0), g.input(1)];
  const sizes = g.sizes(x);
  const axis = normalAxis(g.node.int('axis', 0), sizes.length);
  const count = product(g.sizes(indices));
  const rows = reshape(g, d, [...sizes.slice(0, axis), count, ...sizes.slice(axis + 1)]);
  if (axis === 0) return [g.add('ScatterND', [zeros(g, d, sizes), reshape(g, indices, [count, 1]), rows], ADD)];
  const along = reshape(
    g,
    indices,
    sizes.map((_, a) => (a === axis ? count : 1)),
  );
  return [scatterElements(g, zeros(g, d, sizes), expand(g, along, g.sizes(rows)), rows, axis)];
};
const ADD = { reduction: 'add' } as const;
const scatterElements = (g: GradientContext, into: Value, indices: Value, d: Value, axis: number): Value =>
  g.add('ScatterElements', [into, indices, d], { axis, ...ADD });

export const gatherElements: GradientRule = (g) => {
  const d = g.gradient(0);
  return d ? [scatterElements(g, zeros(g, d, g.sizes(g.input(0))), g.input(1), d, g.node.int('axis', 0))] : [];
};

/** With axes of a batch, indices are told in which of its members they pick. */
export const gatherND: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const sizes = g.sizes(g.input(0));
  const indices = withBatch(g, g.input(1), g.node.int('batch_dims', 0));
  return [g.add('ScatterND', [zeros(g, d, sizes), indices, d], ADD)];
};
function withBatch(g: GradientContext, indices: Value, batch: number): Value {
  if (!batch) return indices;
  const sizes = g.sizes(indices);
  const places = axesOfRank(batch).map((axis) => {
    const count = sizes[axis] ?? 0;
    const line = Tensor.i64(
      axesOfRank(count),
      sizes.map((_, a) => (a === axis ? count : 1)),
    );
    return expand(g, g.constant(line), [...sizes.slice(0, -1), 1]);
  });
  return g.add('Concat', [...places, indices], { axis: -1 });
}

/** The k that were chosen. */
export const topK: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const into = zeros(g, d, g.sizes(g.input(0)));
  return [g.add('ScatterElements', [into, item(g.node.outputs, 1), d], { axis: g.node.int('axis', -1) })]; // it has two
};

/** What was overwritten has no gradient; with sums, both have. */
const scattered =
  (put: 'ScatterElements' | 'ScatterND', take: 'GatherElements' | 'GatherND'): GradientRule =>
  (g) => {
    const d = g.gradient(0);
    if (!d) return [];
    const reduction = g.node.string('reduction', 'none');
    if (reduction !== 'none' && reduction !== 'add') return g.refuse(`reduction '${reduction}' has no rule`);
    const along = put === 'ScatterElements' ? { axis: g.node.int('axis', 0) } : {};
    const indices = g.input(1);
    const kept = (): Value =>
      reduction === 'add' ? d : g.add(put, [d, indices, zeros(g, d, g.sizes(g.input(2)))], along);
    return [g.need(0) ? kept() : undefined, undefined, g.need(2) ? g.add(take, [d, indices], along) : undefined];
  };
export const scatterAlong = scattered('ScatterElements', 'GatherElements');
export const scatterND = scattered('ScatterND', 'GatherND');
