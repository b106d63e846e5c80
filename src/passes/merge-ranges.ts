import type { Dim, Node } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { fromStart, listOf } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';

/** What a Slice takes of one axis, as it says it: negative limits count from the end. */
interface Range {
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/**
 * Slice(Slice(x)) = Slice(x) where both cut the same axis: a part of a part, x[2:10][1:3] = x[3:5], with steps
 * multiplied. Other axes are cut as before. On an axis of unknown size only limits from its start with step 1 compose.
 */
export const mergeRanges = rulePass({
  name: 'merge-ranges',
  doc: 'Merges two Slices of the same axis into one.',
  numerics: 'exact',
  pattern: 'a = Slice(x, s1?, e1?, a1?, t1?)\ny = Slice(a, s2?, e2?, a2?, t2?)',
  check(m) {
    const merged = compose(m);
    return typeof merged === 'string' ? merged : true;
  },
  rewrite(m, b) {
    const merged = compose(m);
    if (typeof merged === 'string') return m.value('y'); // check() made sure that it is not
    const y = m.node('y');
    const [axes, ranges] = [[...merged.keys()], [...merged.values()]];
    const lists = {
      starts: ranges.map((r) => r.start),
      ends: ranges.map((r) => r.end),
      axes,
      steps: ranges.map((r) => r.step),
    };
    if (y.attrs.has('starts'))
      return b.op('Slice', [m.value('x')], { attrs: { starts: lists.starts, ends: lists.ends, axes }, name: y.name });
    const list = (key: keyof typeof lists): ReturnType<typeof b.constant> =>
      b.constant(Tensor.i64(lists[key]), `${m.value('y').name}_${key}`);
    return b.op(
      'Slice',
      [
        m.value('x'),
        list('starts'),
        list('ends'),
        list('axes'),
        ...(lists.steps.some((s) => s !== 1) ? [list('steps')] : []),
      ],
      { name: y.name },
    );
  },
});

function compose(m: Match): ReadonlyMap<number, Range> | string {
  const shape = m.value('x').shape;
  const [first, second] = [rangesOf(m.node('a'), shape?.length), rangesOf(m.node('y'), shape?.length)];
  if (!shape || !first || !second) return 'its limits, or those of the Slice before it, are computed';
  if (![...second.keys()].some((axis) => first.has(axis))) return ''; // merge-slices
  const merged = new Map(first);
  for (const [axis, outer] of second) {
    const inner = first.get(axis);
    const range = inner ? partOf(inner, outer, shape[axis] ?? null) : outer;
    if (!range) return 'the size of the axis that both cut is not known';
    merged.set(axis, range);
  }
  return merged;
}

/** What a Slice cuts by axis; undefined where computed, or where it names an axis twice, or steps by 0. */
function rangesOf(n: Node, rank: number | undefined): ReadonlyMap<number, Range> | undefined {
  const [starts, ends, axes, steps] = [
    listOf(n, 'starts', 1),
    listOf(n, 'ends', 2),
    listOf(n, 'axes', 3),
    listOf(n, 'steps', 4),
  ];
  if (!starts || !ends || axes === undefined || steps === undefined || rank === undefined) return undefined;
  const found = new Map(
    starts.map((start, i) => [fromStart(axes?.[i] ?? i, rank), { start, end: ends[i] ?? 0, step: steps?.[i] ?? 1 }]),
  );
  const whole = found.size === starts.length && [...found.values()].every((r) => r.step !== 0);
  return whole ? found : undefined;
}

/** The range of x that `outer` takes of what `inner` takes of x, whose axis has `size` places. */
function partOf(inner: Range, outer: Range, size: Dim): Range | undefined {
  if (typeof size === 'number') {
    const a = places(inner, size);
    const b = places(outer, a.count);
    if (!b.count) return { start: 0, end: 0, step: 1 };
    const [start, step] = [a.first + b.first * a.step, a.step * b.step];
    const end = start + b.count * step;
    // Before the first place is -1, which would count from the end.
    return { start, end: end < 0 ? Number.MIN_SAFE_INTEGER : end, step };
  }
  const fromFront =
    inner.step === 1 && outer.step === 1 && [inner.start, inner.end, outer.start, outer.end].every((v) => v >= 0);
  return fromFront
    ? { start: inner.start + outer.start, end: Math.min(inner.end, inner.start + outer.end), step: 1 }
    : undefined;
}
/** The first place of a range, and how many there are: https://onnx.ai/onnx/operators/onnx__Slice.html */
function places(
  { start, end, step }: Range,
  size: number,
): { readonly first: number; readonly count: number; readonly step: number } {
  const clamp = (v: number, low: number, high: number): number => Math.min(Math.max(v < 0 ? v + size : v, low), high);
  const first = step > 0 ? clamp(start, 0, size) : clamp(start, 0, size - 1);
  const to = step > 0 ? clamp(end, 0, size) : clamp(end, -1, size - 1);
  return { first, count: Math.max(0, Math.ceil((to - first) / step)), step };
}
