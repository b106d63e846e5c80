/** Operators that move elements, and keep codes as they are. */
import { item } from '../../../base/lists.js';
import { Tensor } from '../../../ir/tensor.js';
import { fromStart } from '../../../rewrite/facts.js';
import { keepsOrder } from '../../../ops/permutation.js';
import { ACTIVATION, TENSOR_TYPES } from '../schema.js';
import { FLOAT, quantOf } from '../model-writer.js';
import type { LayerWriter, Rule } from '../layer-writer.js';
import type { LiteTensor } from '../tensors.js';
import { subsampled } from './conv.js';
import { bordered, mirrored } from './windows.js';

const view: Rule = { codes: 'same', write: (w) => w.give(w.reshaped(w.input(0), w.out().shape)) };

const transpose: Rule = {
  codes: 'same',
  write(w) {
    const { shape } = w.edge(0);
    const perm = w.node.ints(
      'perm',
      shape.map((_, i) => shape.length - 1 - i),
    );
    const x = w.input(0);
    w.give(keepsOrder(shape, perm) ? w.reshaped(x, w.out().shape) : w.transposed(x, perm));
  },
};

interface Range {
  readonly from: number;
  readonly step: number;
}
/** First place and step on each axis; the sizes of the result say how far. */
function rangesOf(w: LayerWriter): Range[] {
  const { shape } = w.edge(0);
  const ranges = shape.map((): Range => ({ from: 0, step: 1 }));
  const starts = w.list('starts', 1) ?? [];
  const axes = w.list('axes', 3) ?? starts.map((_, i) => i);
  const steps = w.list('steps', 4) ?? starts.map(() => 1);
  axes.forEach((a, i) => {
    const axis = fromStart(a, shape.length);
    const [size, step, start] = [item(shape, axis), item(steps, i), item(starts, i)];
    const at = start < 0 ? start + size : start;
    ranges[axis] = { from: Math.max(0, Math.min(at, step > 0 ? size : size - 1)), step };
  });
  return ranges;
}

const slice: Rule = {
  codes: 'same',
  refuses: (node) =>
    [1, 2, 3, 4].some((i) => node.inputs[i] && !node.inputs[i].data && !node.inputs[i].producer)
      ? 'its limits are inputs of the model'
      : undefined,
  write(w) {
    const x = w.input(0);
    const { shape } = w.out();
    const ranges = rangesOf(w);
    const whole = ranges.every((r, i) => r.from === 0 && r.step === 1 && item(shape, i) === item(x.shape, i));
    if (whole) w.give(x);
    else if (ranges.every((r) => r.step === 1))
      w.give(w.like('SLICE', [x, w.ints(ranges.map((r) => r.from)), w.ints(shape)], {}, shape));
    else w.give(strided(w, x, ranges, shape));
  },
};
function strided(w: LayerWriter, x: LiteTensor, ranges: readonly Range[], shape: readonly number[]): LiteTensor {
  const [n, h, width, c] = ranges;
  const isImage = ranges.length === 4 && (x.type === 'int8' || x.type === 'float32') && n?.step === 1 && c?.step === 1;
  if (isImage && h && width && h.step > 0 && width.step > 0) {
    // STRIDED_SLICE stops XNNPACK; a window of one place does not
    const reach = ranges.map((r, i) => (item(shape, i) - 1) * r.step + 1);
    const ends = ranges.every((r, i) => r.from === 0 && item(x.shape, i) - item(reach, i) < r.step);
    const inner = ends ? x : w.like('SLICE', [x, w.ints(ranges.map((r) => r.from)), w.ints(reach)], {}, reach);
    return subsampled(w, inner, [h.step, width.step]);
  }
  const last = ranges.map((r, i) => r.from + r.step * item(shape, i));
  // before the first place there is no end: the mask says "to the start"
  const mask = last.reduce((bits, e, i) => (e < 0 ? bits | (1 << i) : bits), 0);
  const places = [ranges.map((r) => r.from), last.map((e) => Math.max(0, e)), ranges.map((r) => r.step)];
  const options = { beginMask: 0, endMask: mask, ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0 };
  return w.like('STRIDED_SLICE', [x, ...places.map((p) => w.ints(p))], options, shape);
}

const concat: Rule = {
  codes: 'same',
  write(w) {
    const quant = w.onCodes ? quantOf(w.out()) : undefined;
    const inputs = w.layer.inputs.map((_, i) => w.inputAs(i, quant));
    const [first] = inputs;
    if (!first) return w.refuse('it has no inputs');
    const axis = w.axis(1);
    w.give(w.like('CONCATENATION', [first, ...inputs.slice(1)], { axis, activation: ACTIVATION.NONE }, w.out().shape));
  },
};

const split: Rule = {
  codes: 'same',
  write(w) {
    const axis = w.axis(0);
    const x = w.input(0);
    const outputs = w.layer.outputs.map((e) => e?.shape ?? w.refuse('a part of it is not used: its size is not known'));
    const sizes = outputs.map((s) => item(s, axis));
    const made = outputs.map((shape) => ({ kind: x, shape }));
    const equal = sizes.every((s) => s === sizes[0]);
    const place = w.model.tensor({ type: 'int32' }, [], `${w.name}_axis`, Tensor.i32([axis]).bytes());
    const options = { count: sizes.length };
    const parts = equal
      ? w.model.ops('SPLIT', [place, x], made, options, w.name)
      : w.model.ops('SPLIT_V', [x, w.ints(sizes), place], made, options, w.name);
    parts.forEach((t, i) => w.give(t, i));
  },
};

