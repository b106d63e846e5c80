import type { Graph, Node } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { constantInts } from '../rewrite/facts.js';
import type { GraphBuilder } from '../rewrite/builder.js';

/**
 * Writes the pads of every Pad of chosen axes for all axes: onnxruntime 1.30 reorders `pads` for NHWC convolutions as
 * if
 * there were no `axes`, and then fails. Leaves those whose rank, pads or axes are not known.
 */
export function spellPads(graph: Graph, b: GraphBuilder): void {
  for (const n of graph.topological()) {
    const all = n.op === 'Pad' && n.domain === '' && n.inputs[3] ? padsOf(n) : undefined;
    if (!all) continue;
    n.setInput(1, b.constant(Tensor.i64(all), `${n.outputs[0]?.name ?? 'y'}_pads`));
    n.truncateInputs(n.inputs[2] ? 3 : 2);
  }
}

function padsOf(n: Node): readonly number[] | undefined {
  const rank = n.inputs[0]?.shape?.length;
  const [pads, axes] = [constantInts(n.inputs[1]), constantInts(n.inputs[3])];
  if (rank === undefined || !pads || !axes || pads.length !== 2 * axes.length) return undefined;
  const all = new Array<number>(2 * rank).fill(0);
  for (const [i, a] of axes.entries()) {
    const axis = a < 0 ? a + rank : a;
    if (axis < 0 || axis >= rank) return undefined;
    all[axis]! += pads[i]!; // as many as axes, twice
    all[axis + rank]! += pads[i + axes.length]!;
  }
  return all;
}
