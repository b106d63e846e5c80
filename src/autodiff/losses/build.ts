/** What losses build again and again. */
import { z } from 'zod';
import { fail } from '../../base/errors.js';
import { dtypeCode } from '../../ir/dtype.js';
import { encodeTensor } from '../../ir/encode.js';
import type { Shape, Value } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { GraphBuilder } from '../../rewrite/builder.js';

/** For losses that are means over the elements of a tensor. */
export const maskOption = z
  .string()
  .min(1)
  .describe(
    'A value of the model, such as attention_mask, that is 0 where an element does not count: of the first axes of what ' +
      'is judged. Default: all count.',
  )
  .optional();

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
/**
 * The mean of the elements that a mask keeps: an axis that the mask lacks behind its last is kept or left as a whole.
 */
export function meanKept(b: GraphBuilder, x: Value, given: Value | undefined): Value {
  if (!given) return meanOfAll(b, x);
  const more = (x.shape?.length ?? 0) - (given.shape?.length ?? 0);
  if (more < 0)
    fail('GRADIENT_INVALID', `the mask '${given.name}' has more axes than what it is laid over`, {
      tensor: given.name,
    });
  const cast = b.op('Cast', [given], { attrs: { to: dtypeCode(x.dtype ?? 'float32') }, name: 'loss_mask' });
  const axes = Array.from({ length: more }, (_, i) => (given.shape?.length ?? 0) + i);
  const mask =
    more > 0 ? b.op('Unsqueeze', [cast, b.constant(Tensor.i64(axes), 'loss_axis')], { name: 'loss_mask' }) : cast;
  const kept = b.op('Mul', [x, mask], { name: 'loss_kept' });
  // what is kept, counted: the mask as wide as what it is laid over
  const wide = b.op('Expand', [mask, b.op('Shape', [x], { name: 'loss_shape' })], { name: 'loss_mask' });
  const count = b.op('Max', [sumOfAll(b, wide), numberLike(b, x, 1)], { name: 'loss_count' });
  return b.op('Div', [sumOfAll(b, kept), count], { name: 'loss_mean' });
}
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
