/**
 * Non-inferiority of the quantized model, paired sample by sample: it passes only where the whole interval of the drop
 * lies within the margin, so that few samples cannot pass by luck. A relative margin is a part of the value that was
 * measured before. Source: Wellek 2010, Testing Statistical Hypotheses of Equivalence and Noninferiority, 2nd ed.,
 * chapter 2.
 */
import { z } from 'zod';
import { marginOf, marginSpec, type Margin } from '../limits.js';
import { overlapNotes, pairedMetric, shownBy } from '../paired.js';
import { notMeasured, ruleOf } from '../rule.js';
import type { Gate } from '../types.js';

export const accuracyDrop = {
  name: 'accuracyDrop',
  doc:
    'By how much a metric may get worse. Passes where the interval of the drop is within the limit, fails where ' +
    'it is beyond, else is undecided.',
  options: z.strictObject({
    max: marginSpec.describe(
      'The drop that is allowed: `0.5 points` or `0.5%` for metrics in %, a number for others, or `1% ' +
        'relative` to the value before.',
    ),
    metric: z.string().min(1).describe('Which metric. Default: the first of the run.').optional(),
  }),
  judge(run, baseline, { max, metric }, confidence) {
    const paired = pairedMetric(run, baseline, metric);
    if (typeof paired === 'string') return notMeasured(this.name, paired);
    const limit = marginOf(max, paired, paired.before);
    if (typeof limit === 'string') return notMeasured(this.name, limit);
    const { name, before, after, drop, samples } = paired;
    const show = shownBy(paired);
    return ruleOf({
      rule: this.name,
      bound: 'max',
      limit,
      observed: drop,
      confidence,
      samples,
      unit: show.dropUnit,
      sign: paired.higherIsBetter ? -1 : 1,
      show: show.drop,
      fact:
        `${name} ` +
        `${
          drop > 0
            ? `${paired.higherIsBetter ? 'dropped' : 'rose'} by ${show.drop(drop)}`
            : drop < 0
              ? `got better by ${show.drop(-drop)}`
              : 'did not change'
        }, ` +
        `${show.value(before)} → ${show.value(after)}`,
      interval: paired.interval(confidence) ?? {
        unknown: `${samples} samples with such scores give no interval: they are too few, or all zero`,
      },
      withSamples: (n) => paired.interval(confidence, n),
      notes: overlapNotes(run),
    });
  },
} as const satisfies Gate<{ max: Margin; metric?: string | undefined }>;
