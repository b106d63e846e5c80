import { fail, nearest } from '../base/errors.js';
import { nameTest } from '../base/match.js';
import { label, type Graph, type Node } from '../ir/graph.js';

/**
 * Chooses nodes: an exact node or tensor name, a glob with * and ?, `re:` and a regular expression, `{ opType }`,
 * `first` or `last` compute node.
 */
export type NodeFilter = string | { readonly opType: string } | { readonly position: 'first' | 'last' };

/**
 * The nodes that a list of filters names. A filter that matches nothing is a mistake: throws RECIPE_UNKNOWN_NAME with
 * the nearest name.
 */
export function selectNodes(
  graph: Pick<Graph, 'topological'>,
  filters: readonly NodeFilter[],
  computeNodes: readonly Node[],
): Map<Node, string> {
  const chosen = new Map<Node, string>();
  const all = graph.topological();
  for (const f of filters) {
    let found: readonly Node[];
    let text: string;
    if (typeof f === 'string') {
      text = f;
      const test = nameTest(f);
      found = all.filter(
        (n) =>
          test(n.name) ||
          n.outputs.some((o) => test(o.name)) ||
          n.inputs.some((v) => v?.isInitializer === true && test(v.name)),
      );
      if (!found.length) {
        const names = all.flatMap((n) => [n.name, ...n.outputs.map((o) => o.name)]).filter(Boolean);
        const near = nearest(f.replace(/^re:/, ''), names);
        fail(
          'RECIPE_UNKNOWN_NAME',
          `"${f}" names no node or tensor of the model`,
          {},
          near ? `did you mean "${near}"?` : `the model has nodes such as "${all[0] ? label(all[0]) : ''}"`,
        );
      }
    } else if ('opType' in f) {
      text = `opType ${f.opType}`;
      found = all.filter((n) => n.op === f.opType);
      if (!found.length) {
        const near = nearest(f.opType, new Set(all.map((n) => n.op)));
        fail(
          'RECIPE_UNKNOWN_NAME',
          `the model has no op of type "${f.opType}"`,
          {},
          near ? `did you mean "${near}"?` : undefined,
        );
      }
    } else {
      text = f.position;
      const n = f.position === 'first' ? computeNodes[0] : computeNodes[computeNodes.length - 1];
      found = n ? [n] : [];
    }
    for (const n of found) if (!chosen.has(n)) chosen.set(n, text);
  }
  return chosen;
}
