import type { Attr, FunctionDef, Model, Value } from './graph.js';
import { Graph, Node, Value as ValueClass } from './graph.js';

/** A deep copy of a model that shares its tensors, and where each value went. */
export function cloneModel(model: Model): { model: Model; values: Map<Value, Value>; nodes: Map<Node, Node> } {
  const values = new Map<Value, Value>();
  const nodes = new Map<Node, Node>();
  const graph = cloneGraph(model.graph, values, nodes);
  const functions: FunctionDef[] = model.functions.map((f) => ({ ...f, graph: cloneGraph(f.graph, values, nodes) }));
  return { model: { ...model, graph, functions, opsets: new Map(model.opsets), metadata: new Map(model.metadata) }, values, nodes };
}

/** A deep copy of a graph. Values found in `values` are mapped; captured values that are not in the map stay as they are. */
export function cloneGraph(graph: Graph, values: Map<Value, Value> = new Map(), nodes: Map<Node, Node> = new Map()): Graph {
  const copy = new Graph();
  copy.name = graph.name;
  copy.doc = graph.doc;
  copy.extra = graph.extra;
  const copyValue = (v: Value): Value => {
    const known = values.get(v);
    if (known) return known;
    const made = new ValueClass(v.name);
    values.set(v, describe(made, v));
    return made;
  };
  for (const v of graph.inputs) copy.addInput(copyValue(v));
  for (const v of graph.initializers) copy.addInitializer(copyValue(v));
  for (const n of graph.topological()) {
    const made = new Node(n.op, n.inputs.map((v) => (v ? values.get(v) ?? v : null)), n.outputs.map((o) => o.name), n.domain, n.overload);
    n.outputs.forEach((o, i) => { const to = made.outputs[i]; if (to) values.set(o, describe(to, o)); });
    made.name = n.name;
    made.doc = n.doc;
    made.extra = n.extra;
    for (const [name, a] of n.attrs) made.attrs.set(name, cloneAttr(a, values, nodes));
    nodes.set(n, made);
    copy.add(made);
  }
  for (const v of graph.outputs) copy.addOutput(values.get(v) ?? v);
  return copy;
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

function cloneAttr(a: Attr, values: Map<Value, Value>, nodes: Map<Node, Node>): Attr {
  if (a.type === 'graph') return { ...a, value: cloneGraph(a.value, values, nodes) };
  if (a.type === 'graphs') return { ...a, value: a.value.map((g) => cloneGraph(g, values, nodes)) };
  return a;
}
