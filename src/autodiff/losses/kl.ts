import { z } from 'zod';
import { meanOfAll, sumAlong, times } from './build.js';
import type { Loss } from './types.js';

/**
 * T² · Σ p · (log p − log q) along the classes, mean over the rest, with p = softmax(target / T) and
 * q = softmax(x / T). The factor keeps gradients of the size that they have at T = 1.
 * source: https://arxiv.org/abs/1503.02531
 */
export const kl = {
  name: 'kl',
  doc: 'Scores of classes against the scores that a teacher gives, both softened by a temperature.',
  options: z.strictObject({
    temperature: z.number().positive().default(4).describe('Both scores are divided by it.'),
    axis: z.number().int().default(-1).describe('Axis of the classes.'),
  }),
  build({ builder: b, prediction: x, target }, { temperature, axis }) {
    const t = times(b, target(x.dtype ?? 'float32', x.shape), 1 / temperature);
    const attrs = { axis };
    const logQ = b.op('LogSoftmax', [times(b, x, 1 / temperature)], { attrs, name: 'loss_logs' });
    const logP = b.op('LogSoftmax', [t], { attrs, name: 'loss_target_logs' });
    const p = b.op('Softmax', [t], { attrs, name: 'loss_target_shares' });
    const each = b.op('Mul', [p, b.op('Sub', [logP, logQ], { name: 'loss_ratio' })], { name: 'loss_each' });
    return times(b, meanOfAll(b, sumAlong(b, each, axis)), temperature ** 2);
  },
} as const satisfies Loss<{ temperature: number; axis: number }>;
