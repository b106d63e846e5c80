import type { Graph, Node, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnused, replaceOutputs, type Pass } from '../rewrite/pass.js';

/** MatMul(x, W), or Add of a bias to it: `last` gives the result. */
interface Branch {
  readonly product: Node;
  readonly last: Node;
  readonly weights: Tensor;
  readonly bias: Tensor | undefined;
}

/**
 * x·W₁ + b₁, x·W₂ + b₂, … become one product with [W₁ W₂ …] and a Split along the last axis: the queries, keys and
 * values of attention. Each W is a constant [k, nᵢ] of its own, each b a constant [nᵢ]. Only where that leaves fewer
 * nodes: from three products on, from two with biases. Quantized per tensor, the results would share one range, so
 * this is not for quantization's cleaning.
 */
export const fuseParallelMatmul = {
  name: 'fuse-parallel-matmul',
  doc: 'Computes several products of one input as one.',
  numerics: 'close',
  run(ctx) {
    let changes = 0;
    for (const graph of allGraphs(ctx.model.graph)) {
      if (!graph.hasOp('MatMul')) continue;
      const inputs = new Set(
        graph
          .topological()
          .filter((n) => n.op === 'MatMul')
          .map((n) => n.inputs[0]),
      );
      for (const x of inputs) {
        if (!x || x.isInitializer) continue;
        const branches = [...x.uses]
          .filter((u) => u.index === 0 && u.node.graph === graph)
          .flatMap((u) => branchOf(u.node, ctx.model.graph.inputs) ?? []);
        for (const group of [branches.filter((b) => b.bias), branches.filter((b) => !b.bias)]) {
          if (group.length < (group[0]?.bias ? 2 : 3)) continue;
          merge(x, group, new GraphBuilder(ctx.model, graph));
          changes++;
        }
      }
    }
    return { changes };
  },
} satisfies Pass;

function branchOf(product: Node, modelInputs: readonly Value[]): Branch | undefined {
  const own = (v: Value | null | undefined, rank: number): Tensor | undefined =>
    v?.isInitializer &&
    v.data?.dtype === 'float32' &&
    v.data.dims.length === rank &&
    v.uses.size === 1 &&
    !v.isGraphOutput &&
    !modelInputs.includes(v)
      ? v.data
      : undefined;
  if (product.op !== 'MatMul' || product.domain !== '') return undefined;
  const weights = own(product.inputs[1], 2);
  const out = product.outputs[0];
  if (!weights || !out) return undefined;
  const [use] = out.uses;
  if (
    out.uses.size === 1 &&
    !out.isGraphOutput &&
    use?.node.op === 'Add' &&
    use.node.domain === '' &&
    use.node.graph === product.graph
  ) {
    const bias = own(use.node.inputs[1 - use.index], 1);
    if (bias?.size === weights.dims[1]) return { product, last: use.node, weights, bias };
  }
  return { product, last: product, weights, bias: undefined };
}

function merge(x: Value, group: readonly Branch[], b: GraphBuilder): void {
  const graph: Graph = b.graph;
  const sizes = group.map((g) => g.weights.dims[1] ?? 0);
  const total = sizes.reduce((n, s) => n + s, 0);
  const rows = group[0]?.weights.dims[0] ?? 0;
  const weights = new Float32Array(rows * total);
  const bias = new Float32Array(total);
  let at = 0;
  for (const [i, g] of group.entries()) {
    const [w, n] = [g.weights.f32(), sizes[i] ?? 0];
    for (let r = 0; r < rows; r++) weights.set(w.subarray(r * n, (r + 1) * n), r * total + at);
    if (g.bias) bias.set(g.bias.f32(), at);
    at += n;
  }
  const first = group[0]?.product;
  const name = first?.name || first?.outputs[0]?.name || 'MatMul';
  let all = b.op('MatMul', [x, b.constant(Tensor.f32(weights, [rows, total]), `${name}_weights`)], {
    name: `${name}_parallel`,
  });
  if (group[0]?.bias)
    all = b.op('Add', [all, b.constant(Tensor.f32(bias), `${name}_bias`)], { name: `${name}_parallel_bias` });
  // Until opset 13 the sizes are an attribute.
  const attribute = (b.model.opsets.get('') ?? 1) < 13;
  const split = b.node(
    'Split',
    attribute ? [all] : [all, b.constant(Tensor.i64(sizes), `${name}_sizes`)],
    group.length,
    { attrs: attribute ? { axis: -1, split: sizes } : { axis: -1 }, name: `${name}_split` },
  );
  for (const [i, g] of group.entries()) {
    const wanted = g.last.outputs[0];
    const made = split.outputs[i];
    if (!wanted || !made) continue;
    const name = wanted.name;
    replaceOutputs(graph, g.last, [made]);
    removeUnused(graph, [g.last, g.product]);
    made.name = name;
  }
}
