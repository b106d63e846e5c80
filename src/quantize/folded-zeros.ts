/**
 * Zero points for kernels that have none: x = (q − z)·s is held as x + z·s, whose codes are symmetric, where the
 * product that makes it adds z·s to its bias and those that read it take it off again. What lies behind a Relu then has
 * all codes instead of half of them.
 */
import type { Node, Value } from '../ir/graph.js';
import { linearView } from '../ops/index.js';
import type { Planned } from '../scheme/quantized.js';
import type { TargetProfile } from '../scheme/profile.js';

type Kernels = Pick<Planned, 'integerNodes' | 'fusedClamps'>;

/** Whether a tensor may have a zero point: integer products of the target alone make and read it. */
export function foldsZeroPoint(v: Value, { integerNodes, fusedClamps }: Kernels, target: TargetProfile): boolean {
  const folding = (n: Node | undefined): boolean =>
    n !== undefined && integerNodes.has(n) && target.foldedZeroPoints?.includes(n.op) === true;
  const made = v.producer;
  const before = made?.inputs[0]?.producer;
  const maker = before && fusedClamps.get(before) === made ? before : made;
  return (
    folding(maker) &&
    !v.isGraphOutput &&
    v.uses.size > 0 &&
    [...v.uses].every(({ node, index }) => {
      const weight = linearView(node)?.weight;
      return folding(node) && index === 0 && weight !== undefined && node.inputs[weight]?.isInitializer === true;
    })
  );
}
