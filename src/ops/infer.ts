import { allGraphs, type Dim, type Graph, type Model, type Node, type Shape, type Value } from '../ir/graph.js';
import { specOf } from './index.js';
import type { InferContext, Known } from './spec.js';

/** What inference found: small integer contents of shape tensors, beside the dtype and shape set on the values. */
export interface Inference { readonly ints: ReadonlyMap<Value, readonly Dim[]> }

/**
 * Infers dtypes and shapes through the whole model, subgraphs included, and sets them on the values. What the file
 * declares is kept where inference knows less. `inputShapes` overrides the declared shapes of inputs by name.
 */
export function inferShapes(model: Model, inputShapes: ReadonlyMap<string, Shape> = new Map()): Inference {
  const ints = new Map<Value, readonly Dim[]>();
  for (const v of model.graph.inputs) { const s = inputShapes.get(v.name); if (s) v.shape = s; }
  inferGraph(model.graph, model, ints);
  return { ints };
}

/** Forgets types and shapes of everything but inputs, initializers and outputs: before inferring anew, or to save bytes in the file. */
export function forgetInferred(model: Model): void {
  for (const g of allGraphs(model.graph)) for (const n of g.nodes) for (const o of n.outputs) if (!o.isGraphOutput && !o.other) { o.shape = undefined; o.dtype = undefined; o.extra = undefined; }
}

function inferGraph(graph: Graph, model: Model, ints: Map<Value, readonly Dim[]>): void {
  for (const v of graph.initializers) if (v.data) { v.dtype = v.data.dtype; v.shape = v.data.dims; }
  for (const node of graph.topological()) {
    for (const [, g] of node.subgraphs()) inferGraph(g, model, ints);
    inferNode(node, model, ints);
  }
}

/** Infers one node's outputs from what is known of its inputs. */
export function inferNode(node: Node, model: Model, ints: Map<Value, readonly Dim[]> = new Map()): void {
  const outputs = specOf(node)?.infer(contextOf(node, model, ints)) ?? [];
  node.outputs.forEach((o, i) => { const k = outputs[i]; if (k) learn(o, k, ints); });
}

const knownOf = (v: Value, ints: ReadonlyMap<Value, readonly Dim[]>): Known => ({ dtype: v.dtype, shape: v.shape, ints: ints.get(v) });

function contextOf(node: Node, model: Model, ints: Map<Value, readonly Dim[]>): InferContext {
  return {
    node,
    opset: model.opsets.get(node.domain) ?? 1,
    input: (i) => { const v = node.inputs[i]; return v ? knownOf(v, ints) : undefined; },
    constant: (i) => node.inputs[i]?.data,
    subgraph: (name) => node.subgraphs().filter(([n]) => n === name).flatMap(([, g]) => g.outputs.map((o) => knownOf(o, ints))),
  };
}

/** Joins what is inferred with what was known; a number beats a symbol beats nothing. */
function learn(v: Value, k: Known, ints: Map<Value, readonly Dim[]>): void {
  if (k.dtype) v.dtype = k.dtype;
  if (k.ints && k.ints.length <= 4096) ints.set(v, k.ints);
  if (!k.shape) return;
  const old = v.shape;
  if (!old || old.length !== k.shape.length) { v.shape = k.shape; return; }
  v.shape = k.shape.map((d, i) => {
    const o = old[i]!;
    if (typeof d === 'number') return d;
    if (typeof o === 'number') return o;
    return d ?? o;
  });
}
