import type { Graph, Value } from '../ir/graph.js';
import type { Pass } from '../rewrite/pass.js';
import type { Tensor } from '../ir/tensor.js';

/**
 * Initializers of equal type, dims and bytes become one, also across subgraphs, which may use those of the graph around
 * them. Left alone: defaults of inputs, and initializers that are graph outputs.
 */
export const deduplicateInitializers = {
  name: 'deduplicate-initializers',
  doc: 'Stores equal initializers once.',
  numerics: 'exact',
  run({ model }) {
    return { changes: visit(model.graph, new Map()) };
  },
} satisfies Pass;

function visit(graph: Graph, outer: ReadonlyMap<string, readonly Value[]>): number {
  const known = new Map(outer);
  let changes = 0;
  for (const v of [...graph.initializers]) {
    const t = v.data;
    if (!t || v.isGraphOutput || graph.isInput(v)) continue;
    const key = `${t.dtype}[${t.dims.join()}]`;
    const alike = known.get(key) ?? [];
    const same = alike.find((o) => o.data !== undefined && equal(o.data, t));
    if (!same) {
      known.set(key, [...alike, v]);
      continue;
    }
    graph.replaceUses(v, same);
    graph.initializers.delete(v);
    changes++;
  }
  for (const n of graph.nodes) for (const [, inner] of n.subgraphs()) changes += visit(inner, known);
  return changes;
}

function equal(a: Tensor, b: Tensor): boolean {
  if (a === b) return true;
  if (a.dtype === 'string') return JSON.stringify(a.strings()) === JSON.stringify(b.strings());
  return Buffer.compare(a.bytes(), b.bytes()) === 0;
}
