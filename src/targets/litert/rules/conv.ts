/** Convolutions. Kernels: CONV_2D [O, h, w, I], DEPTHWISE_CONV_2D [1, h, w, O], TRANSPOSE_CONV [O, h, w, I]. */
import { item } from '../../../base/lists.js';
import type { Node } from '../../../ir/graph.js';
import { ACTIVATION, PADDING } from '../schema.js';
import type { LayerWriter, Rule } from '../layer-writer.js';
import type { Kind } from '../model-writer.js';
import { sizeOf, type LiteTensor } from '../tensors.js';
import { asImage, imageSizes, isSame, isUnpadded, padded, paddingOf, refusesRank, windowOf } from './windows.js';

/** [O, I, h, w] of a weight over lines or images. */
const kernelSizes = (dims: readonly number[]): readonly number[] =>
  dims.length === 3 ? [...dims.slice(0, 2), 1, ...dims.slice(2)] : dims;
const needsWeight = (node: Node): string | undefined =>
  node.inputs[1]?.shape ? undefined : 'the sizes of its weight are not known';

export const conv: Rule = {
  codes: 'own',
  refuses: (node) => refusesRank(node) ?? needsWeight(node),
  write(w) {
    const dims = kernelSizes(w.edge(1).shape);
    const [outputs, perGroup] = [item(dims, 0), item(dims, 1)];
    const window = windowOf(w, w.edge(1).shape.slice(2));
    const group = w.node.int('group', 1);
    const image = asImage(w, w.input(0));
    const inside = isUnpadded(window) || isSame(window);
    const x = inside ? image : padded(w, image, window);
    const padding = inside ? paddingOf(window) : PADDING.VALID;
    const { rows, columns } = window;
    const common = {
      padding,
      strideW: columns.stride,
      strideH: rows.stride,
      dilationW: columns.dilation,
      dilationH: rows.dilation,
    };
    const depthwise = group > 1 && perGroup === 1 && group === item(image.shape, 3);
    const weight = w.weight(1, dims, depthwise ? [1, 2, 3, 0] : [0, 2, 3, 1]);
    if (w.isHybrid && group > 1 && !depthwise)
      w.refuse('grouped convolutions with weights in codes want integer inputs');
    const operands = [x, weight, w.bias(2, outputs, x, weight)];
    const sizes = imageSizes(w.out().shape);
    const activation = w.activation();
    const made = depthwise
      ? w.op('DEPTHWISE_CONV_2D', operands, { ...common, multiplier: outputs / group, activation }, sizes)
      : w.op('CONV_2D', operands, { ...common, activation }, sizes);
    w.give(w.reshaped(made, w.out().shape));
  },
};

export const convTranspose: Rule = {
  codes: 'own',
  refuses(node) {
    if (node.int('group', 1) !== 1) return 'TRANSPOSE_CONV has no groups';
    if (node.ints('dilations', [1]).some((d) => d !== 1)) return 'TRANSPOSE_CONV has no dilations';
    return refusesRank(node) ?? needsWeight(node);
  },
  write(w) {
    if (w.isHybrid) w.refuse('TRANSPOSE_CONV takes no float inputs beside weights in codes');
    const dims = kernelSizes(w.edge(1).shape);
    const outputs = item(dims, 1);
    const spatial = w.edge(0).shape.slice(1, -1);
    const [sizes, image] = [imageSizes(w.out().shape), asImage(w, w.input(0))];
    const axes = transposedAxes(w, spatial, w.edge(1).shape.slice(2));
    const [rows, columns] = axes.length === 2 ? [item(axes, 0), item(axes, 1)] : [LINE, item(axes, 0)];
    const same = [rows, columns].every(
      (a) => a.out === a.size * a.stride && a.begin === Math.max(0, a.kernel - a.stride) >> 1 && a.kernel >= a.stride,
    );
    const whole = [item(sizes, 0), ...[rows, columns].map((a) => Math.max(a.full, a.begin + a.out)), outputs];
    const shape = same ? sizes : whole;
    const weight = w.weight(1, dims, [1, 2, 3, 0]);
    const made = w.op(
      'TRANSPOSE_CONV',
      [w.ints(shape), weight, image, w.bias(2, outputs, image, weight)],
      {
        padding: same ? PADDING.SAME : PADDING.VALID,
        strideW: columns.stride,
        strideH: rows.stride,
        activation: w.activation(),
      },
      shape,
    );
    w.give(w.reshaped(cropped(w, made, [0, rows.begin, columns.begin, 0], sizes), w.out().shape));
  },
};

