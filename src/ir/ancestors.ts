import type { Node, Value } from './graph.js';

/** The nodes that a value is computed by. */
export function ancestors(of: Value): Set<Node> {
  const found = new Set<Node>();
  const open = of.producer ? [of.producer] : [];
  for (let n = open.pop(); n; n = open.pop()) {
    if (found.has(n)) continue;
    found.add(n);
    for (const v of [...n.inputs, ...n.captures()]) if (v?.producer && !found.has(v.producer)) open.push(v.producer);
  }
  return found;
}
