import { z } from 'zod';
import { maskOption, meanKept, numberLike, sumAlong } from './build.js';
import type { Value } from '../../ir/graph.js';
import type { Loss } from './types.js';

/** Norms below this count as it, so that a vector of zeros has no direction and no gradient. */
const LEAST_NORM = 1e-8;

export const cosine = {
  name: 'cosine',
  doc: '1 − cosine of the angle to a target of the same shape, along one axis, mean over the rest.',
  options: z.strictObject({
    axis: z.number().int().default(-1).describe('Axis of the vectors.'),
    mask: maskOption,
  }),
  build({ builder: b, prediction: x, target, value }, { axis, mask }) {
    const t = target(x.dtype ?? 'float32', x.shape);
    const dot = (u: Value, v: Value): Value => sumAlong(b, b.op('Mul', [u, v], { name: 'loss_products' }), axis);
    const squares = (u: Value): Value =>
      b.op('Max', [dot(u, u), numberLike(b, x, LEAST_NORM ** 2)], { name: 'loss_norm' });
    const norms = b.op('Sqrt', [b.op('Mul', [squares(x), squares(t)], { name: 'loss_norms' })], { name: 'loss_norms' });
    const cosines = b.op('Div', [dot(x, t), norms], { name: 'loss_cosines' });
    return b.op('Sub', [numberLike(b, x, 1), meanKept(b, cosines, mask === undefined ? undefined : value(mask))], {
      name: 'loss',
    });
  },
} as const satisfies Loss<{ axis: number; mask?: string | undefined }>;
