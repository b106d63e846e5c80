import { z } from 'zod';
import { shareInterval } from '../../evaluate/distributions.js';
import { ratioOf, shareSpec } from '../limits.js';
import { notMeasured, percent, ruleOf } from '../rule.js';
import type { Gate } from '../types.js';

export const agreement = {
  name: 'agreement',
  doc:
    'On which share of the samples the quantized and the float model must put the same class on top. Needs no ' +
    'labels.',
  options: z.strictObject({ min: shareSpec.describe('The least share, such as `99%`.') }),
  judge(run, _baseline, { min }, confidence) {
    const samples = run.evaluation?.samples ?? 0;
    const same = run.evaluation?.agreement?.same;
    if (same === undefined)
      return notMeasured(
        this.name,
        run.evaluation
          ? 'the model gives no class scores to agree on'
          : 'the run was not evaluated: it has no evaluation data',
      );
    if (!samples || !(same >= 0 && same <= 1))
      return notMeasured(this.name, `the record says that ${same} of ${samples} samples agree`);
    const hits = Math.round(same * samples);
    const interval = (n: number): readonly [number, number] => shareInterval((hits * n) / samples, n, confidence);
    return ruleOf({
      rule: this.name,
      bound: 'min',
      limit: ratioOf(min),
      observed: hits / samples,
      confidence,
      samples,
      show: percent,
      interval: interval(samples),
      withSamples: interval,
      fact: `both models give the same class on ${percent(hits / samples)}`,
    });
  },
} as const satisfies Gate<{ min: number | string }>;
