import { z } from 'zod';
import { meanOfAll } from './build.js';
import type { Loss } from './types.js';

/** −t · log σ(x) − (1 − t) · log(1 − σ(x)) = softplus(x) − t · x, which no large x overflows. */
export const binaryCrossEntropy = {
  name: 'binary-cross-entropy',
  doc: 'Scores before a sigmoid against shares between 0 and 1 of the same shape, each by itself.',
  options: z.strictObject({}),
  build({ builder: b, prediction: x, target }) {
    const t = target(x.dtype ?? 'float32', x.shape);
    const right = b.op('Mul', [t, x], { name: 'loss_right' });
    return meanOfAll(b, b.op('Sub', [b.op('Softplus', [x], { name: 'loss_softplus' }), right], { name: 'loss_each' }));
  },
} as const satisfies Loss<Record<string, never>>;
