/** Transposes that float16 plans leave in float32, because onnxruntime crashes on them between Casts. */
import type { Node, Value } from '../ir/graph.js';
import { specOf } from '../ops/index.js';
import { isTranspose } from '../ops/kinds.js';

/**
 * Transposes of three axes or more that move the first axis, and those that such a one could be merged with.
 *
 * onnxruntime 1.30 dies of SIGSEGV when it opens a model where a Cast to float32, which it adds itself where the CPU
 * has no float16
 * product, lies between a Transpose and a MatMul with a constant operand, and the order of axes is (1, …, r−2, 0, r−1)
 * or
 * (1, …, r−1, 0): its MatMul–Transpose fusion moves the Cast and then reads what it removed. Neighbouring Transposes
 * are merged
 * before, so a harmless order may become one of these; every order that does moves the first axis somewhere on the way.
 * With the
 * Transposes in float32 nothing is between them and the product. Tried on 8,000 random chains and on all orders of 2 to
 * 5 axes.
 */
export function crashingTransposes(order: readonly Node[]): Set<Node> {
  const found = new Set(order.filter((n) => isTranspose(n) && movesFirst(n)));
  const seen = new Set<Node>(found);
  const stack = [...found];
  for (let n = stack.pop(); n; n = stack.pop()) {
    const near = [
      ...n.inputs.flatMap((v) => v?.producer ?? []),
      ...n.outputs.flatMap((y) => [...y.uses].map((u) => u.node)),
    ];
    for (const other of near) {
      if (seen.has(other) || !isAlone(other)) continue;
      seen.add(other);
      stack.push(other);
      if (isTranspose(other)) found.add(other);
    }
  }
  return found;
}

function movesFirst(n: Node): boolean {
  const rank = n.inputs[0]?.shape?.length;
  const perm = n.ints(
    'perm',
    Array.from({ length: rank ?? 3 }, (_, i) => (rank ?? 3) - 1 - i),
  );
  return perm.length >= 3 && perm[0] !== 0;
}
/** A node of one operand beside constants, which runtimes move Transposes past; products are where it ends. */
function isAlone(n: Node): boolean {
  const computed = (v: Value | null): boolean => v !== null && !v.isInitializer;
  return specOf(n)?.quant.role !== 'compute' && n.inputs.filter(computed).length === 1;
}
