import type { Attr, Value } from './graph.js';
import type { FunctionDef, Model } from './model.js';
import { Graph, Node, Value as ValueClass } from './graph.js';

/** A deep copy of a model that shares its tensors, and where each value went. */
export function cloneModel(model: Model): { model: Model; values: Map<Value, Value>; nodes: Map<Node, Node> } {
  const values = new Map<Value, Value>();
  const nodes = new Map<Node, Node>();
  const graph = cloneGraph(model.graph, values, nodes);
  const functions: FunctionDef[] = model.functions.map((f) => ({ ...f, graph: cloneGraph(f.graph, values, nodes) }));
  return {
    model: { ...model, graph, functions, opsets: new Map(model.opsets), metadata: new Map(model.metadata) },
    values,
    nodes,
  };
}

type Rename = (name: string) => string;
const unchanged: Rename = (name) => name;

/**
 * A deep copy of a graph. Values found in `values` are mapped; captured values that are not in the map stay as they
 * are.
 */
export function cloneGraph(
  graph: Graph,
  values: Map<Value, Value> = new Map(),
  nodes: Map<Node, Node> = new Map(),
  rename: Rename = unchanged,
): Graph {
  const copy = new Graph();
  copy.name = graph.name;
  copy.doc = graph.doc;
  copy.extra = graph.extra;
  for (const v of graph.inputs) copy.addInput(copyValue(v, values, rename));
  copyNodes(graph, copy, values, nodes, rename);
  for (const v of graph.outputs) copy.addOutput(values.get(v) ?? v);
  return copy;
}

/**
 * Adds a copy of a graph's constants and nodes to another graph, all names changed by `rename`. Inputs with the name of
 * an input of `target` are that input. Gives where each value went.
 */
export function copyInto(target: Graph, graph: Graph, rename: Rename): Map<Value, Value> {
  const values = new Map<Value, Value>();
  for (const v of graph.inputs) {
    const own = target.inputs.find((i) => i.name === v.name);
    if (own) values.set(v, own);
  }
  copyNodes(graph, target, values, new Map(), rename);
  return values;
}

function copyNodes(graph: Graph, to: Graph, values: Map<Value, Value>, nodes: Map<Node, Node>, rename: Rename): void {
  for (const v of graph.initializers)
    // an unmapped value is in no set
    if (!to.initializers.has(values.get(v)!)) to.addInitializer(copyValue(v, values, rename));
  for (const n of graph.topological()) {
    const made = new Node(
      n.op,
      n.inputs.map((v) => (v ? (values.get(v) ?? v) : null)),
      n.outputs.map((o) => o.name && rename(o.name)),
      n.domain,
      n.overload,
    );
    n.outputs.forEach((o, i) => {
      const y = made.outputs[i];
      if (y) values.set(o, describe(y, o));
    });
    made.name = n.name && rename(n.name);
    made.doc = n.doc;
    made.extra = n.extra;
    for (const [name, a] of n.attrs) made.attrs.set(name, cloneAttr(a, values, nodes, rename));
    nodes.set(n, made);
    to.add(made);
  }
}

function copyValue(v: Value, values: Map<Value, Value>, rename: Rename): Value {
  const known = values.get(v);
  if (known) return known;
  const made = new ValueClass(rename(v.name));
  values.set(v, describe(made, v));
  return made;
}

function describe(to: Value, from: Value): Value {
  to.dtype = from.dtype;
  to.shape = from.shape;
  to.data = from.data;
  to.doc = from.doc;
  to.other = from.other;
  to.extra = from.extra;
  return to;
}

function cloneAttr(a: Attr, values: Map<Value, Value>, nodes: Map<Node, Node>, rename: Rename): Attr {
  if (a.type === 'graph') return { ...a, value: cloneGraph(a.value, values, nodes, rename) };
  if (a.type === 'graphs') return { ...a, value: a.value.map((g) => cloneGraph(g, values, nodes, rename)) };
  return a;
}
