import { shapeOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import type { Match } from '../rewrite/pattern.js';
import { rulePass } from '../rewrite/pass.js';

/**
 * Slice(Slice(x, axes A), axes B) = Slice(x, axes A ∪ B) where A and B share no axis: each axis is cut as before, in
 * one pass over the data. Refuses computed limits, and the same axis twice.
 */
export const mergeSlices = rulePass({
  name: 'merge-slices',
  doc: 'Merges a Slice into the Slice before it when they cut different axes.',
  numerics: 'exact',
  pattern: 'a = Slice(x, s1, e1, a1?, t1?)\ny = Slice(a, s2, e2, a2?, t2?)',
  check(m) {
    const constant = m.constant('s1', 'e1', 'a1', 't1', 's2', 'e2', 'a2', 't2');
    if (constant !== true) return constant;
    const rank = m.value('x').shape?.length;
    if (rank === undefined) return 'the rank is not known';
    const [first, second] = [cut(m, '1', rank), cut(m, '2', rank)];
    return !first.axes.some((a) => second.axes.includes(a)) || 'both cut the same axis';
  },
  rewrite(m, b) {
    const rank = shapeOf(m.value('x')).length; // check() made sure
    const parts = [cut(m, '1', rank), cut(m, '2', rank)];
    const joined = (key: 'starts' | 'ends' | 'steps'): Tensor => Tensor.i64(parts.flatMap((p) => p[key]));
    const axes = Tensor.i64(parts.flatMap((p) => p.axes));
    const name = m.value('y').name;
    return b.op(
      'Slice',
      [
        m.value('x'),
        b.constant(joined('starts'), `${name}_starts`),
        b.constant(joined('ends'), `${name}_ends`),
        b.constant(axes, `${name}_axes`),
        b.constant(joined('steps'), `${name}_steps`),
      ],
      { name: m.node('y').name || 'Slice' },
    );
  },
});

/** What a Slice cuts: bigints, because "to the end" is the largest of them. */
function cut(
  m: Match,
  which: '1' | '2',
  rank: number,
): { starts: bigint[]; ends: bigint[]; axes: number[]; steps: bigint[] } {
  const ints = (name: string): bigint[] | undefined => m.optional(`${name}${which}`)?.data?.ints();
  const starts = ints('s') ?? [];
  const axes = ints('a')?.map((a) => (a < 0n ? Number(a) + rank : Number(a))) ?? starts.map((_, i) => i);
  return { starts, ends: ints('e') ?? [], axes, steps: ints('t') ?? starts.map(() => 1n) };
}
