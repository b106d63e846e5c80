/** What runtimes compute within one kernel, as profiles write it: `Conv Gemm > Relu Clip`, `*` for any operator. */
import type { Node } from '../ir/graph.js';

/** Whether a node disappears into the kernel of the one before it, by any of these texts. */
export function fusionsOf(texts: readonly string[]): (before: Node, after: Node) => boolean {
  const rules = texts.map((t) => t.split(' > ').map((side) => new Set(side.split(' '))));
  const has = (side: ReadonlySet<string> | undefined, n: Node): boolean =>
    side !== undefined && (side.has('*') || side.has(n.op));
  return (before, after) => rules.some(([left, right]) => has(left, before) && has(right, after));
}

/** The operators that may disappear so. */
export const fusedOps = (texts: readonly string[]): ReadonlySet<string> =>
  new Set(texts.flatMap((t) => (t.split(' > ')[1] ?? '').split(' ')));
