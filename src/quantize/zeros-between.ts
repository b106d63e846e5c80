/**
 * Zero points where a runtime has none elsewhere: between products, whose biases can take them in. What lies behind a
 * Relu then has all codes instead of half of them.
 */
import type { Node, Value } from '../ir/graph.js';
import { linearView } from '../ops/index.js';
import type { Planned } from '../scheme/quantized.js';
import type { TargetProfile } from '../scheme/profile.js';

type Kernels = Pick<Planned, 'integerNodes' | 'fusedClamps'>;

/** Whether a tensor may have a zero point: integer products of the target alone make and read it. */
export function mayHaveZeroPoint(v: Value, { integerNodes, fusedClamps }: Kernels, target: TargetProfile): boolean {
  const product = (n: Node | undefined): boolean =>
    n !== undefined && integerNodes.has(n) && target.zeroPointsBetween?.includes(n.op) === true;
  const made = v.producer;
  const before = made?.inputs[0]?.producer;
  const maker = before && fusedClamps.get(before) === made ? before : made;
  return (
    product(maker) &&
    !v.isGraphOutput &&
    v.uses.size > 0 &&
    [...v.uses].every(({ node, index }) => {
      const weight = linearView(node)?.weight;
      return product(node) && index === 0 && weight !== undefined && node.inputs[weight]?.isInitializer === true;
    })
  );
}
