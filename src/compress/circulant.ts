import { z } from 'zod';
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { rowsOfLayer, type LayerShape } from '../channels/layer.js';
import { dataOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { inferShapes } from '../ops/infer.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnusedInitializers } from '../rewrite/pass.js';
import { productsOf } from './products.js';
import type { Compression } from './types.js';

const options = z.strictObject({
  block: z
    .number()
    .int()
    .min(2)
    .describe(
      'Rows and columns of a block: of so many elements one is left. Products whose sizes it divides are taken.',
    ),
  include: z
    .array(z.string().min(1))
    .min(1)
    .describe('Layers by name, glob or re: and a regular expression. Default: all products with a constant matrix.')
    .optional(),
});
type Options = z.output<typeof options>;

/**
 * W is cut into blocks of k × k, and each becomes the nearest circulant matrix, in which element (i, j) is t[(i − j)
 * mod k]: t is the mean along each diagonal. The product is a convolution of the inputs, each block followed by its
 * start, with kernels t[−m mod k]. source: Cheng et al. 2015, https://arxiv.org/abs/1502.03436; blocks: Ding et al. 2017,
 * https://arxiv.org/abs/1708.08917
 */
export const circulant = {
  name: 'circulant',
  doc:
    'Puts circulant blocks in the place of large matrices: a fraction of the parameters at as many ' +
    'multiply-accumulates. It loses most of what a trained matrix does; train the result.',
  options,
  async run({ model }, { block, include }) {
    await Promise.resolve();
    const layers = productsOf(model, include, (l) => l.rows % block === 0 && l.columns % block === 0);
    if (!layers.length)
      fail(
        'MODEL_UNSUPPORTED',
        `there is no product with a constant matrix whose sizes ${block} divides`,
        {},
        'choose a block that divides them, and see include',
      );
    let [lost, all] = [0, 0];
    for (const layer of layers) {
      const { kernels, error, energy } = nearestCirculant(layer, block);
      lost += error;
      all += energy;
      replace(model, layer, kernels, block);
    }
    removeUnusedInitializers(model.graph);
    inferShapes(model);
    const share = ((100 * lost) / (all || 1)).toFixed(1);
    return `${layers.length} products of blocks of ${block} × ${block} · ${share} % of the energy of their weights lost`;
  },
} satisfies Compression<Options>;

/** Kernels [rows ÷ k, columns ÷ k, k], and what is lost: the squared distance from the circulant blocks. */
export function nearestCirculant(
  layer: LayerShape,
  k: number,
): { readonly kernels: Float32Array; readonly error: number; readonly energy: number } {
  const { rows, columns } = layer;
  const w = rowsOfLayer(layer, dataOf(layer.weight).f64(), { group: 0, first: 0, rows });
  const across = columns / k;
  const sums = new Float64Array((rows / k) * columns);
  let energy = 0;
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const v = item(w, r * columns + c);
      // The kernel runs against the diagonals: m = j − i.
      const at = (Math.floor(r / k) * across + Math.floor(c / k)) * k + ((((c - r) % k) + k) % k);
      sums[at] = item(sums, at) + v;
      energy += v * v;
    }
  // Of k equal elements, what a mean leaves is what it does not explain.
  const kernels = Float32Array.from(sums, (s) => s / k);
  const error = energy - sums.reduce((n, s) => n + (s * s) / k, 0);
  return { kernels, error: Math.max(0, error), energy };
}

/** The convolution in the place of the product; the bias is added behind it. */
function replace(model: Model, layer: LayerShape, kernels: Float32Array, k: number): void {
  const { node, rows, columns, weight, bias, biasApart } = layer;
  const b = new GraphBuilder(model);
  const name = node.name || item(node.outputs, 0).name;
  const named = { name: `${name}_circulant` };
  const ints = (...v: number[]) => b.constant(Tensor.i64(v), `${name}_shape`);
  const blocks = b.op('Reshape', [layer.input, ints(-1, columns / k, k)], named);
  const start = b.op('Slice', [blocks, ints(0), ints(k - 1), ints(2)], named);
  const round = b.op('Concat', [blocks, start], { ...named, attrs: { axis: 2 } });
  const kernel = b.constant(Tensor.f32(kernels, [rows / k, columns / k, k]), weight.name);
  const product = b.op('Conv', [round, kernel], { ...named, attrs: { kernel_shape: [k] } });
  const leading = b.op('Slice', [b.op('Shape', [layer.input], named), ints(0), ints(-1), ints(0)], named);
  const shape = b.op('Concat', [leading, ints(rows)], { ...named, attrs: { axis: 0 } });
  const flat = b.op('Reshape', [product, shape], named);
  const made = bias && !biasApart ? b.op('Add', [flat, bias], named) : flat;
  const before = item(node.outputs, 0);
  made.dtype = before.dtype;
  made.shape = before.shape;
  const { name: output } = before;
  before.name = b.freeName(`${output}_dense`);
  made.name = output;
  model.graph.replaceUses(before, made);
  model.graph.outputs.forEach((o, i) => {
    if (o === before) model.graph.setOutput(i, made);
  });
  model.graph.remove(node);
}
