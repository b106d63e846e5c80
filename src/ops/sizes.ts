/** Who looks at sizes of tensors, and at which. */
import type { Node } from '../ir/graph.js';

const asksSizes = (n: Node): boolean => n.domain === '' && n.op === 'Shape';
const picks = (n: Node): boolean => n.domain === '' && n.op === 'Gather';
/**
 * Whether a size along an axis of what a node reads goes on to others; undefined for nodes that read more than sizes.
 * False for a Shape of which only other axes are looked at.
 */
export function tellsSize(node: Node, axis: number): boolean | undefined {
  if (!asksSizes(node)) return undefined;
  const rank = node.inputs[0]?.shape?.length ?? 0;
  const fromStart = (a: number): number => Math.min(Math.max(a < 0 ? a + rank : a, 0), rank);
  const [start, end] = [fromStart(node.int('start', 0)), fromStart(node.int('end', rank))];
  if (axis < start || axis >= end) return false;
  const y = node.outputs[0];
  if (!y || y.isGraphOutput) return true;
  return ![...y.uses].every(({ node: reader, index }) => {
    const chosen = picks(reader) && index === 0 ? reader.inputs[1]?.data?.numbersOrUndefined() : undefined;
    return chosen?.every((i) => (i < 0 ? i + end - start : i) + start !== axis) === true;
  });
}
