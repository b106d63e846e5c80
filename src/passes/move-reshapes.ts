import { label, type Graph, type Node, type Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { elementwiseOps } from '../ops/elementwise.js';
import type { Pass } from '../rewrite/pass.js';

/**
 * Reshape(f(Reshape(x))) = Reshape(Reshape(f(x))) for elementwise f with at most numbers beside x: the two reshapes, of
 * any spelling, then merge into one. Looks through chains of such f whose values have one user. Refuses where f has a
 * constant that is not a single number, which would have to be reshaped the other way round.
 */
export const moveReshapes = {
  name: 'move-reshapes',
  doc: 'Moves a reshape past elementwise nodes to the next reshape, with which it merges.',
  numerics: 'exact',
  run(ctx) {
    let changes = 0;
    for (const graph of allGraphs(ctx.model.graph)) {
      for (const first of [...graph.nodes].some(isView) ? graph.topological() : []) {
        if (first.graph !== graph || !isView(first)) continue;
        const chain = chainFrom(first, graph);
        if (typeof chain === 'string') {
          if (chain) ctx.refuse('move-reshapes', first, chain);
          continue;
        }
        if (chain) {
          move(first, chain);
          changes++;
        }
      }
    }
    return { changes };
  },
} satisfies Pass;

interface Chain {
  readonly nodes: readonly Node[];
  readonly last: Node;
}
const VIEWS = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);
const isView = (n: Node): boolean => n.domain === '' && VIEWS.has(n.op);
const elementwise = new Set(elementwiseOps.map((o) => o.op));

/**
 * The elementwise nodes between a reshape and the next one; undefined where there is no such pair, a reason where a
 * node between refuses.
 */
function chainFrom(first: Node, graph: Graph): Chain | string | undefined {
  const nodes: Node[] = [];
  let reason = '';
  let v = first.outputs[0];
  for (;;) {
    const [use] = v?.uses ?? [];
    if (!v || !use || v.uses.size !== 1 || v.isGraphOutput || use.node.graph !== graph) return undefined;
    const { node } = use;
    if (use.index === 0 && isView(node)) return nodes.length ? reason || { nodes, last: node } : undefined;
    if (node.domain !== '' || !elementwise.has(node.op) || node.op === 'Dropout') return undefined;
    const inner = v;
    const other = node.inputs.find((o, i) => o && i !== use.index && !isNumber(o, inner, first.inputs[0]));
    if (other && !other.isInitializer) return undefined;
    if (other) reason ||= `'${other.name}' beside '${label(node)}' is not a single number`;
    nodes.push(node);
    v = node.outputs[0];
  }
}
/** A constant of one element that adds no axis to `v`, neither as it is nor in the shape of `x`. */
function isNumber(c: Value, v: Value, x: Value | null | undefined): boolean {
  const axes = c.isInitializer && c.data?.size === 1 ? c.data.dims.length : Infinity;
  return axes === 0 || (axes <= (x?.shape?.length ?? 0) && axes <= (v.shape?.length ?? 0));
}

function move(first: Node, { nodes, last }: Chain): void {
  const x = first.inputs[0];
  const [view, end, head] = [first.outputs[0], nodes.at(-1)?.outputs[0], nodes[0]];
  if (!x || !view || !end || !head) return;
  head.setInput(head.inputs.indexOf(view), x);
  first.setInput(0, end);
  last.setInput(0, view);
  for (const n of nodes) {
    const y = n.outputs[0];
    if (y) y.shape = x.shape;
  }
  view.dtype = end.dtype;
}
