import { z } from 'zod';
import { valueOf, valueSpec } from '../limits.js';
import { overlapNotes, pairedMetric, shownBy } from '../paired.js';
import { notMeasured, ruleOf } from '../rule.js';
import type { Gate } from '../types.js';

export const minAccuracy = {
  name: 'minAccuracy',
  doc:
    'What a metric of the quantized model must reach, whatever the float model does. Passes where the whole ' +
    'interval of the value is above.',
  options: z.strictObject({
    min: valueSpec.describe('The least value: `97%` for metrics in %, a number for others.'),
    metric: z.string().min(1).describe('Which metric. Default: the first of the run.').optional(),
  }),
  judge(run, _baseline, { min, metric }, confidence) {
    const paired = pairedMetric(run, undefined, metric);
    if (typeof paired === 'string') return notMeasured(this.name, paired);
    if (!paired.higherIsBetter)
      return notMeasured(this.name, `of ${paired.name}, lower is better; limit it with accuracyDrop`);
    const limit = valueOf(min, paired);
    if (typeof limit === 'string') return notMeasured(this.name, limit);
    const show = shownBy(paired);
    return ruleOf({
      rule: this.name,
      bound: 'min',
      limit,
      observed: paired.after,
      confidence,
      samples: paired.samples,
      unit: paired.unit,
      show: show.value,
      fact: `${paired.name} is ${show.value(paired.after)}`,
      interval: paired.valueInterval(confidence) ?? {
        unknown:
          `the record gives no interval of a single ${paired.name} on ${paired.samples} samples; limit its ` +
          'change with accuracyDrop',
      },
      withSamples: (n) => paired.valueInterval(confidence, n),
      notes: overlapNotes(run),
    });
  },
} as const satisfies Gate<{ min: number | string; metric?: string | undefined }>;
