/**
 * What of a graph is constant: initializers, Constant nodes, and what runtimes make of them alone when they load the
 * model.
 */
import type { Node, Value } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import { isConstantNode, isIdentityNode } from '../ops/kinds.js';

/**
 * The tensor that a Constant node gives; undefined for other nodes, and for single numbers and texts, which are no
 * tensors.
 */
export function constantOf(node: Node): Tensor | undefined {
  if (!isConstantNode(node)) return undefined;
  const value = node.attrs.get('value');
  return value?.type === 'tensor' ? value.value : undefined;
}

/**
 * Every constant tensor of the model, subgraphs included: weights in Constant nodes count as those in initializers do.
 */
export function* constantsOf(model: Model): Generator<Tensor> {
  for (const g of allGraphs(model.graph)) {
    for (const v of g.initializers) if (v.data) yield v.data;
    for (const n of g.nodes) {
      const t = constantOf(n);
      if (t) yield t;
    }
  }
}

/** The tensor behind a value, through Identity and Constant: onnxruntime takes both away when it loads a model. */
export function constantBehind(v: Value | null): Tensor | undefined {
  for (let at = v, steps = 0; at && steps < 1000; steps++) {
    // a cycle is not a graph, but costs may be asked of one
    if (at.isInitializer) return at.data;
    const node = at.producer;
    if (!node) return undefined;
    if (!isIdentityNode(node)) return constantOf(node);
    at = node.inputs[0] ?? null;
  }
  return undefined;
}
