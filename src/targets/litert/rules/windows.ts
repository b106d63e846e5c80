/** Windows that slide over space: what of their padding a kernel can do itself. Tensors have channels last. */
import { item } from '../../../base/lists.js';
import type { Node } from '../../../ir/graph.js';
import { reachOf, windowOf as settled } from '../../../ops/window.js';
import { MIRROR, PADDING } from '../schema.js';
import type { LayerWriter } from '../layer-writer.js';
import type { LiteTensor } from '../tensors.js';

/** Along one axis. `begin` and `end` are the padding that the windows reach into, with what ceil_mode adds. */
export interface Axis {
  readonly size: number;
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly begin: number;
  readonly end: number;
  /** Padding at the end as the node declares it. */
  readonly declared: number;
}
export interface Window {
  readonly rows: Axis;
  readonly columns: Axis;
}
export const axesOf = ({ rows, columns }: Window): readonly [Axis, Axis] => [rows, columns];

/** One row: what is missing of a window over a line. */
const FLAT: Axis = { size: 1, out: 1, kernel: 1, stride: 1, dilation: 1, begin: 0, end: 0, declared: 0 };

/** Why a window over more than two axes, or none, cannot be written. */
export const refusesRank = (node: Node): string | undefined => {
  const rank = node.inputs[0]?.shape?.length;
  return rank !== undefined && rank !== 3 && rank !== 4
    ? `it has ${rank - 2} axes of space; one or two are written`
    : undefined;
};

/** The window of a node whose data input and result have channels last. */
export function windowOf(w: LayerWriter, kernel: readonly number[]): Window {
  const { node } = w;
  const [from, to] = [w.edge(0).shape.slice(1, -1), w.out().shape.slice(1, -1)];
  const window = settled(node, kernel, from, to);
  const axes = from.map((size, i): Axis => {
    const [k, stride, dilation] = [item(kernel, i), item(window.strides, i), item(window.dilations, i)];
    const [begin, declared, out] = [item(window.before, i), item(window.after, i), item(to, i)];
    const end = Math.max(0, reachOf(window, i, out) - size - begin);
    return { size, out, kernel: k, stride, dilation, begin, end, declared };
  });
  if (axes.length > 2 || axes.some((a) => a.begin < 0))
    w.refuse('its window has more than two axes, or negative padding');
  const columns = item(axes, axes.length - 1);
  return { rows: axes.length === 2 ? item(axes, 0) : FLAT, columns };
}

export const isUnpadded = (window: Window): boolean => axesOf(window).every((a) => a.begin === 0 && a.end === 0);
/** Whether the kernel's own SAME is this padding: it puts an odd place at the end, and depends on the stride. */
export const isSame = (window: Window): boolean =>
  axesOf(window).every((a) => a.out === Math.ceil(a.size / a.stride) && a.begin === (a.begin + a.end) >> 1);
export const paddingOf = (window: Window): number => (isUnpadded(window) ? PADDING.VALID : PADDING.SAME);

/** A tensor [N, L, C] as [N, 1, L, C]; images stay. */
export const asImage = (w: LayerWriter, t: LiteTensor): LiteTensor => w.reshaped(t, imageSizes(t.shape));
export const imageSizes = (shape: readonly number[]): readonly number[] =>
  shape.length === 3 ? [item(shape, 0), 1, ...shape.slice(1)] : shape;

/** A tensor with a border of zeros, or of `value`, in codes of its own scale. */
export function padded(w: LayerWriter, x: LiteTensor, window: Window, value = 0): LiteTensor {
  const { rows, columns } = window;
  const pads = [
    [0, 0],
    [rows.begin, rows.end],
    [columns.begin, columns.end],
    [0, 0],
  ];
  return bordered(w, x, pads, value);
}
/** As {@link padded}, by [before, after] of each axis. */
export function bordered(w: LayerWriter, x: LiteTensor, pads: readonly (readonly number[])[], value = 0): LiteTensor {
  if (pads.every((p) => p.every((n) => n === 0))) return x;
  const shape = x.shape.map((d, i) => item(pads, i).reduce((a, b) => a + b, d));
  const places = w.ints(pads.flat(), [pads.length, 2]);
  if (value === 0) return w.like('PAD', [x, places], {}, shape);
  const border = x.quant
    ? w.model.codesOf([value], [1], x.quant, `${w.name}_border`)
    : w.model.floats([value], [1], `${w.name}_border`);
  return w.like('PADV2', [x, places, border], {}, shape);
}
/** As {@link bordered}, with what lies within, mirrored at the outermost elements or beside them. */
export function mirrored(
  w: LayerWriter,
  x: LiteTensor,
  pads: readonly (readonly number[])[],
  mode: keyof typeof MIRROR,
): LiteTensor {
  const shape = x.shape.map((d, i) => item(pads, i).reduce((a, b) => a + b, d));
  return w.like('MIRROR_PAD', [x, w.ints(pads.flat(), [pads.length, 2])], { mode: MIRROR[mode] }, shape);
}