const pad: Rule = {
  codes: 'same',
  refuses(node) {
    const mode = node.string('mode', 'constant');
    if (mode === 'edge' || mode === 'wrap') return `LiteRT pads with numbers or mirrored, not with mode ${mode}`;
    return node.inputs[2] && !node.inputs[2].data ? 'its number is not constant' : undefined;
  },
  write(w) {
    const { shape } = w.edge(0);
    const given = w.list(w.node.attrs.has('paddings') ? 'paddings' : 'pads', 1) ?? w.refuse('it has no pads');
    const axes = (w.list('axes', 3) ?? shape.map((_, i) => i)).map((a) => fromStart(a, shape.length));
    const pads = shape.map(() => [0, 0]);
    axes.forEach((a, i) => (pads[a] = [item(given, i), item(given, i + axes.length)]));
    const cut = pads.map((p) => p.map((n) => Math.max(0, -n)));
    const x = w.input(0);
    const kept = shape.map((d, i) => d - item(item(cut, i), 0) - item(item(cut, i), 1));
    const inner = cut.flat().some((n) => n > 0)
      ? w.like('SLICE', [x, w.ints(cut.map((p) => item(p, 0))), w.ints(kept)], {}, kept)
      : x;
    const border = pads.map((p) => p.map((n) => Math.max(0, n)));
    const value = w.constant(2)?.f64()[0] ?? w.node.float('value', 0);
    w.give(
      w.node.string('mode', 'constant') === 'reflect'
        ? mirrored(w, inner, border, 'REFLECT')
        : bordered(w, inner, border, value),
    );
  },
};

/** Rows of a table, or places along an axis. Places that are constant may count from the end. */
const gather: Rule = {
  codes: 'same',
  write(w) {
    const axis = w.axis(0);
    const size = item(w.edge(0).shape, axis);
    const known = w.constant(1);
    const places = known
      ? w.ints(
          known.numbers().map((i) => (i < 0 ? i + size : i)),
          known.dims,
        )
      : w.real(1);
    const coded = w.layer.coded.get(0);
    const options = { axis, batchDims: 0 };
    if (!w.edge(0).data || !coded || w.onCodes) {
      w.give(w.like('GATHER', [w.input(0), places], options, w.out().shape));
      return;
    }
    const table = w.model.coded(coded, w.edge(0).name);
    const rows = w.like('GATHER', [table, places], options, w.out().shape);
    if (coded.params.scale.length === 1) {
      w.give(w.model.dequantized(rows, w.name));
      return;
    }
    if (axis !== 0 || table.quant?.axis !== 0 || coded.params.zeroPoint.some((z) => z !== 0))
      w.refuse('its table has scales along another axis than it picks from');
    // picked codes, times the scales of what they are picked from
    const bare = w.model.tensor({ type: 'int8' }, table.shape, `${table.name}_bare`, table.data);
    const picked = w.like('GATHER', [bare, places], options, w.out().shape);
    const floats = w.model.op(
      'CAST',
      [picked],
      FLOAT,
      picked.shape,
      { from: TENSOR_TYPES.int8, to: TENSOR_TYPES.float32 },
      w.name,
    );
    const shape = [size, ...table.shape.slice(1).map(() => 1)];
    const scales = w.model.floats(coded.params.scale, shape, `${table.name}_scales`);
    const step = w.float('GATHER', [scales, places], options, [...places.shape, ...shape.slice(1)]);
    w.give(w.float('MUL', [floats, step], { activation: ACTIVATION.NONE }));
  },
};

const expand: Rule = {
  codes: 'same',
  write(w) {
    const { shape } = w.out();
    const x = w.input(0);
    const ranked = w.reshaped(x, [...Array<number>(shape.length - x.shape.length).fill(1), ...x.shape]);
    const same = ranked.shape.every((d, i) => d === shape[i]);
    w.give(same ? ranked : w.like('BROADCAST_TO', [ranked, w.ints(shape)], {}, shape));
  },
};
const tile: Rule = {
  codes: 'same',
  write: (w) => w.give(w.like('TILE', [w.input(0), w.ints(w.numbers(1))], {}, w.out().shape)),
};

/** Channels of an image to space: ONNX's DCR is the order of DEPTH_TO_SPACE, CRD has the channel first. */
const depthToSpace: Rule = {
  codes: 'same',
  write(w) {
    const block = w.node.int('blocksize');
    const x = w.input(0);
    const channels = item(x.shape, 3) / (block * block);
    const crd = w.node.string('mode', 'DCR') === 'CRD';
    const order = Array.from(
      { length: item(x.shape, 3) },
      (_, i) => (i % channels) * block * block + Math.floor(i / channels),
    );
    const depth = crd ? w.like('GATHER', [x, w.ints(order)], { axis: 3, batchDims: 0 }) : x;
    w.give(w.like('DEPTH_TO_SPACE', [depth], { block }, w.out().shape));
  },
};
const spaceToDepth: Rule = {
  codes: 'same',
  write: (w) => w.give(w.like('SPACE_TO_DEPTH', [w.input(0)], { block: w.node.int('blocksize') }, w.out().shape)),
};

export const moves: Readonly<Record<string, Rule>> = {
  Reshape: view,
  Flatten: view,
  Squeeze: view,
  Unsqueeze: view,
  Transpose: transpose,
  Slice: slice,
  Concat: concat,
  Split: split,
  Pad: pad,
  Gather: gather,
  Expand: expand,
  Tile: tile,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
};
