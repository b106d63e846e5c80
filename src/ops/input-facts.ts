/** What a graph tells of its inputs beyond what it declares: rows of tables, and sizes of keys and values of a past. */
import type { Graph, Node, Shape, Value } from '../ir/graph.js';
import { linearViews } from './index.js';

export interface InputFacts {
  /** Rows of the smallest table that ids are looked up in. */
  readonly rows?: number;
  /** Sizes of axes that the input leaves open, but for batch and tokens. */
  readonly shape?: Shape;
}

/** Ops that pass ids on. */
const MOVES: ReadonlySet<string> = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten']);
const JOINS: ReadonlySet<string> = new Set(['Concat']);
/** Attention that holds a past: the attribute with its heads. */
const ATTENTION: Readonly<Record<string, string>> = {
  GroupQueryAttention: 'kv_num_heads',
  MultiHeadAttention: 'num_heads',
  Attention: 'kv_num_heads',
};
/** So far are ids followed. */
const STEPS = 16;

/** By input; nothing for those of which the graph tells nothing. Shapes are those that were inferred so far. */
export function inputFacts(graph: Graph): ReadonlyMap<string, InputFacts> {
  const found = new Map<string, InputFacts>();
  for (const v of graph.inputs) {
    if (v.data) continue;
    const rows = v.dtype === 'int64' || v.dtype === 'int32' ? rowsBehind(v) : undefined;
    const shape =
      v.shape && v.shape.length > 2 && v.shape.some((d) => typeof d !== 'number') ? joinedShape(v) : undefined;
    if (rows !== undefined || shape)
      found.set(v.name, { ...(rows === undefined ? {} : { rows }), ...(shape ? { shape } : {}) });
  }
  return found;
}

function rowsBehind(input: Value): number | undefined {
  let rows: number | undefined;
  const seen = new Set<Value>([input]);
  let open: Value[] = [input];
  for (let step = 0; step < STEPS && open.length; step++) {
    const next: Value[] = [];
    for (const v of open)
      for (const { node, index } of v.uses) {
        const [y] = node.outputs;
        if (MOVES.has(node.op) && node.domain === '' && index === 0 && y && !seen.has(y)) {
          seen.add(y);
          next.push(y);
        }
        const table = index === 1 && looksUp(node) ? node.inputs[0]?.data?.dims[0] : undefined;
        if (table !== undefined) rows = Math.min(rows ?? table, table);
      }
    open = next;
  }
  return rows;
}

const looksUp = (n: Node): boolean =>
  n.op === 'GatherBlockQuantized' || linearViews(n).some((view) => view.kind === 'lookup');

/** The input's shape with what it is joined with, or what its attention says, where that knows more. */
function joinedShape(v: Value): Shape | undefined {
  let shape = v.shape;
  for (const { node, index } of v.uses) {
    if (!shape) break;
    const known = shape;
    if (JOINS.has(node.op) && node.domain === '') {
      const axis = (node.int('axis', 0) + known.length) % known.length;
      for (const other of node.inputs)
        if (other && other !== v && other.shape?.length === known.length) shape = merged(known, other.shape, axis);
    }
    const heads = ATTENTION[node.op];
    if (heads !== undefined && known.length === 4 && index >= 3) {
      const count = node.int(heads, 0) || null;
      shape = merged(known, [null, count, null, headSize(node, count)], 2);
    }
  }
  return shape === v.shape ? undefined : shape;
}

/** Width of a key ÷ heads of keys. */
function headSize(node: Node, heads: number | null): number | null {
  const [q, k] = [node.inputs[0]?.shape?.at(-1), node.inputs[1]?.shape?.at(-1)];
  const of = typeof k === 'number' ? heads : node.int('num_heads', 0);
  const width = typeof k === 'number' ? k : node.inputs[1] ? null : q;
  if (typeof width !== 'number' || !of) return null;
  return node.inputs[1] || heads === null ? width / of : width / (of + 2 * heads);
}

/** Open sizes of `known` from `other`, but for the axis that is joined; axis 0 is the batch. */
function merged(known: Shape, other: Shape, axis: number): Shape {
  return known.map((d, i) => {
    const o = other[i];
    return typeof d !== 'number' && i > 0 && i !== axis && typeof o === 'number' && Number.isInteger(o) ? o : d;
  });
}
