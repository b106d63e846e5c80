import { z } from 'zod';
import { chosen, numberLike, sumOfAll, without } from './build.js';
import type { Loss } from './types.js';

/** −Σ mask · log softmax(x)[target] / Σ mask: the mean over the tokens that count, or 0 where none does. */
export const tokenCrossEntropy = {
  name: 'token-cross-entropy',
  doc: 'Scores of a vocabulary [batch, tokens, words] against words, over the tokens that a mask of ones keeps.',
  options: z.strictObject({}),
  build({ builder: b, prediction: x, target }) {
    const logs = b.op('LogSoftmax', [x], { attrs: { axis: -1 }, name: 'loss_logs' });
    const shape = without(x.shape, -1);
    const right = chosen(b, logs, target('int64', shape), -1);
    const mask = target(x.dtype ?? 'float32', shape, 'mask');
    const kept = sumOfAll(b, b.op('Mul', [right, mask], { name: 'loss_kept' }));
    const count = b.op('Max', [sumOfAll(b, mask), numberLike(b, x, 1)], { name: 'loss_count' });
    return b.op('Neg', [b.op('Div', [kept, count], { name: 'loss_mean' })], { name: 'loss' });
  },
} as const satisfies Loss<Record<string, never>>;
