/** Attributes and constants that follow when channels are taken out: refits of operators that say sizes in numbers. */
import { item } from '../base/lists.js';
import type { Node, Value } from '../ir/graph.js';
import type { AxisOf, Refit } from './facets.js';
import { normalAxis } from './spec.js';

/**
 * Element k of an integer tensor of which parts are known before the model runs: of a constant, or of a Concat with a
 * constant there. Undefined where it is computed.
 */
export function knownInt(v: Value | null | undefined, k: number): number | undefined {
  const found = sourceOf(v, k);
  return found?.constant.data?.numbersOrUndefined()?.[found.element];
}
/** Where that element is: in a constant that is the input itself, or operand `part` of the Concat that makes it. */
export function sourceOf(
  v: Value | null | undefined,
  k: number,
): { readonly constant: Value; readonly element: number; readonly part?: number } | undefined {
  if (!v) return undefined;
  if (v.data) return { constant: v, element: k };
  const joined = v.producer;
  if (joined?.op !== 'Concat') return undefined;
  let at = 0;
  for (const [part, x] of joined.inputs.entries()) {
    const size = x?.shape?.[0];
    if (!x || x.shape?.length !== 1 || typeof size !== 'number') return undefined;
    if (k < at + size) return x.data ? { constant: x, element: k - at, part } : undefined;
    at += size;
  }
  return undefined;
}
const sizeOf = ({ value, axis }: AxisOf): number => Number(value.shape?.[axis]);
const isResult = (n: Node, { value }: AxisOf): boolean => value === n.outputs[0];

/** New dims: those of axes of the result that lose channels, and copies of dims of x that do not lose alike. */
export const reshape: Refit = {
  can: (n, place) => {
    const shape = n.inputs[1];
    const given = knownInt(shape, place.axis);
    if (isResult(n, place)) return given !== undefined;
    // a dim of the result that is computed from this one may not follow
    return shape?.data !== undefined || shape?.producer?.op === 'Concat';
  },
  apply(n, lost, hands) {
    const [x, y] = [n.inputs[0], n.outputs[0]];
    if (!y?.shape) return;
    const made = new Map<number, number>();
    y.shape.forEach((d, axis) => {
      const given = knownInt(n.inputs[1], axis);
      const gone = lost(y, axis).size;
      if (typeof d !== 'number' || given === undefined || given < 0) return;
      if (given > 0 ? gone > 0 : gone !== lost(x, axis).size) made.set(axis, d - gone);
    });
    if (made.size) hands.setElements(1, made);
  },
};

/** Sizes of parts, written out where parts were equal. */
export const split: Refit = {
  can: (n) => !n.inputs[1] || n.inputs[1].data !== undefined,
  apply(n, lost, hands) {
    const [x] = n.inputs;
    const axis = normalAxis(n.int('axis', 0), x?.shape?.length ?? 0);
    if (!lost(x, axis).size) return;
    const sizes = n.outputs.map((y) => sizeOf({ value: y, axis }) - lost(y, axis).size);
    n.attrs.delete('num_outputs');
    if (hands.opset < 13) n.setInts('split', sizes);
    else hands.setInts(1, sizes);
  },
};

/** Starts and ends, among what is left. */
export const slice: Refit = {
  can: (n) => n.attrs.has('starts') || [1, 2, 3].every((i) => !n.inputs[i] || n.inputs[i].data !== undefined),
  apply(n, lost, hands) {
    const [x] = n.inputs;
    const rank = x?.shape?.length ?? 0;
    const list = (attr: string, input: number): readonly number[] | undefined =>
      n.attrs.has(attr) ? n.ints(attr) : n.inputs[input]?.data?.numbersOrUndefined();
    const [starts, ends] = [list('starts', 1), list('ends', 2)];
    if (!x || !starts || !ends) return;
    const axes = list('axes', 3) ?? starts.map((_, i) => i);
    const left = (axis: number, index: number): number => {
      const size = sizeOf({ value: x, axis });
      const at = Math.min(Math.max(index < 0 ? index + size : index, 0), size);
      return at - [...lost(x, axis)].filter((c) => c < at).length;
    };
    const follows = axes.map((a) => normalAxis(a, rank)).map((a) => (lost(x, a).size ? a : undefined));
    if (follows.every((a) => a === undefined)) return;
    const moved = (given: readonly number[]): number[] =>
      given.map((index, i) => {
        const axis = follows[i];
        return axis === undefined ? index : left(axis, index);
      });
    const [from, to] = [moved(starts), moved(ends)];
    if (n.attrs.has('starts')) {
      n.setInts('starts', from);
      n.setInts('ends', to);
    } else {
      hands.setInts(1, from);
      hands.setInts(2, to);
    }
  },
};

