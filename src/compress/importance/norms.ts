import { z } from 'zod';
import { lineOf, sumAlong } from '../../channels/families.js';
import type { ChannelUnit, Cut } from '../../channels/removal.js';
import type { Value } from '../../ir/graph.js';
import { dataOf } from '../../ir/known.js';
import type { Importance } from './types.js';

const options = z.strictObject({
  of: z
    .enum(['makers', 'all'])
    .default('makers')
    .describe('makers: weights that make the channel; all: those that read it, and biases, too.'),
});
type Options = z.output<typeof options>;

/**
 * Σ over the weights of a channel of f(w), each as a share of its whole tensor, so that layers of other sizes of
 * weights count alike. source: Li et al. 2016, https://arxiv.org/abs/1608.08710; over all tensors of a group: Fang et al. 2023,
 * https://arxiv.org/abs/2301.12900
 */
const norm = (name: string, doc: string, f: (x: number) => number): Importance<Options> => ({
  name,
  doc,
  options,
  needs: 'nothing',
  score: ({ units }, { of }) => {
    const totals = new Map<Value, { readonly data: Float64Array; readonly sum: number }>();
    const totalOf = (v: Value): { readonly data: Float64Array; readonly sum: number } => {
      const known = totals.get(v);
      if (known) return known;
      const data = dataOf(v).f64();
      const made = { data, sum: data.reduce((n, x) => n + f(x), 0) };
      totals.set(v, made);
      return made;
    };
    const share = ({ constant, axis, index }: Cut): number => {
      const { data, sum } = totalOf(constant);
      return sum > 0 ? sumAlong(lineOf(constant, axis, index), data, f) / sum : 0;
    };
    const counted = ({ cuts }: ChannelUnit): readonly Cut[] => (of === 'all' ? cuts : cuts.filter((c) => c.makes));
    return Float64Array.from(units, (u) => counted(u).reduce((n, c) => n + share(c), 0));
  },
});

export const l1 = norm('l1', 'The sum of the magnitudes of its weights.', Math.abs);
export const l2 = norm('l2', 'The sum of the squares of its weights.', (x) => x * x);
