import type { Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { inferNode } from '../ops/infer.js';

/** Makes a node return its first `count` results, those too that it left out. */
export function nameOutputs(model: Model, node: Node, count: number, freeName: (base: string) => string): void {
  const before = node.outputs.filter((y) => y.name).length;
  for (let i = 0; i < count; i++) {
    const name = `${node.outputs[0]?.name ?? node.op}_${i}`;
    const y = node.outputs[i];
    if (!y) node.addOutput(freeName(name));
    else if (!y.name) y.name = freeName(name);
  }
  if (before < count) inferNode(node, model);
}
