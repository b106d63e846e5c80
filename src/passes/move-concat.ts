/** What takes a part of a Concat that lies in one of its inputs takes it from there. */
import { dataOf } from '../ir/known.js';
import type { Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { constantInts, fromStart, listOf } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';

/**
 * The input of a Concat that holds places `from` to `to` (not included) of its axis, and where it begins; a reason
 * where none does.
 */
function inputWith(
  concat: Node,
  axis: number,
  from: number,
  to: number,
): { readonly x: Value; readonly start: number } | string {
  let start = 0;
  for (const x of concat.inputs) {
    const size = x?.shape?.[axis];
    if (typeof size !== 'number') return 'the sizes of the Concat inputs are not known';
    if (x && from >= start && to <= start + size) return { x, start };
    start += size;
  }
  return 'it takes from more than one input of the Concat';
}
function lengthOf(concat: Node, axis: number): number | undefined {
  const sizes = concat.inputs.map((v) => v?.shape?.[axis]);
  return sizes.every((s) => typeof s === 'number') ? sizes.reduce((a, s) => a + s, 0) : undefined;
}

function gathered(concat: Node, node: Node): { readonly x: Value; readonly indices: readonly number[] } | string {
  const rank = node.inputs[0]?.shape?.length;
  const given = constantInts(node.inputs[1]);
  const axis = rank === undefined ? undefined : fromStart(concat.int('axis', 1), rank);
  if (rank === undefined || axis === undefined || !given?.length)
    return 'its indices are computed, or the rank is not known';
  if (fromStart(node.int('axis', 0), rank) !== axis) return 'it takes along another axis';
  const total = lengthOf(concat, axis);
  if (total === undefined) return 'the sizes of the Concat inputs are not known';
  const at = given.map((i) => (i < 0 ? i + total : i));
  const found = inputWith(concat, axis, Math.min(...at), Math.max(...at) + 1);
  return typeof found === 'string' ? found : { x: found.x, indices: at.map((i) => i - found.start) };
}

/** Gather(Concat(a, b), i) = Gather(b, i − size of a) for constant i that lie in b. */
export const moveGatherConcat = rulePass({
  name: 'move-gather-concat',
  doc: 'Gathers from the input of a Concat that holds what is taken.',
  numerics: 'exact',
  pattern: 'y = Gather(c, i!)',
  check(m) {
    const concat = m.value('c').producer;
    if (concat?.op !== 'Concat' || concat.domain !== '' || concat.graph !== m.node('y').graph) return '';
    const found = gathered(concat, m.node('y'));
    return typeof found === 'string' ? found : true;
  },
  rewrite(m, b) {
    const y = m.node('y');
    const found = gathered(m.value('c').producer!, y); // check() made sure
    if (typeof found === 'string') return m.value('y');
    return b.op(
      'Gather',
      [found.x, b.constant(Tensor.i64(found.indices, dataOf(m.value('i')).dims), m.value('i').name)],
      { attrs: Object.fromEntries(y.attrs), name: y.name },
    );
  },
});

function sliced(
  concat: Node,
  node: Node,
): { readonly x: Value; readonly from: number; readonly to: number; readonly axis: number } | string {
  const rank = node.inputs[0]?.shape?.length;
  const [starts, ends, axes, steps] = [
    listOf(node, 'starts', 1),
    listOf(node, 'ends', 2),
    listOf(node, 'axes', 3),
    listOf(node, 'steps', 4),
  ];
  if (rank === undefined || !starts || !ends || axes === undefined || steps === undefined)
    return 'its limits are computed, or the rank is not known';
  const axis = fromStart(concat.int('axis', 1), rank);
  if (starts.length !== 1 || fromStart(axes?.[0] ?? 0, rank) !== axis || (steps?.[0] ?? 1) !== 1) return '';
  const total = lengthOf(concat, axis);
  if (total === undefined) return 'the sizes of the Concat inputs are not known';
  const clamp = (v: number): number => Math.min(Math.max(v < 0 ? v + total : v, 0), total);
  const [from, to] = [clamp(starts[0] ?? 0), clamp(ends[0] ?? 0)];
  if (to <= from) return 'it takes nothing';
  const found = inputWith(concat, axis, from, to);
  return typeof found === 'string' ? found : { x: found.x, from: from - found.start, to: to - found.start, axis };
}

/** Slice(Concat(a, b), from, to) = Slice(b, from − size of a, to − size of a) where b holds all of it. */
export const moveSliceConcat = rulePass({
  name: 'move-slice-concat',
  doc: 'Slices the input of a Concat that holds what is taken.',
  numerics: 'exact',
  pattern: 'y = Slice(c, s?, e?, a?, t?)',
  check(m) {
    const concat = m.value('c').producer;
    if (concat?.op !== 'Concat' || concat.domain !== '' || concat.graph !== m.node('y').graph) return '';
    const found = sliced(concat, m.node('y'));
    return typeof found === 'string' ? found : true;
  },
  rewrite(m, b) {
    const y = m.node('y');
    const found = sliced(m.value('c').producer!, y); // check() made sure
    if (typeof found === 'string') return m.value('y');
    const { x, from, to, axis } = found;
    if (y.attrs.has('starts'))
      return b.op('Slice', [x], { attrs: { starts: [from], ends: [to], axes: [axis] }, name: y.name });
    const list = (n: number, what: string): Value => b.constant(Tensor.i64([n]), `${m.value('y').name}_${what}`);
    return b.op('Slice', [x, list(from, 'starts'), list(to, 'ends'), list(axis, 'axes')], { name: y.name });
  },
});
