/** Gradients of convolutions: one goes back through the other. */
import type { Value } from '../../ir/graph.js';
import type { GradientContext, GradientRule } from '../facets.js';
import { axesOfRank, sum } from './build.js';
import { padSpatial } from './copy.js';
import { reachOf, windowOf, type Window } from '../window.js';
import { backThrough } from './window.js';
import { byWeight } from './window-weight.js';

export const conv: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [x, w] = [g.input(0), g.input(1)];
  const group = g.node.int('group', 1);
  const data = g.sizes(x).slice(2);
  const window = windowOf(g.node, g.sizes(w).slice(2), data, g.sizes(d).slice(2));
  return [
    g.need(0) ? backThrough(g, d, w, group, window, data) : undefined,
    g.need(1) ? byWeight(g, x, d, group, window) : undefined,
    byBias(g, d),
  ];
};

/** The roles of data and result are exchanged. */
export const convTranspose: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [x, w] = [g.input(0), g.input(1)];
  const group = g.node.int('group', 1);
  const window = transposedWindow(g, g.sizes(w).slice(2), g.sizes(x).slice(2), g.sizes(d).slice(2));
  return [
    g.need(0) ? forward(g, d, w, group, window) : undefined,
    g.need(1) ? byWeight(g, d, x, group, window) : undefined,
    byBias(g, d),
  ];
};

function byBias(g: GradientContext, d: Value): Value | undefined {
  const axes = axesOfRank(g.sizes(d).length).filter((a) => a !== 1);
  return g.node.inputs[2] && g.need(2) ? sum(g, d, axes, false) : undefined;
}

/**
 * The window whose steps over the result are the elements of the data. Where the sizes of the result are given, they
 * say how much is cut off: source https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
 */
function transposedWindow(
  g: GradientContext,
  kernel: readonly number[],
  data: readonly number[],
  result: readonly number[],
): Window {
  const auto = g.node.string('auto_pad', 'NOTSET');
  const given = g.node.ints('output_shape', []);
  const plain = windowOf(g.node, kernel, result, data);
  const last = data.map((n, i) => {
    return (
      reachOf(plain, i, n) +
      (g.node.ints(
        'output_padding',
        data.map(() => 0),
      )[i] ?? 0)
    );
  });
  if (!given.length && !auto.startsWith('SAME')) return plain;
  const total = last.map((n, i) => Math.max(0, n - (result[i] ?? 0)));
  const before = total.map((n) => (auto === 'SAME_UPPER' ? Math.floor(n / 2) : n - Math.floor(n / 2)));
  return { ...plain, before, after: total.map((n, i) => n - (before[i] ?? 0)) };
}

function forward(g: GradientContext, x: Value, w: Value, group: number, window: Window): Value {
  const { kernel, strides, dilations, before, after } = window;
  const attrs = { kernel_shape: kernel, strides, dilations, group };
  if ([...before, ...after].some((n) => n < 0)) return g.add('Conv', [padSpatial(g, x, before, after), w], attrs);
  return g.add('Conv', [x, w], { ...attrs, pads: [...before, ...after] });
}
