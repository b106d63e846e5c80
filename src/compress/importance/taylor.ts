import { z } from 'zod';
import { item } from '../../base/lists.js';
import { realLength } from '../../calibrate/rows.js';
import { withGates } from '../gates.js';
import { eachGradient } from '../gradient-pass.js';
import { seenBy, type Seen } from '../seen.js';
import type { Importance } from './types.js';

export const by = z
  .enum(['auto', 'labels', 'outputs'])
  .default('auto')
  .describe(
    'Which loss: labels is cross-entropy with the classes of the calibration data; outputs is the change of all that ' +
      'the model gives, without labels; auto: labels where the data have some and the model gives scores of classes.',
  );
const options = z.strictObject({
  by,
  sum: z
    .enum(['squares', 'magnitudes'])
    .default('squares')
    .describe('Of what single samples say: squares, as in the paper, or magnitudes, on which outliers weigh less.'),
});

/**
 * Σ over samples of (Σ g·a)², where a is what layers read of the channel and g the gradient of the loss by it: what the
 * loss changes, to first order, where the channel is taken out. By the chain rule Σ g·a is Σ g·w of the weights that
 * read it. source: Molchanov et al. 2019, https://arxiv.org/abs/1906.10771, equation 8
 */
export const taylor = {
  name: 'taylor',
  doc: 'How much the loss changes without the channel, to first order, from gradients on calibration samples.',
  options,
  needs: 'inputs',
  async score(context, { by, sum }) {
    const { model, gates } = withGates(context.model, context.units);
    const scores = new Float64Array(context.units.length);
    // What a sample says of a unit is summed over all tensors that are read before it is squared.
    let round: Seen | undefined;
    let sums = new Map<number, Float64Array>();
    const settle = (): void => {
      for (const [unit, parts] of sums)
        for (const v of parts) scores[unit] = item(scores, unit) + (sum === 'squares' ? v * v : Math.abs(v));
      sums = new Map();
    };
    await eachGradient({
      ...context,
      ...{ model, by, wrt: gates.map((g) => g.name), samples: seenBy(context) },
      tap: (b, i, value, gradient) => {
        const { axis } = item(gates, i);
        const rank = value.shape?.length ?? 0;
        const axes = Array.from({ length: rank }, (_, a) => a).filter((a) => a !== axis && (a > 0 || axis === 0));
        const product = b.op('Mul', [value, gradient], { name: 'taylor' });
        const attrs = { keepdims: 0 };
        return axes.length ? b.overAxes('ReduceSum', product, axes, { attrs, name: 'taylor' }) : product;
      },
      visit: (i, { data, dims }, seen) => {
        if (seen !== round) settle();
        round = seen;
        const { units, axis } = item(gates, i);
        const channels = units.length;
        const rows = axis === 0 ? 1 : realLength(item(dims, 0), seen.rows);
        // Rows may be tokens of samples, under one axis with them.
        const each = axis === 0 ? 1 : item(dims, 0) / seen.rows.total;
        // The loss is a mean over the batch: gradients are smaller by its size.
        const size = seen.labels && by !== 'outputs' ? seen.rows.total : 1;
        units.forEach((unit, c) => {
          if (unit < 0) return;
          const parts = sums.get(unit) ?? new Float64Array(Math.max(1, seen.rows.real));
          sums.set(unit, parts);
          for (let row = 0; row < rows; row++) {
            const s = Number.isInteger(each) ? Math.floor(row / each) : 0;
            parts[s] = item(parts, s) + size * Number(data[row * channels + c]);
          }
        });
      },
    });
    settle();
    return scores;
  },
} satisfies Importance<z.output<typeof options>>;
