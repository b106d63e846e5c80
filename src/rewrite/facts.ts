/** Small questions that passes ask about nodes and values. */
import type { Dim, Node, Shape, Use, Value } from '../ir/graph.js';

/** Sizes that a list of axes or limits may be read from; longer constants are data. */
const LIST_ELEMENTS = 4096;

/** Elements of a constant integer tensor; "to the end" saturates at ±2^53. Undefined for anything else. */
export function constantInts(v: Value | null | undefined): readonly number[] | undefined {
  const t = v?.isInitializer ? v.data : undefined;
  if (!t || (t.dtype !== 'int64' && t.dtype !== 'int32') || t.size > LIST_ELEMENTS) return undefined;
  return t.ints().map((x) => Math.min(Math.max(Number(x), Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER));
}

/**
 * A list that older opsets keep in an attribute and newer ones in an input; null where both are absent, undefined where
 * it is computed.
 */
export function listOf(node: Node, attribute: string, input: number): readonly number[] | null | undefined {
  if (node.attrs.has(attribute)) return node.ints(attribute);
  return node.inputs[input] ? constantInts(node.inputs[input]) : null;
}

/** Two sizes that are certainly the same: equal numbers, or the same symbol. */
export const sameDim = (a: Dim | undefined, b: Dim | undefined): boolean => a !== null && a !== undefined && a === b;
/** Two shapes that are certainly the same. */
export const sameShape = (a: Shape | undefined, b: Shape | undefined): boolean =>
  a !== undefined && b !== undefined && a.length === b.length && a.every((d, i) => sameDim(d, b[i]));
/** The use of a value that nothing else reads; undefined for outputs of a graph too. */
export function onlyUse(v: Value | undefined): Use | undefined {
  const [use, another] = v && !v.isGraphOutput ? v.uses : [];
  return another ? undefined : use;
}

/** Whether every size is a number. */
export const isStatic = (shape: Shape | undefined): shape is readonly number[] =>
  shape !== undefined && shape.every((d) => typeof d === 'number');
/** An axis counted from the end → from the start. */
export const fromStart = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/**
 * Axes of a Squeeze or Unsqueeze counted from the start, sorted; `rank` is that of the tensor with the axes. Undefined
 * where computed or absent.
 */
export function axesFrom(node: Node, rank: number | undefined): readonly number[] | undefined {
  const axes = listOf(node, 'axes', 1);
  if (!axes || (rank === undefined && axes.some((a) => a < 0))) return undefined;
  return axes.map((a) => fromStart(a, rank ?? 0)).sort((a, b) => a - b);
}

/** Permutation of a Transpose; reversed axes where it says none. Undefined where the rank is then unknown. */
export function permutationOf(node: Node): readonly number[] | undefined {
  if (node.attrs.has('perm')) return node.ints('perm');
  const rank = node.inputs[0]?.shape?.length ?? node.outputs[0]?.shape?.length;
  return rank === undefined ? undefined : Array.from({ length: rank }, (_, i) => rank - 1 - i);
}