/** Indices, among what is left. */
export const gather: Refit = {
  can: (n) => n.inputs[1]?.data !== undefined || n.inputs[0]?.isInitializer === true,
  apply(n, lost, hands) {
    const [x, indices] = n.inputs;
    const axis = normalAxis(n.int('axis', 0), x?.shape?.length ?? 0);
    const gone = lost(x, axis);
    const list = indices?.data?.numbersOrUndefined();
    if (!gone.size || !list || !x) return;
    const size = sizeOf({ value: x, axis });
    const kept = list.map((i) => (i < 0 ? i + size : i)).filter((i) => !gone.has(i));
    hands.setInts(
      1,
      kept.map((i) => i - [...gone].filter((c) => c < i).length),
    );
  },
};

/** A border loses the channels that only it has. */
export const pad: Refit = {
  can: (n) => !n.inputs[3] && (n.attrs.has('pads') || n.inputs[1]?.data !== undefined),
  apply(n, lost, hands) {
    const [x, y] = [n.inputs[0], n.outputs[0]];
    const amounts = [...(n.attrs.has('pads') ? n.ints('pads') : (n.inputs[1]?.data?.numbersOrUndefined() ?? []))];
    if (!x || !y?.shape) return;
    const rank = y.shape.length;
    let changed = false;
    for (let axis = 0; axis < rank; axis++) {
      const all = [...lost(y, axis)];
      if (!all.length) continue;
      const [before, after] = [item(amounts, axis), item(amounts, axis + rank)];
      amounts[axis] = before - all.filter((i) => i < before).length;
      amounts[axis + rank] = after - all.filter((i) => i >= before + sizeOf({ value: x, axis })).length;
      changed = true;
    }
    if (!changed) return;
    if (n.attrs.has('pads')) n.setInts('pads', amounts);
    else hands.setInts(1, amounts);
  },
};

/** Dims that are not 1 are those of the result. */
export const expand: Refit = {
  can: (n, place) => !isResult(n, place) || knownInt(n.inputs[1], entryOf(n, place.axis)) !== undefined,
  apply(n, lost, hands) {
    const y = n.outputs[0];
    if (!y?.shape) return;
    const made = new Map<number, number>();
    y.shape.forEach((d, axis) => {
      const gone = lost(y, axis).size;
      const given = knownInt(n.inputs[1], entryOf(n, axis));
      if (gone && given !== undefined && given > 1) made.set(entryOf(n, axis), Number(d) - gone);
    });
    if (made.size) hands.setElements(1, made);
  },
};
/** Dims are aligned from the right. */
const entryOf = (n: Node, axis: number): number =>
  axis - (n.outputs[0]?.shape?.length ?? 0) + Number(n.inputs[1]?.shape?.[0] ?? 0);

/** Sizes of all axes, where they are given. */
export const resize: Refit = {
  can: (n) => !n.inputs[3] || n.attrs.has('axes') || n.inputs[3].data !== undefined,
  apply(n, lost, hands) {
    const y = n.outputs[0];
    const sizes = n.inputs[3]?.data?.numbersOrUndefined();
    if (!y?.shape || !sizes?.length) return;
    const axes = n.attrs.has('axes') ? n.ints('axes') : sizes.map((_, i) => i);
    const made = sizes.map((d, i) => d - lost(y, normalAxis(item(axes, i), y.shape?.length ?? 0)).size);
    if (made.some((d, i) => d !== sizes[i])) hands.setInts(3, made);
  },
};
