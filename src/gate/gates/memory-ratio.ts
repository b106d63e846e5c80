import { z } from 'zod';
import { bytesText } from '../../base/text.js';
import { ratioOf, ratioSpec } from '../limits.js';
import { fixed, notMeasured, ratioRule } from '../rule.js';
import type { Gate } from '../types.js';

export const memoryRatio = {
  name: 'memoryRatio',
  doc:
    'Peak resident memory that loading and running adds to a process of its own, quantized ÷ float, or ÷ the ' +
    'quantized model of a baseline.',
  options: z.strictObject({ max: ratioSpec.describe('The largest ratio, such as `0.5`.') }),
  judge(run, baseline, { max }, confidence) {
    const [mine, other] = [
      run.latency?.process?.quantized.peakBytes,
      baseline ? baseline.latency?.process?.quantized.peakBytes : run.latency?.process?.float.peakBytes,
    ];
    if (!mine || !other) return notMeasured(this.name, `the ${mine ? 'baseline' : 'run'} measured no peak memory`);
    return ratioRule(
      {
        rule: this.name,
        observed: mine / other,
        confidence,
        fact:
          `peak memory is ${fixed(mine / other, 3)} × that of the ${baseline ? 'baseline' : 'float model'}, ` +
          `${bytesText(mine)} against ${bytesText(other)}`,
        notes: ['each was measured once'],
      },
      ratioOf(max),
    );
  },
} as const satisfies Gate<{ max: number | string }>;
