import { z } from 'zod';
import { ratioOf, shareSpec } from '../limits.js';
import { notMeasured, percent, ruleOf } from '../rule.js';
import type { Gate } from '../types.js';

export const integerMacs = {
  name: 'integerMacs',
  doc: "Which share of the multiply-accumulates must run in integer kernels, as onnxruntime's optimized graph shows.",
  options: z.strictObject({ min: shareSpec.describe('The least share, such as `95%`.') }),
  judge(run, _baseline, { min }, confidence) {
    const share = run.runtime?.integerMacsShare;
    if (share === undefined) return notMeasured(this.name, "the run did not look at onnxruntime's optimized graph");
    return ruleOf({
      rule: this.name,
      bound: 'min',
      limit: ratioOf(min),
      observed: share,
      interval: 'exact',
      confidence,
      show: percent,
      fact: `${percent(share)} of the multiply-accumulates run in integer kernels`,
    });
  },
} as const satisfies Gate<{ min: number | string }>;
