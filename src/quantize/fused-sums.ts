/** Sums within the kernel of a product: its result goes there in float, and only the other operand has codes. */
import type { Node, Value } from '../ir/graph.js';
import { dataInputs, specOf } from '../ops/index.js';
import { fusionsOf } from '../scheme/fusions.js';
import type { TargetProfile } from '../scheme/profile.js';
import { resultsOf } from './settle.js';

/**
 * Results of products that stay float on their way into a sum: of a sum of two products the one that
 * is made last, whose
 * kernel takes the other as it is. Values with other readers, and outputs of the graph, are not among them.
 */
export function summedInFloat(
  order: readonly Node[],
  integer: ReadonlySet<Node>,
  fused: ReadonlyMap<Node, Node>,
  target: TargetProfile,
): ReadonlySet<Value> {
  const found = new Set<Value>();
  if (!target.fusedSums?.length) return found;
  const into = fusionsOf(target.fusedSums);
  const place = new Map(order.map((n, i) => [n, i]));
  for (const sum of order) {
    if (!integer.has(sum)) continue;
    const operands = dataInputs(sum).flatMap((i) => sum.inputs[i] ?? []);
    const last = operands
      .filter(({ producer: p, uses, isGraphOutput }) => {
        if (!p || !integer.has(p) || fused.has(p) || uses.size !== 1 || isGraphOutput) return false;
        return specOf(p)?.quant.role === 'compute' && into(p, sum) && resultsOf(p, fused).length === 1;
      })
      .sort((a, b) => (place.get(a.producer!) ?? 0) - (place.get(b.producer!) ?? 0)) // filtered by producer
      .at(-1);
    if (last && operands.length > 1) found.add(last);
  }
  return found;
}
