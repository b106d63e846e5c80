import { allGraphs, nameMaker, Node, type Graph, type Model, type Use, type Value } from '../ir/graph.js';
import type { Pass } from '../rewrite/pass.js';

/**
 * If with a constant condition becomes the nodes of the branch that it takes. Names that are taken elsewhere change.
 * Range is defined on scalars; onnxruntime's kernel takes vectors of one element too, but its shape inference does not once
 * they are constants that it sees: then a Squeeze is put between. Refuses where such a result's shape is not known.
 */
export const foldIf = {
  name: 'fold-if', doc: 'Replaces an If whose condition is constant by the branch that it takes.', numerics: 'exact',
  run(ctx) {
    let changes = 0;
    for (const graph of allGraphs(ctx.model.graph)) {
      for (const node of [...graph.nodes]) {
        if (node.graph !== graph || node.op !== 'If' || node.domain !== '') continue;
        const condition = node.inputs[0]?.isInitializer ? node.inputs[0].data : undefined;
        if (!condition || condition.size !== 1 || condition.dtype !== 'bool') { ctx.refuse('fold-if', node, 'its condition is not constant'); continue; }
        const taken = node.attrs.get(condition.bytes()[0] ? 'then_branch' : 'else_branch');
        if (taken?.type !== 'graph') continue;
        const vectors = node.outputs.flatMap((y, i) => (taken.value.outputs[i]?.shape?.length === 0 ? [] : [{ result: taken.value.outputs[i], uses: rangeUses(y) }])).filter((v) => v.uses.length);
        if (vectors.some((v) => !v.result?.shape?.every((d) => d === 1))) { ctx.refuse('fold-if', node, 'Range takes its result, which is not known to be one element'); continue; }
        inline(ctx.model, graph, node, taken.value);
        for (const { result, uses } of vectors) if (result) squeezeFor(uses, result, graph, ctx.model);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

const rangeUses = (v: Value): readonly Use[] => [...v.uses].filter((u) => u.node.op === 'Range' && u.node.domain === '');

function squeezeFor(uses: readonly Use[], vector: Value, graph: Graph, model: Model): void {
  const free = nameMaker(model.graph);
  const node = new Node('Squeeze', [vector], [free(`${vector.name}_scalar`)]);
  const scalar = graph.add(node).outputs[0]!; // made with one output
  node.name = free(`${vector.name}_squeeze`);
  scalar.dtype = vector.dtype;
  scalar.shape = [];
  for (const u of uses) u.node.setInput(u.index, scalar);
}

function inline(model: Model, graph: Graph, node: Node, branch: Graph): void {
  const results = [...branch.outputs];
  const [nodes, constants] = [[...branch.nodes], [...branch.initializers]];
  while (branch.outputs.length) branch.removeOutput(branch.outputs.length - 1);
  const moved = new Set<Value>([...constants, ...nodes.flatMap((n) => n.outputs)]);
  const freeName = nameMaker(model.graph);
  const taken = namesBut(model.graph, moved, new Set(nodes));
  for (const v of moved) if (v.name && taken.has(v.name)) v.name = freeName(v.name);
  for (const n of nodes) if (n.name && taken.has(n.name)) n.name = freeName(n.name);
  for (const [name, attr] of [...node.attrs]) if (attr.type === 'graph' && attr.value === branch) node.attrs.delete(name);
  for (const n of nodes) { n.graph = undefined; graph.add(n); }
  for (const v of constants) graph.addInitializer(v);

  const used = new Set<Value>();
  node.outputs.forEach((y, i) => {
    const result = results[i];
    if (!result) return;
    if (!y.isGraphOutput) { result.dtype ??= y.dtype; result.shape ??= y.shape; graph.replaceUses(y, result); return; }
    // Only the result of a node can take the name of a graph output, and only once.
    const own = result.producer?.graph === graph && !result.isGraphOutput && !used.has(result);
    const value = own ? result : graph.add(new Node('Identity', [result], [freeName(`${y.name}_copy`)])).outputs[0]!; // made with one output
    used.add(value);
    const name = y.name;
    value.dtype ??= y.dtype;
    value.shape ??= y.shape;
    y.name = `${name}__replaced`;
    graph.replaceUses(y, value);
    value.name = name;
  });
  graph.remove(node);
}

/** Names of every value and node in the model but those that move. */
function namesBut(root: Graph, values: ReadonlySet<Value>, nodes: ReadonlySet<Node>): Set<string> {
  const names = new Set<string>();
  for (const g of allGraphs(root)) {
    for (const v of [...g.inputs, ...g.initializers]) if (!values.has(v)) names.add(v.name);
    for (const n of g.nodes) {
      if (!nodes.has(n)) names.add(n.name);
      for (const o of n.outputs) if (!values.has(o)) names.add(o.name);
    }
  }
  return names;
}
