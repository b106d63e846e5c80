/** What losses build again and again. */
import { encodeTensor } from '../../ir/encode.js';
import type { Shape, Value } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { GraphBuilder } from '../../rewrite/builder.js';

/** A number of the type of `like`. */
export const numberLike = (b: GraphBuilder, like: Value, value: number): Value =>
  b.constant(encodeTensor(like.dtype ?? 'float32', [], [value]), 'loss_constant');
/** `x` times a number. */
export const times = (b: GraphBuilder, x: Value, factor: number): Value =>
  factor === 1 ? x : b.op('Mul', [x, numberLike(b, x, factor)], { name: 'loss_scaled' });
/** The mean of all elements. */
export const meanOfAll = (b: GraphBuilder, x: Value): Value =>
  b.op('ReduceMean', [x], { attrs: { keepdims: 0 }, name: 'loss_mean' });
export const sumOfAll = (b: GraphBuilder, x: Value): Value =>
  b.op('ReduceSum', [x], { attrs: { keepdims: 0 }, name: 'loss_sum' });
/** The sum along one axis, which is then gone. */
export const sumAlong = (b: GraphBuilder, x: Value, axis: number): Value =>
  b.overAxes('ReduceSum', x, [axis], { attrs: { keepdims: 0 }, name: 'loss_sum' });
/** A shape without one of its axes. */
export const without = (shape: Shape | undefined, axis: number): Shape | undefined =>
  shape?.filter((_, i) => i !== (axis < 0 ? axis + shape.length : axis));

/** The elements of `x` that indices, of its shape without `axis`, choose along it. */
export function chosen(b: GraphBuilder, x: Value, indices: Value, axis: number): Value {
  const axes = b.constant(Tensor.i64([axis]), 'loss_axis');
  const wide = b.op('Unsqueeze', [indices, axes], { name: 'loss_index' });
  const picked = b.op('GatherElements', [x, wide], { attrs: { axis }, name: 'loss_chosen' });
  return b.op('Squeeze', [picked, axes], { name: 'loss_chosen' });
}
