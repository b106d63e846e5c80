import type { Graph, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
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
    const count = new Map<string, number>();
    for (const graph of allGraphs(model.graph))
      for (const v of graph.initializers) if (v.data) count.set(kindOf(v.data), (count.get(kindOf(v.data)) ?? 0) + 1);
    return { changes: visit(model.graph, [], (t) => count.get(kindOf(t)) === 1) };
  },
} satisfies Pass;

type Known = Map<string, Value[]>;

/** `outer`: what the graphs around hold, by what equal ones have in common. */
function visit(graph: Graph, outer: readonly Known[], isOnlyOne: (t: Tensor) => boolean): number {
  const own: Known = new Map();
  const scopes = [...outer, own];
  let changes = 0;
  for (const v of [...graph.initializers]) {
    const t = v.data;
    if (!t || v.isGraphOutput || graph.isInput(v) || isOnlyOne(t)) continue;
    const key = `${kindOf(t)}${sampleOf(t)}`;
    const same = firstOf(scopes, key, (o) => o.data !== undefined && equal(o.data, t));
    if (!same) {
      const alike = own.get(key);
      if (alike) alike.push(v);
      else own.set(key, [v]);
      continue;
    }
    graph.replaceUses(v, same);
    graph.initializers.delete(v);
    changes++;
  }
  if (graph.mayNest)
    for (const n of graph.nodes) for (const [, inner] of n.subgraphs()) changes += visit(inner, scopes, isOnlyOne);
  return changes;
}

function firstOf(scopes: readonly Known[], key: string, is: (v: Value) => boolean): Value | undefined {
  for (const known of scopes) {
    const found = known.get(key)?.find(is);
    if (found) return found;
  }
  return undefined;
}

const kindOf = (t: Tensor): string => `${t.dtype}[${t.dims.join()}]`;

const SAMPLE = 64;
/** Bytes at places spread over the tensor: of thousands of tensors of one shape, few are then compared as a whole. */
function sampleOf(t: Tensor): string {
  if (t.dtype === 'string') return `#${(t.strings()[0] ?? '').slice(0, SAMPLE)}`;
  const bytes = t.bytes();
  const taken = Buffer.alloc(Math.min(SAMPLE, bytes.length));
  const step = Math.max(1, (bytes.length - 1) / (SAMPLE - 1));
  for (let i = 0; i < taken.length; i++) taken[i] = bytes[Math.floor(i * step)]!; // at most the last
  return `#${taken.toString('base64')}`;
}

function equal(a: Tensor, b: Tensor): boolean {
  if (a === b) return true;
  if (a.dtype === 'string') return JSON.stringify(a.strings()) === JSON.stringify(b.strings());
  return Buffer.compare(a.bytes(), b.bytes()) === 0;
}
