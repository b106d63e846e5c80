/** Nodes that others take the place of before gradients go back through the graph. */
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { replaceByResults } from '../rewrite/subgraph.js';

/** What takes the place of a node: one value for each output; undefined where it stays. */
export type Replacement = (model: Model, node: Node) => readonly (Value | undefined)[] | undefined;

/** Replaces nodes that depend on `wrt`, by the first replacement that knows them. Gives how many. */
export function replaceBehind(model: Model, wrt: readonly Value[], replacements: readonly Replacement[]): number {
  const { graph } = model;
  const behind = new Set(wrt);
  let count = 0;
  for (const node of graph.topological()) {
    if (![...node.inputs, ...node.captures()].some((v) => v && behind.has(v))) continue;
    for (const y of node.outputs) behind.add(y);
    for (const replace of replacements) {
      const results = replace(model, node);
      if (!results) continue;
      replaceByResults(model, graph, node, results);
      for (const y of results) if (y) behind.add(y);
      count++;
      break;
    }
  }
  return count;
}
