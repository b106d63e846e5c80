import { z } from 'zod';
import { chosen, meanOfAll, numberLike, sumAlong, times, without } from './build.js';
import type { Loss } from './types.js';

/**
 * −Σ t · log softmax(x) along the classes, mean over the rest. With smoothing s, t is (1 − s) · target + s / classes.
 * source: https://arxiv.org/abs/1512.00567 (label smoothing)
 */
export const crossEntropy = {
  name: 'cross-entropy',
  doc: 'Scores of classes against the right class, or against a distribution of the same shape.',
  options: z.strictObject({
    target: z
      .enum(['class', 'distribution'])
      .default('class')
      .describe('Index of a class (int64, without the axis of classes), or a share for each class.'),
    smoothing: z.number().min(0).lt(1).default(0).describe('Share that is spread over all classes.'),
    axis: z.number().int().default(-1).describe('Axis of the classes: 1 for images with a class for each pixel.'),
  }),
  build({ builder: b, prediction, target }, { target: kind, smoothing, axis }) {
    const logs = b.op('LogSoftmax', [prediction], { attrs: { axis }, name: 'loss_logs' });
    const t =
      kind === 'class'
        ? target('int64', without(prediction.shape, axis))
        : target(prediction.dtype ?? 'float32', prediction.shape);
    const right =
      kind === 'class' ? chosen(b, logs, t, axis) : sumAlong(b, b.op('Mul', [logs, t], { name: 'loss_shares' }), axis);
    const hard = times(b, meanOfAll(b, right), smoothing - 1);
    if (smoothing === 0) return hard;
    // Σ log softmax / classes is the mean over the classes.
    return b.op('Sub', [hard, b.op('Mul', [meanOfAll(b, logs), numberLike(b, logs, smoothing)])], { name: 'loss' });
  },
} as const satisfies Loss<{ target: 'class' | 'distribution'; smoothing: number; axis: number }>;
