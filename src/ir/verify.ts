import type { Diagnostic } from '../base/errors.js';
import { fail } from '../base/errors.js';
import { label, type Graph, type Value } from './graph.js';
import type { Model } from './model.js';

/**
 * Every broken invariant of a model: names that are empty, defined twice or shadow an outer name, uses of values that
 * no one defines, use-lists that disagree with the nodes, initializers whose data disagree with their declared type.
 */
export function verify(model: Model): Diagnostic[] {
  const found: Diagnostic[] = [];
  checkGraph(model.graph, new Map(), (message, where) =>
    found.push({ severity: 'error', code: 'GRAPH_INVALID', message, where }),
  );
  return found;
}

/** Throws GRAPH_INVALID with the first broken invariant, or GRAPH_CYCLE. */
export function assertValid(model: Model): void {
  const first = verify(model)[0];
  if (first) fail('GRAPH_INVALID', first.message, first.where);
}

type Report = (message: string, where: { node?: string; tensor?: string }) => void;

function checkGraph(graph: Graph, outer: ReadonlyMap<string, Value>, report: Report): void {
  const scope = new Map(outer);
  const own = new Set<string>();
  const define = (v: Value): void => {
    if (own.has(v.name) && scope.get(v.name) !== v) report(`'${v.name}' is defined twice`, { tensor: v.name });
    own.add(v.name);
    scope.set(v.name, v);
  };
  for (const v of graph.inputs) define(v);
  for (const v of graph.initializers) {
    define(v);
    if (!v.data) report(`initializer '${v.name}' has no data`, { tensor: v.name });
    else if (v.dtype && v.dtype !== v.data.dtype)
      report(`initializer '${v.name}' is declared ${v.dtype}, but holds ${v.data.dtype}`, { tensor: v.name });
  }
  for (const n of graph.topological()) {
    const where = { node: label(n) };
    if (n.graph !== graph) report(`node '${label(n)}' does not know its graph`, where);
    n.inputs.forEach((v, i) => {
      if (!v) return;
      if (scope.get(v.name) !== v)
        report(`input ${i} of '${label(n)}', '${v.name}', is not defined before it`, { ...where, tensor: v.name });
      const use = n.use(i);
      if (!use || !v.uses.has(use))
        report(`the use-list of '${v.name}' misses input ${i} of '${label(n)}'`, { ...where, tensor: v.name });
    });
    for (const [, g] of n.subgraphs()) checkGraph(g, scope, report);
    for (const o of n.outputs) if (o.name) define(o);
  }
  for (const o of graph.outputs) {
    if (!o.name) report('a graph output has no name', {});
    else if (scope.get(o.name) !== o) report(`output '${o.name}' is not defined`, { tensor: o.name });
  }
}
