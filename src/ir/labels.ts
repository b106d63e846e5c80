import { label, type Node } from './graph.js';

/**
 * A name for each node that no other of them has: its label; of nodes that share one, the later ones are called by
 * their first output, which a valid graph has once. Filters in recipes find either.
 */
export function uniqueLabels(nodes: Iterable<Node>): Map<Node, string> {
  const all = [...nodes];
  const taken = new Set<string>();
  const names = new Map<Node, string>();
  for (const n of all)
    if (!taken.has(label(n))) {
      taken.add(label(n));
      names.set(n, label(n));
    }
  for (const n of all) {
    if (names.has(n)) continue;
    const base = n.outputs.find((o) => o.name)?.name ?? label(n);
    let name = base;
    for (let i = 2; taken.has(name); i++) name = `${base} (${i})`; // another node has that output's name
    taken.add(name);
    names.set(n, name);
  }
  return names;
}
