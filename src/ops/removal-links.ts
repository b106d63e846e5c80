/** Ties by which channels are taken out where scaling does not pass, or an axis can be cut in several ways. */
import { item } from '../base/lists.js';
import type { Dim, Value } from '../ir/graph.js';
import type { LinkRule, Tie } from './facets.js';
import { normalAxis } from './spec.js';

/** Neighbouring axes of x that hold the same elements in the same order as neighbouring axes of y. */
interface Block {
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/**
 * Reshape: axes that stay, and axes that are put together or taken apart. [N, T, 384] as [N, T, 12, 32] ties axis 1 to
 * axis 1, and axis 2 of x to axis 2 of y, whole heads, or to axis 3, the same places of all heads.
 */
export const blocks: LinkRule = (n) => {
  const [x] = n.inputs;
  const y = n.outputs[0];
  if (!x?.shape || !y?.shape) return [];
  const [from, to] = [x.shape, y.shape];
  return alignedBlocks(from, to).flatMap((block): Tie[] => {
    const [own, made] = [
      block.x.filter((a) => from[a] !== 1 || block.x.length === 1),
      block.y.filter((a) => to[a] !== 1 || block.y.length === 1),
    ];
    const [a, b] = [own[0], made[0]];
    if (a === undefined || b === undefined) return [];
    if (own.length === 1 && made.length === 1)
      return typeof from[a] === 'number'
        ? [{ a: { value: x, axis: a }, b: { value: y, axis: b }, homogeneous: true }]
        : [];
    if (own.length === 1) return ways({ value: x, axis: a }, y, made);
    if (made.length === 1) return ways({ value: y, axis: b }, x, own);
    const [one, other] = [Number(from[a]), Number(to[b])];
    const tie = { homogeneous: false, way: 0 };
    if (one > other && one % other === 0)
      return [{ a: { value: y, axis: b }, b: { value: x, axis: a }, repeat: one / other, ...tie }];
    if (other > one && other % one === 0)
      return [{ a: { value: x, axis: a }, b: { value: y, axis: b }, repeat: other / one, ...tie }];
    return [];
  });
};

/** An axis that is the product of several: to be cut along any of them, the outermost first. */
function ways(flat: Tie['b'], value: Value, axes: readonly number[]): Tie[] {
  const sizes = axes.map((a) => Number(value.shape?.[a]));
  const all = sizes.reduce((p, d) => p * d, 1);
  return axes.map((axis, way) => {
    const inner = sizes.slice(way + 1).reduce((p, d) => p * d, 1);
    const map = Array.from({ length: all }, (_, c) => Math.floor(c / inner) % item(sizes, way));
    return { a: { value, axis }, b: flat, map, way, homogeneous: false };
  });
}

/** From the right as far as sizes are known, then from the left. */
function alignedBlocks(x: readonly Dim[], y: readonly Dim[]): Block[] {
  const right = leading(x.toReversed(), y.toReversed());
  const used = right.at(-1);
  const [ends, others] = [right.flatMap((b) => b.x).length, right.flatMap((b) => b.y).length];
  const turned = right.map((b) => ({
    x: b.x.map((a) => x.length - 1 - a).reverse(),
    y: b.y.map((a) => y.length - 1 - a).reverse(),
  }));
  if (!used) return leading(x, y);
  return [...leading(x.slice(0, x.length - ends), y.slice(0, y.length - others)), ...turned];
}
/** Blocks from the left, each as short as can be; axes of size 1 join the block behind them. */
function leading(x: readonly Dim[], y: readonly Dim[]): Block[] {
  const found: Block[] = [];
  for (let i = 0, j = 0; i < x.length && j < y.length;) {
    const block: { x: number[]; y: number[] } = { x: [], y: [] };
    let [p, q] = [1, 1];
    const take = (dims: readonly Dim[], at: number): number | undefined => {
      const d = dims[at];
      return typeof d === 'number' ? d : undefined;
    };
    if (x[i] === y[j] && x[i] !== null) {
      found.push({ x: [i++], y: [j++] });
      continue;
    }
    do {
      const more = p <= q ? take(x, i) : take(y, j);
      if (more === undefined || more === 0) return found;
      if (p <= q) {
        p *= more;
        block.x.push(i++);
      } else {
        q *= more;
        block.y.push(j++);
      }
    } while (p !== q || !block.x.length || !block.y.length);
    found.push(block);
  }
  return found;
}

/** The axes of a product's operands that are no sums: rows, and those that choose a matrix. */
export const besideProduct: LinkRule = (n) => {
  const y = n.outputs[0];
  const rank = y?.shape?.length ?? 0;
  if (!y?.shape) return [];
  return n.inputs.flatMap((x, operand): Tie[] => {
    if (!x?.shape || x.isInitializer || x.shape.length < 2) return [];
    const own = x.shape;
    const lead = rank - own.length;
    const summed = operand === 0 ? own.length - 1 : own.length - 2;
    return own.flatMap((d, axis) => {
      const to = axis + lead;
      return axis !== summed && typeof d === 'number' && to >= 0 && d === y.shape?.[to]
        ? [{ a: { value: x, axis }, b: { value: y, axis: to }, homogeneous: false }]
        : [];
    });
  });
};

/** Axes beside the one that is picked from, and those that a constant list picks of it. */
export const gathered: LinkRule = (n) => {
  const [x, indices] = n.inputs;
  const y = n.outputs[0];
  if (!x?.shape || x.isInitializer || !y?.shape || !indices?.shape) return [];
  const axis = normalAxis(n.int('axis', 0), x.shape.length);
  const more = indices.shape.length - 1;
  const size = x.shape[axis];
  const list = indices.shape.length === 1 ? indices.data?.numbersOrUndefined() : undefined;
  return x.shape.flatMap((d, a): Tie[] => {
    const to = a <= axis ? a : a + more;
    if (typeof d !== 'number') return [];
    if (a !== axis) return [{ a: { value: x, axis: a }, b: { value: y, axis: to }, homogeneous: false }];
    if (!list || typeof size !== 'number') return [];
    const map = list.map((i) => (i < 0 ? i + size : i));
    return [{ a: { value: x, axis: a }, b: { value: y, axis: to }, map, homogeneous: false }];
  });
};

/** Axes that keep their size; others are repeated. */
export const widened: LinkRule = (n) => {
  const [x] = n.inputs;
  const y = n.outputs[0];
  if (!x?.shape || !y?.shape) return [];
  const lead = y.shape.length - x.shape.length;
  return x.shape.flatMap((d, axis): Tie[] =>
    typeof d === 'number' && d > 1 && d === y.shape?.[axis + lead]
      ? [{ a: { value: x, axis }, b: { value: y, axis: axis + lead }, homogeneous: false }]
      : [],
  );
};
