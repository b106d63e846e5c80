/** Taking the nodes of a subgraph into the graph around it. */
import { Node, type Graph, type Value } from '../ir/graph.js';
import { allGraphs, nameMaker, type Model } from '../ir/model.js';

/**
 * Moves the nodes and constants of `body` into `graph` and gives what it returned. Names that are taken elsewhere
 * change. `body` is empty afterwards.
 */
export function moveInto(model: Model, graph: Graph, body: Graph): readonly Value[] {
  const results = [...body.outputs];
  const [nodes, constants] = [[...body.nodes], [...body.initializers]];
  while (body.outputs.length) body.removeOutput(body.outputs.length - 1);
  const moved = new Set<Value>([...constants, ...nodes.flatMap((n) => n.outputs)]);
  const freeName = nameMaker(model.graph);
  const taken = namesBut(model.graph, moved, new Set(nodes));
  for (const v of moved) if (v.name && taken.has(v.name)) v.name = freeName(v.name);
  for (const n of nodes) if (n.name && taken.has(n.name)) n.name = freeName(n.name);
  for (const n of nodes) {
    n.graph = undefined;
    graph.add(n);
  }
  for (const v of constants) graph.addInitializer(v);
  return results;
}

/**
 * Gives the uses of a node's outputs to `results`, one for each, under the names of graph outputs, and removes the
 * node.
 */
export function replaceByResults(
  model: Model,
  graph: Graph,
  node: Node,
  results: readonly (Value | undefined)[],
): void {
  const freeName = nameMaker(model.graph);
  const used = new Set<Value>();
  node.outputs.forEach((y, i) => {
    const result = results[i];
    if (!result) return;
    if (!y.isGraphOutput) {
      result.dtype ??= y.dtype;
      result.shape ??= y.shape;
      graph.replaceUses(y, result);
      return;
    }
    // Only the result of a node can take the name of a graph output, and only once.
    const own = result.producer?.graph === graph && !result.isGraphOutput && !used.has(result);
    // made with one output
    const value = own ? result : graph.add(new Node('Identity', [result], [freeName(`${y.name}_copy`)])).outputs[0]!;
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
