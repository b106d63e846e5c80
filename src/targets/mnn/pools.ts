/**
 * Means that MNN computes in float. Scales go on through AveragePool forwards and backwards: the tensor before it is
 * cut to the range of the means where only these have a scale, and then sums of codes are rounded down. ReduceMean, and
 * convolutions without an entry in the table, stay float and let no scale through.
 * source: source/core/Pipeline.cpp, _getQuantPropagateOp; source/backend/cpu/CPUPoolInt8.cpp;
 * source/backend/cpu/compute/Int8FunctionsOpt.cpp, MNNAvgPoolInt8
 */
import { filled, item } from '../../base/lists.js';
import type { Node, Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import { Tensor } from '../../ir/tensor.js';
import { GraphBuilder } from '../../rewrite/builder.js';
import type { Layer } from '../shared/layers.js';
import { countsAlong, coversMap, windowOf } from '../../ops/window.js';

/** Puts the same mean in the place of an AveragePool or GlobalAveragePool; leaves other nodes. */
export function meanWithoutPool(l: Layer, model: Model, node: Node): void {
  if (node.op !== 'AveragePool' && node.op !== 'GlobalAveragePool') return;
  const [from, to] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const [sizes, results] = [from.shape.slice(2), to.shape.slice(2)];
  const b = new GraphBuilder(model);
  const x = filled(node.inputs, 0);
  const options = { name: l.name, outputs: [b.freeName(`${to.name}_mean`)] };
  const w = node.op === 'AveragePool' ? windowOf(node, node.ints('kernel_shape'), sizes, results) : undefined;
  if (!w || coversMap(w, sizes)) {
    const made = b.overAxes(
      'ReduceMean',
      x,
      sizes.map((_, i) => i + 2),
      { ...options, attrs: { keepdims: 1 } },
    );
    replace(model, node, made);
    return;
  }
  const channels = item(from.shape, 1);
  const size = w.kernel.reduce((n, k) => n * k, 1);
  const weight = Tensor.f32(new Float32Array(channels * size).fill(1 / size), [channels, 1, ...w.kernel]);
  const mean = b.op('Conv', [x, b.constant(weight, `${l.name}_mean`)], {
    ...options,
    attrs: {
      group: channels,
      kernel_shape: w.kernel,
      strides: w.strides,
      dilations: w.dilations,
      pads: [...w.before, ...w.after.map((a, i) => a + item(w.tail, i))],
    },
  });
  const counted = sizes.map((n, i) =>
    countsAlong(w, i, n, item(results, i), node.int('count_include_pad', 0) === 1).map((c) => item(w.kernel, i) / c),
  );
  const factor = outer(counted);
  replace(
    model,
    node,
    factor.every((f) => f === 1)
      ? mean
      : b.op('Mul', [mean, b.constant(Tensor.f32(factor, [1, 1, ...results]), `${l.name}_counts`)]),
  );
}

/** [a, b] × [c] → [ac, bc]. */
const outer = (lists: readonly (readonly number[])[]): number[] =>
  lists.reduce<number[]>((all, list) => all.flatMap((a) => list.map((b) => a * b)), [1]);

function replace({ graph }: Model, node: Node, made: Value): void {
  const y = filled(node.outputs, 0);
  const { name } = y;
  for (const u of [...y.uses]) u.node.setInput(u.index, made);
  for (const i of graph.outputIndices(y)) graph.setOutput(i, made);
  graph.remove(node);
  made.name = name;
}
