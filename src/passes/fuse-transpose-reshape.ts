import type { Shape } from '../ir/graph.js';
import { rulePass } from '../rewrite/pass.js';

/**
 * Reshape(Transpose(x)) = Reshape(x) where the Transpose moves only axes of size 1, so that the elements keep their
 * order: what conversion from channels last leaves behind global pooling. Refuses targets that copy a size (0).
 */
export const fuseTransposeReshape = rulePass({
  name: 'fuse-transpose-reshape',
  doc: 'Drops a Transpose of axes of size 1 before a Reshape.',
  numerics: 'exact',
  pattern: 't = Transpose(x)\ny = Reshape(t, s!)',
  check(m) {
    const shape = m.value('x').shape;
    if (!shape) return 'the rank is not known';
    const perm = m.node('t').ints(
      'perm',
      shape.map((_, i) => shape.length - 1 - i),
    );
    if (!keepsOrder(shape, perm)) return 'the Transpose moves elements';
    return (
      (m.value('s').data?.numbersOrUndefined() ?? [0]).every((n) => n !== 0) ||
      'the target copies a size of the transposed axes'
    );
  },
  rewrite: (m, b) =>
    b.op('Reshape', [m.value('x'), m.value('s')], {
      attrs: Object.fromEntries(m.node('y').attrs),
      name: m.node('y').name || 'Reshape',
    }),
});

function keepsOrder(shape: Shape, perm: readonly number[]): boolean {
  const moved = perm.filter((axis) => shape[axis] !== 1);
  return moved.every((axis, i) => i === 0 || axis > (moved[i - 1] ?? -1));
}
