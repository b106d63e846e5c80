/** Pooling. AVERAGE_POOL_2D and MAX_POOL_2D leave padding out of what they count. */
import { item } from '../../../base/lists.js';
import type { Node } from '../../../ir/graph.js';
import { ACTIVATION, PADDING } from '../schema.js';
import type { LayerWriter, Rule } from '../layer-writer.js';
import { sameQuant, type LiteTensor } from '../tensors.js';
import { summed } from './conv.js';
import {
  asImage,
  axesOf,
  imageSizes,
  isSame,
  isUnpadded,
  padded,
  paddingOf,
  refusesRank,
  windowOf,
  type Axis,
  type Window,
} from './windows.js';

const LOWEST = -3.4028234663852886e38;
const refusesDilations = (node: Node): string | undefined =>
  node.ints('dilations', [1]).some((d) => d !== 1) ? 'pooling kernels have no dilations' : refusesRank(node);

const options = ({ rows, columns }: Window, padding: number, activation: number) => ({
  padding,
  strideW: columns.stride,
  strideH: rows.stride,
  filterW: columns.kernel,
  filterH: rows.kernel,
  activation,
});

export const maxPool: Rule = {
  codes: 'same',
  refuses: (node) => (node.outputs[1]?.name ? 'MAX_POOL_2D gives no indices' : refusesDilations(node)),
  write(w) {
    const window = windowOf(w, w.node.ints('kernel_shape'));
    const image = asImage(w, w.input(0));
    const inside = isUnpadded(window) || isSame(window);
    const x = inside ? image : padded(w, image, window, lowest(image));
    const padding = inside ? paddingOf(window) : PADDING.VALID;
    const made = w.like('MAX_POOL_2D', [x], options(window, padding, w.activation()), imageSizes(w.out().shape));
    w.give(w.reshaped(made, w.out().shape));
  },
};
/** What no maximum is below: of codes the number of the lowest. PAD does where that is zero. */
const lowest = ({ quant }: LiteTensor): number =>
  quant ? (-128 - item(quant.zeroPoint, 0)) * item(quant.scale, 0) : LOWEST;

export const averagePool: Rule = {
  codes: 'own',
  refuses: refusesDilations,
  write(w) {
    const window = windowOf(w, w.node.ints('kernel_shape'));
    const counts = w.node.int('count_include_pad', 0) === 1;
    const image = asImage(w, w.input(0));
    const beyond = axesOf(window).some((a) => a.end > a.declared);
    const inside = isUnpadded(window) || (!counts && isSame(window));
    const sizes = imageSizes(w.out().shape);
    if (!inside && (beyond || !counts)) w.give(w.reshaped(uncounted(w, image, window, counts), w.out().shape));
    else if (sameQuant(w.kind.quant, image.quant)) {
      const padding = inside ? paddingOf(window) : PADDING.VALID;
      const x = inside ? image : padded(w, image, window);
      const made = w.like('AVERAGE_POOL_2D', [x], options(window, padding, w.activation()), sizes);
      w.give(w.reshaped(made, w.out().shape));
    } else w.give(w.reshaped(rescaling(w, image, window, counts), w.out().shape));
  },
};

/** The mean by a scale of its own: AVERAGE_POOL_2D would round to that of its input first. */
function rescaling(w: LayerWriter, image: LiteTensor, window: Window, counts: boolean): LiteTensor {
  const { rows, columns } = window;
  const shape = imageSizes(w.out().shape);
  if (isUnpadded(window) && axesOf(window).every((a) => a.kernel === a.size))
    return w.op('MEAN', [image, w.ints([1, 2])], { keepDims: true }, shape);
  if (!counts && !isUnpadded(window))
    return w.like('AVERAGE_POOL_2D', [image], options(window, PADDING.SAME, w.activation()), shape);
  const factor = 1 / (rows.kernel * columns.kernel);
  const x = padded(w, image, window);
  const [kernel, strides] = [[rows.kernel, columns.kernel] as const, [rows.stride, columns.stride] as const];
  return summed(w, x, { kernel, strides, factor, kind: w.kind, shape, activation: w.activation() });
}

/** In numbers: the mean with the border counted, times what of each window counts. */
function uncounted(w: LayerWriter, image: LiteTensor, window: Window, counts: boolean): LiteTensor {
  const x = image.quant ? w.model.dequantized(image, w.name) : image;
  const plain = options(window, PADDING.VALID, ACTIVATION.NONE);
  const mean = w.like('AVERAGE_POOL_2D', [padded(w, x, window)], plain, imageSizes(w.out().shape));
  return w.float('MUL', [mean, weights(w, window, counts)], { activation: ACTIVATION.NONE });
}
/** Of each window, by how much a mean over all of it is too small: [1, rows, columns, 1]. */
function weights(w: LayerWriter, { rows, columns }: Window, counts: boolean): LiteTensor {
  const counted = (a: Axis, at: number): number => {
    const from = at * a.stride - a.begin;
    const low = Math.max(from, counts ? -a.begin : 0);
    const high = Math.min(from + a.kernel, a.size + (counts ? a.declared : 0));
    return Math.max(1, high - low);
  };
  const factors = Array.from({ length: rows.out * columns.out }, (_, i) => {
    const [y, x] = [Math.floor(i / columns.out), i % columns.out];
    return (rows.kernel * columns.kernel) / (counted(rows, y) * counted(columns, x));
  });
  return w.model.floats(factors, [1, rows.out, columns.out, 1], `${w.name}_counts`);
}

/** The axes of space of a tensor with channels last. */
const space = (w: LayerWriter): LiteTensor =>
  w.ints(
    w
      .edge(0)
      .shape.slice(1, -1)
      .map((_, i) => i + 1),
  );
export const globalAveragePool: Rule = {
  codes: 'own',
  write: (w) => w.give(w.op('MEAN', [w.input(0), space(w)], { keepDims: true })),
};
export const globalMaxPool: Rule = {
  codes: 'none',
  write: (w) => w.give(w.op('REDUCE_MAX', [w.input(0), space(w)], { keepDims: true })),
};