interface TransposedAxis {
  readonly size: number;
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
  /** What is cut off at the start of what the windows write. */
  readonly begin: number;
  /** All that the windows write. */
  readonly full: number;
}
const LINE: TransposedAxis = { size: 1, out: 1, kernel: 1, stride: 1, begin: 0, full: 1 };

function transposedAxes(w: LayerWriter, spatial: readonly number[], kernel: readonly number[]): TransposedAxis[] {
  const { node } = w;
  const ones = spatial.map(() => 1);
  const strides = node.ints('strides', ones);
  const pads = node.ints('pads', [...ones, ...ones].fill(0));
  const extra = node.ints('output_padding', [...ones].fill(0));
  const auto = node.string('auto_pad', 'NOTSET');
  const asked = node.attrs.has('output_shape') || auto.startsWith('SAME');
  return spatial.map((size, i) => {
    const [k, stride, out] = [item(kernel, i), item(strides, i), item(w.out().shape, i + 1)];
    const full = (size - 1) * stride + k;
    const total = Math.max(0, full + item(extra, i) - out);
    const begin = !asked
      ? auto === 'VALID'
        ? 0
        : item(pads, i)
      : auto === 'SAME_UPPER'
        ? total >> 1
        : total - (total >> 1);
    return { size, out, kernel: k, stride, begin, full };
  });
}

function cropped(w: LayerWriter, t: LiteTensor, from: readonly number[], sizes: readonly number[]): LiteTensor {
  if (sizeOf(t.shape) === sizeOf(sizes)) return t;
  return w.like('SLICE', [t, w.ints(from), w.ints(sizes)], {}, sizes);
}

export interface Sum {
  readonly kernel: readonly [rows: number, columns: number];
  readonly strides: readonly [rows: number, columns: number];
  /** What each element is multiplied by. */
  readonly factor: number;
  readonly kind: Kind;
  readonly shape: readonly number[];
  readonly activation: number;
}
/**
 * Sums over windows of each channel times one factor, into codes of any scale: a convolution whose weights are all the
 * code 1. It is exact where AVERAGE_POOL_2D rounds to the scale of its input, and STRIDED_SLICE stops XNNPACK.
 */
export function summed(
  w: LayerWriter,
  x: LiteTensor,
  { kernel, strides, factor, kind, shape, activation }: Sum,
): LiteTensor {
  const channels = item(x.shape, 3);
  const sizes = [1, ...kernel, channels];
  const { quant } = x;
  const scale = new Float32Array(channels).fill(factor);
  const unit = { scale, zeroPoint: new Int32Array(channels), axis: 3 };
  const weight = quant
    ? w.model.tensor({ type: 'int8', quant: unit }, sizes, `${w.name}_ones`, new Uint8Array(sizeOf(sizes)).fill(1))
    : w.model.floats(new Float32Array(sizeOf(sizes)).fill(factor), sizes, `${w.name}_ones`);
  const zeros = { ...unit, scale: scale.map((s) => s * item(quant?.scale ?? [1], 0)), axis: 0 };
  const bias = quant
    ? w.model.tensor({ type: 'int32', quant: zeros }, [channels], `${w.name}_zeros`, new Uint8Array(4 * channels))
    : w.model.floats(new Float32Array(channels), [channels], `${w.name}_zeros`);
  const [strideH, strideW] = strides;
  const options = { padding: PADDING.VALID, strideW, strideH, multiplier: 1, activation, dilationW: 1, dilationH: 1 };
  return w.model.op('DEPTHWISE_CONV_2D', [x, weight, bias], kind, shape, options, w.name);
}
/** Every `strides`-th row and column of an image. */
export function subsampled(w: LayerWriter, x: LiteTensor, strides: readonly [number, number]): LiteTensor {
  const [n, h, width, channels] = [0, 1, 2, 3].map((i) => item(x.shape, i));
  const shape = [n ?? 1, Math.ceil((h ?? 1) / strides[0]), Math.ceil((width ?? 1) / strides[1]), channels ?? 1];
  return summed(w, x, { kernel: [1, 1], strides, factor: 1, kind: x, shape, activation: ACTIVATION.NONE });
}
