/** Makes large graphs small enough to draw and to read. */
import { item } from '../../base/lists.js';
import type { GraphFacts } from '../../record/index.js';

export type Region = GraphFacts['nodes'][number]['region'];
/** One or more nodes of the graph, drawn as one. */
export interface Block {
  readonly members: readonly number[];
  readonly region: Region;
}
export interface Folded {
  readonly blocks: readonly Block[];
  readonly edges: readonly (readonly [number, number])[];
}

/**
 * At most `most` blocks. Chains of nodes that only move data become one block each: they are the plumbing of exporters.
 * Where that is not enough, of one region do, then neighbours in topological order.
 */
export function fold(graph: GraphFacts, most: number): Folded {
  const n = graph.nodes.length;
  const edges = graph.edges.filter(([a, b]) => a < n && b < n && a !== b);
  const plumbing = foldChains(graph, edges, (i) => graph.nodes[i]?.region === 'moves');
  if (plumbing.blocks.length <= most) return plumbing;
  const chains = foldChains(graph, edges, () => true);
  return chains.blocks.length <= most ? chains : foldNeighbours(chains, most);
}

function foldChains(
  graph: GraphFacts,
  edges: readonly (readonly [number, number])[],
  may: (node: number) => boolean,
): Folded {
  const [ins, outs] = degrees(graph.nodes.length, edges);
  const next = new Map(
    edges.filter(
      ([a, b]) =>
        outs[a] === 1 && ins[b] === 1 && may(a) && may(b) && graph.nodes[a]?.region === graph.nodes[b]?.region,
    ),
  );
  const inner = new Set(next.values());
  const blocks: Block[] = [];
  const add = (start: number, seen: Set<number>): void => {
    const members: number[] = [];
    for (let i: number | undefined = start; i !== undefined && !seen.has(i); i = next.get(i)) {
      members.push(i);
      seen.add(i);
    }
    const node = graph.nodes[start];
    if (members.length && node) blocks.push({ members, region: node.region });
  };
  const seen = new Set<number>();
  graph.nodes.forEach((_, i) => {
    if (!inner.has(i)) add(i, seen);
  });
  graph.nodes.forEach((_, i) => add(i, seen)); // chains that are a ring have no start
  return { blocks, edges: between(blocks, edges) };
}

/**
 * Runs of a topological order never make a cycle, whatever is in them. A run counts as float where anything in it does.
 */
function foldNeighbours({ blocks, edges }: Folded, most: number): Folded {
  const order = topological(blocks.length, edges);
  const size = Math.ceil(blocks.length / most);
  const runs: Block[] = [];
  for (let i = 0; i < order.length; i += size) {
    const run = order.slice(i, i + size).map((b) => item(blocks, b)); // the order holds positions of blocks
    const regions = run.map((b) => b.region);
    runs.push({
      members: run.flatMap((b) => b.members),
      region: regions.includes('float') ? 'float' : regions.includes('integer') ? 'integer' : 'moves',
    });
  }
  const edge = blocks.flatMap((b) => b.members[0] ?? []);
  return {
    blocks: runs,
    edges: between(
      runs,
      edges.map(([a, b]) => [edge[a] ?? 0, edge[b] ?? 0] as const),
    ),
  };
}

/** Edges of members as edges of their blocks, each once. */
function between(
  blocks: readonly Block[],
  edges: readonly (readonly [number, number])[],
): (readonly [number, number])[] {
  const owner = new Map(blocks.flatMap((b, i) => b.members.map((m) => [m, i] as const)));
  const seen = new Map<string, readonly [number, number]>();
  for (const [a, b] of edges) {
    const [from, to] = [owner.get(a), owner.get(b)];
    if (from !== undefined && to !== undefined && from !== to) seen.set(`${from} ${to}`, [from, to]);
  }
  return [...seen.values()];
}

function degrees(n: number, edges: readonly (readonly [number, number])[]): [number[], number[]] {
  const ins = new Array<number>(n).fill(0);
  const outs = new Array<number>(n).fill(0);
  for (const [a, b] of edges) {
    outs[a]!++;
    ins[b]!++;
  } // edges are checked
  return [ins, outs];
}

function topological(n: number, edges: readonly (readonly [number, number])[]): number[] {
  const [open] = degrees(n, edges);
  const next: number[][] = Array.from({ length: n }, () => []);
  for (const [a, b] of edges) item(next, a).push(b); // edges are of blocks
  const order = open.flatMap((d, i) => (d === 0 ? [i] : []));
  for (let at = 0; at < order.length; at++) for (const b of item(next, order[at]!)) if (--open[b]! === 0) order.push(b);
  const placed = new Set(order);
  return [...order, ...open.map((_, i) => i).filter((i) => !placed.has(i))]; // what lies on cycles comes last
}
