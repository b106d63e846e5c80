import { z } from 'zod';
import { item } from '../../base/lists.js';
import type { Cut } from '../../channels/removal.js';
import type { Value } from '../../ir/graph.js';
import { eachGradient } from '../gradient-pass.js';
import { seenBy, type Seen } from '../seen.js';
import { takesAnyBatch } from '../../calibrate/rows.js';
import type { Feed } from '../../ir/feed.js';
import { by } from './taylor.js';
import type { Importance, ImportanceContext } from './types.js';

const options = z.strictObject({
  by,
  of: z
    .enum(['makers', 'all'])
    .default('makers')
    .describe('makers: weights and biases that make the channel; all: those that read it, too.'),
});

/**
 * Σ ½·h·w² over the weights of a channel, where h is the diagonal of the second derivative of the loss, by the mean of
 * squared gradients of single samples (empirical Fisher). Samples are run one by one, where the model takes that.
 * source: LeCun et al. 1989, Optimal Brain Damage, https://papers.nips.cc/paper/250-optimal-brain-damage; Fisher:
 * Theis et al. 2018, https://arxiv.org/abs/1801.05787
 */
export const hessian = {
  name: 'hessian',
  doc: 'How much the loss grows without the weights of the channel, to second order (optimal brain damage).',
  options,
  needs: 'inputs',
  async score(context, { by, of }) {
    const lines = linesOf(context, of);
    const scores = new Float64Array(context.units.length);
    let samples = 0;
    let last: Seen | undefined;
    await eachGradient({
      ...context,
      ...{ by, wrt: lines.map((l) => l.constant.name), samples: singles(context) },
      tap: (b, i, value, gradient) => {
        const { axis } = item(lines, i);
        const change = b.op('Mul', [value, gradient], { name: 'hessian' });
        const squares = b.op('Mul', [change, change], { name: 'hessian' });
        const axes = (value.shape ?? []).flatMap((_, a) => (a === axis ? [] : [a]));
        const attrs = { keepdims: 0 };
        return axes.length ? b.overAxes('ReduceSum', squares, axes, { attrs, name: 'hessian' }) : squares;
      },
      visit: (i, { data }, seen) => {
        if (seen !== last) samples += 1;
        last = seen;
        for (const { unit, index } of item(lines, i).cuts) scores[unit] = item(scores, unit) + Number(data[index]) / 2;
      },
    });
    return scores.map((s) => s / Math.max(1, samples));
  },
} satisfies Importance<z.output<typeof options>>;

interface Lines {
  readonly constant: Value;
  readonly axis: number;
  readonly cuts: { readonly unit: number; readonly index: number }[];
}
/** Constants with an axis of channels, and to which unit their indices belong. */
function linesOf({ units }: ImportanceContext, of: 'makers' | 'all'): Lines[] {
  const made = new Map<string, Lines>();
  const counted = ({ makes, constant }: Cut): boolean => constant.data?.dtype === 'float32' && (of === 'all' || makes);
  units.forEach(({ cuts }, unit) => {
    for (const cut of cuts) {
      if (!counted(cut)) continue;
      const key = `${cut.axis} ${cut.constant.name}`;
      const line = made.get(key) ?? { constant: cut.constant, axis: cut.axis, cuts: [] };
      made.set(key, line);
      line.cuts.push({ unit, index: cut.index });
    }
  });
  return [...made.values()];
}

/** Samples one by one, where all inputs hold rows of samples and the model takes any number of them. */
async function* singles(context: ImportanceContext): AsyncGenerator<Seen> {
  const any = takesAnyBatch(context.model);
  for await (const { feed, rows, labels } of seenBy(context)) {
    const tensors = Object.values(feed);
    if (!any || !tensors.every((t) => t.dims[0] === rows.total && t.dtype !== 'string'))
      yield { feed, rows, ...(labels ? { labels } : {}) };
    else
      for (let row = 0; row < rows.real; row++)
        yield {
          feed: rowOf(feed, row),
          rows: { total: 1, real: 1 },
          ...(labels ? { labels: labels.slice(row, row + 1) } : {}),
        };
  }
}
function rowOf(feed: Feed, row: number): Feed {
  return Object.fromEntries(
    Object.entries(feed).map(([name, t]) => {
      const each = t.data.length / Math.max(1, item(t.dims, 0));
      return [name, { ...t, dims: t.dims.with(0, 1), data: t.data.slice(row * each, (row + 1) * each) }];
    }),
  );
}
