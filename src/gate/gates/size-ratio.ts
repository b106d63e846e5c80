import { z } from 'zod';
import { bytesText } from '../../base/text.js';
import { ratioOf, ratioSpec } from '../limits.js';
import { fixed, notMeasured, ratioRule } from '../rule.js';
import type { Gate } from '../types.js';

export const sizeRatio = {
  name: 'sizeRatio',
  doc:
    'Bytes of the quantized model, external data included, ÷ those of the float model, or of the quantized model ' +
    'of a baseline.',
  options: z.strictObject({
    max: ratioSpec.describe('The largest ratio: `0.3` asks for less than a third of the size.'),
  }),
  judge(run, baseline, { max }, confidence) {
    const [mine, other] = [
      run.model.quantized?.bytes,
      baseline ? baseline.model.quantized?.bytes : run.model.float.bytes,
    ];
    if (!mine || !other)
      return notMeasured(
        this.name,
        `the record of the ${mine ? 'baseline' : 'run'} gives no size of a quantized model`,
      );
    return ratioRule(
      {
        rule: this.name,
        observed: mine / other,
        confidence,
        fact:
          `the file has ${fixed(mine / other, 3)} × the size of the ${baseline ? 'baseline' : 'float model'}, ` +
          `${bytesText(mine)} against ${bytesText(other)}`,
      },
      ratioOf(max),
    );
  },
} as const satisfies Gate<{ max: number | string }>;
