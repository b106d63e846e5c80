/**
 * What nodes say in attributes or in constant inputs, whatever the opset, with defaults and negative axes resolved.
 * Undefined stands for something that no constant says.
 */
import { item } from '../../base/lists.js';
import { normalAxis } from '../../ops/spec.js';
import type { Layer } from './layers.js';

/** A list of integers from an attribute, else from a constant input. Left out in both: `fallback`. */
export function integers(
  { node, inputs }: Layer,
  attribute: string,
  input: number,
  fallback?: readonly number[],
): readonly number[] | undefined {
  if (node.attrs.has(attribute)) return node.ints(attribute);
  const v = inputs[input];
  return v ? v.data?.ints().map(clampInteger) : fallback;
}
/** "To the end" of Slice lies beyond 2^53. */
const clampInteger = (v: bigint): number =>
  Math.min(Math.max(Number(v), Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);

/** A number from an attribute, else from a constant input. Left out in both: `fallback`. */
export function number(
  { node, inputs }: Layer,
  attribute: string,
  input: number,
  fallback: number,
): number | undefined {
  if (node.attrs.has(attribute)) return node.float(attribute);
  const v = inputs[input];
  return v ? v.data?.f64()[0] : fallback;
}

/** Shape of an input of the model's, which it has. */
export const shapeAt = ({ inputs }: Layer, index: number): readonly number[] => inputs[index]?.shape ?? [];
export const rankOf = (l: Layer): number => shapeAt(l, 0).length;

/** Axes of a reduction or of Squeeze and Unsqueeze, in order; all where none are named. */
export function axesOf(l: Layer): readonly number[] | undefined {
  const rank = rankOf(l);
  const all = Array.from({ length: rank }, (_, i) => i);
  const given = integers(l, 'axes', 1, all);
  return given?.length === 0 ? all : given?.map((a) => normalAxis(a, rank)).toSorted((a, b) => a - b);
}

/** For each axis what Slice takes: `count` elements from `start` on, every `step`-th. */
export interface Taken {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}
export function slicesOf(l: Layer): readonly Taken[] | undefined {
  const shape = shapeAt(l, 0);
  const starts = integers(l, 'starts', 1);
  const ends = integers(l, 'ends', 2);
  const axes = integers(
    l,
    'axes',
    3,
    starts?.map((_, i) => i),
  );
  const steps = integers(
    l,
    'steps',
    4,
    starts?.map(() => 1),
  );
  if (!starts || !ends || !axes || !steps) return undefined;
  const taken = shape.map((n): Taken => ({ start: 0, step: 1, count: n }));
  axes.forEach((a, i) => {
    const axis = normalAxis(a, shape.length);
    const n = item(shape, axis);
    const step = item(steps, i);
    const [low, high] = step > 0 ? [0, n] : [-1, n - 1];
    const at = (v: number): number => Math.min(Math.max(v < 0 ? v + n : v, low), high);
    const start = at(item(starts, i));
    taken[axis] = { start, step, count: Math.max(0, Math.ceil((at(item(ends, i)) - start) / step)) };
  });
  return taken;
}

export interface Border {
  readonly mode: string;
  /** For each axis. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly value: number;
}
export function borderOf(l: Layer): Border | undefined {
  const rank = rankOf(l);
  const pads = integers(l, 'pads', 1);
  const value = number(l, 'value', 2, 0);
  const axes = integers(
    l,
    'axes',
    3,
    Array.from({ length: rank }, (_, i) => i),
  );
  if (!pads || value === undefined || !axes) return undefined;
  const before = new Array<number>(rank).fill(0);
  const after = new Array<number>(rank).fill(0);
  axes.forEach((a, i) => {
    before[normalAxis(a, rank)] = item(pads, i);
    after[normalAxis(a, rank)] = item(pads, axes.length + i);
  });
  return { mode: l.node.string('mode', 'constant'), before, after, value };
}

/** Sizes along an axis into which Split parts its input, as its outputs say. */
export const partsOf = (l: Layer, axis: number): readonly number[] =>
  l.outputs.map((y) => (y ? item(y.shape, axis) : 0));
