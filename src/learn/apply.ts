/** What was learned of a layer becomes its codes, its scales and its bias. */
import { item } from '../base/lists.js';
import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import { packedOrder } from '../ops/packing.js';
import { gridOf, rowsOfLayer, type LayerShape } from '../channels/layer.js';
import { settled } from '../codes/pairs.js';
import { layoutOf, paramAt } from '../scheme/layout.js';
import { clipRange } from '../scheme/params.js';
import { roundHalfEven } from '../scheme/rounding.js';
import type { Packing, QuantParams } from '../scheme/types.js';
import type { Learned } from './weights.js';

/** The parameters of a weight after learning; the data of the weight and of the bias become what they mean. */
export function applyLearned(
  layer: LayerShape,
  start: QuantParams,
  learned: Learned,
  packing: Packing | undefined,
): QuantParams {
  const { dims } = dataOf(layer.weight); // a layer's weight is constant
  const layout = layoutOf(dims, start.scheme.granularity);
  const [low, high] = clipRange(start.scheme);
  const grown = start.scale.map((s, p) => s * item(learned.factors, p));
  const scale = grown.map((s, p) => (s * item(start.scale, p) > 0 && Number.isFinite(s) ? s : item(start.scale, p)));
  const codes = Int32Array.from(learned.codes, (c) => Math.min(high, Math.max(low, roundHalfEven(c))));
  if (packing) keepApart(layer, { ...start, scale }, codes, scale, packing);
  const values = Float32Array.from(codes, (q, at) => {
    const p = paramAt(layout, at);
    return Math.fround(q - item(start.zeroPoint, p)) * item(scale, p);
  });
  layer.weight.data = Tensor.f32(values, dims);
  if (learned.bias && layer.bias) layer.bias.data = Tensor.f32(learned.bias, layer.bias.data?.dims ?? []);
  const { codes: _codes, ...rest } = start;
  return { ...rest, scale };
}

/** Neighbours that could saturate give way, as they do for every other method. */
function keepApart(
  layer: LayerShape,
  params: QuantParams,
  codes: Int32Array,
  scale: Float32Array,
  packing: Packing,
): void {
  const packed = packedOrder(packing).map((offset) => offset / layer.columnStride);
  const { columns, rows } = layer;
  const hessian = new Float64Array(columns * columns);
  for (let c = 0; c < columns; c++) hessian[c * columns + c] = 1;
  for (let group = 0; group < layer.groups; group++) {
    const range = { group, first: 0, rows };
    const { grid, parts } = gridOf(layer, params, range);
    const own = Int32Array.from(rowsOfLayer(layer, codes, range));
    const target = Float64Array.from(own, (q, at) => {
      const p = item(grid.part, at);
      return (q - item(grid.zeroPoint, p)) * item(grid.scale, p);
    });
    const safe = settled(
      { rows, columns, target, hessian, grid, packed },
      { codes: own, scale: grid.scale, zeroPoint: grid.zeroPoint },
    );
    parts.forEach((p, i) => {
      scale[p] = item(safe.scale, i);
    });
    for (let r = 0, at = 0; r < rows; r++)
      for (let c = 0; c < columns; c++, at++)
        codes[group * layer.groupStride + r * layer.rowStride + c * layer.columnStride] = item(safe.codes, at);
  }
}
