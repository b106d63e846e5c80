/**
 * Resampling of lines and images. The kernels know three grids; which one gives the places that the node asks for is
 * found by comparing them, place by place. source:
 * https://github.com/google-ai-edge/LiteRT/tree/main/tflite/kernels/internal/reference
 * (resize_nearest_neighbor.h, resize_bilinear.h)
 */
import { item } from '../../../base/lists.js';
import type { Node } from '../../../ir/graph.js';
import { fromStart } from '../../../rewrite/facts.js';
import type { LayerWriter, Rule } from '../layer-writer.js';
import { asImage, imageSizes, refusesRank } from './windows.js';

interface Grid {
  readonly alignCorners: boolean;
  readonly halfPixel: boolean;
}
const GRIDS: readonly Grid[] = [
  { alignCorners: false, halfPixel: true },
  { alignCorners: false, halfPixel: false },
  { alignCorners: true, halfPixel: false },
];
interface Axis {
  readonly size: number;
  readonly out: number;
  readonly scale: number;
}
/** How far two places may lie apart that count as one: they are float32 in kernels. */
const CLOSE = 1e-4;
const clamp = (x: number, size: number): number => Math.min(size - 1, Math.max(0, x));

/** Where the kernel looks for the place `i` of an axis. */
function kernelPlace({ size, out }: Axis, { alignCorners, halfPixel }: Grid, nearest: boolean, i: number): number {
  const scale = alignCorners && out > 1 ? (size - 1) / (out - 1) : size / out;
  if (!nearest) return clamp(halfPixel ? (i + 0.5) * scale - 0.5 : i * scale, size);
  const at = (i + (halfPixel ? 0.5 : 0)) * Math.fround(scale);
  return clamp(alignCorners ? Math.round(at) : Math.floor(at), size);
}

/** Where ONNX does; undefined for modes that are not known. https://onnx.ai/onnx/operators/onnx__Resize.html */
function place({ size, out, scale }: Axis, mode: string, i: number): number | undefined {
  switch (mode) {
    case 'half_pixel':
      return (i + 0.5) / scale - 0.5;
    case 'pytorch_half_pixel':
      return out > 1 ? (i + 0.5) / scale - 0.5 : 0;
    case 'half_pixel_symmetric':
      return (size / 2) * (1 - out / (scale * size)) + (i + 0.5) / scale - 0.5;
    case 'align_corners':
      return out > 1 ? (i * (size - 1)) / (out - 1) : 0;
    case 'asymmetric':
      return i / scale;
    case 'tf_half_pixel_for_nn':
      return (i + 0.5) / scale;
    default:
      return undefined;
  }
}
const ROUNDINGS: Readonly<Record<string, (x: number) => number>> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** Mode of coordinates and of rounding: versions below 11 have one of each. */
const modesOf = (w: LayerWriter): readonly [string, string] =>
  w.layer.op === 'Upsample' || w.opset < 11
    ? ['asymmetric', 'floor']
    : [
        w.node.string('coordinate_transformation_mode', 'half_pixel'),
        w.node.string('nearest_mode', 'round_prefer_floor'),
      ];

function matches(axis: Axis, grid: Grid, mode: string, rounding: string | undefined): boolean {
  for (let i = 0; i < axis.out; i++) {
    const at = place(axis, mode, i);
    const round = rounding === undefined ? (x: number): number => x : ROUNDINGS[rounding];
    if (at === undefined || !round) return false;
    const wanted = clamp(round(at), axis.size);
    if (Math.abs(wanted - kernelPlace(axis, grid, rounding !== undefined, i)) > CLOSE) return false;
  }
  return true;
}

/** Factors by which a node resizes, one for each axis of its input in ONNX's order. */
function scalesOf(w: LayerWriter, rank: number): readonly number[] | undefined {
  const at = w.layer.op === 'Upsample' || w.opset < 11 ? 1 : 2;
  const attr = w.node.attrs.get('scales');
  const given = attr?.type === 'floats' ? attr.value : w.constant(at)?.size ? w.constant(at)?.f64() : undefined;
  if (!given) return undefined;
  const axes = w.node.ints('axes', [...Array(rank).keys()]).map((a) => fromStart(a, rank));
  const all = Array<number>(rank).fill(1);
  axes.forEach((a, i) => (all[a] = item(given, i)));
  return all;
}

const refusesMode = (node: Node): string | undefined => {
  const mode = node.string('mode', 'nearest');
  if (mode !== 'nearest' && mode !== 'linear') return `mode ${mode} has no kernel`;
  if (node.int('antialias', 0) === 1) return 'kernels do not smooth';
  if (node.string('coordinate_transformation_mode', '') === 'tf_crop_and_resize') return 'it crops';
  return refusesRank(node);
};

export const resize: Rule = {
  codes: 'same',
  refuses: refusesMode,
  write(w) {
    const [from, to] = [w.edge(0).shape, w.out().shape];
    const scales = scalesOf(w, from.length);
    if (from[0] !== to[0] || from.at(-1) !== to.at(-1)) w.refuse('it resizes the batch or the channels');
    const axes = from.slice(1, -1).map((size, i): Axis => {
      const out = item(to, i + 1);
      return { size, out, scale: scales ? item(scales, i + 2) : out / size };
    });
    const nearest = w.node.string('mode', 'nearest') === 'nearest';
    const [mode, rounding] = modesOf(w);
    const grid = GRIDS.find((g) => axes.every((a) => matches(a, g, mode, nearest ? rounding : undefined)));
    if (!grid)
      return w.refuse(`no kernel looks at the places of ${mode}${nearest ? ` with ${rounding}` : ''} for these sizes`);
    const shape = imageSizes(to);
    const inputs = [asImage(w, w.input(0)), w.ints(shape.slice(1, 3))] as const;
    const { alignCorners, halfPixel } = grid;
    const made = nearest
      ? w.like('RESIZE_NEAREST_NEIGHBOR', inputs, { alignCorners, halfPixel }, shape)
      : w.like('RESIZE_BILINEAR', inputs, { alignCorners, halfPixel }, shape);
    w.give(w.reshaped(made, to));
  },
};
