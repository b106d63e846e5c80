import { z } from 'zod';
import { bytesText } from '../../base/text.js';
import { sentBytes } from '../../record/sent-bytes.js';
import { ratioOf, ratioSpec } from '../limits.js';
import { fixed, notMeasured, ratioRule } from '../rule.js';
import type { Gate } from '../types.js';

export const transportRatio = {
  name: 'transportRatio',
  doc:
    'Bytes of the quantized model as it is sent, compressed with the codec of the section `transport`, ÷ those of the ' +
    'float model compressed so, or of the quantized model of a baseline.',
  options: z.strictObject({ max: ratioSpec.describe('The largest ratio, such as `0.2`.') }),
  judge(run, baseline, { max }, confidence) {
    const codec = run.transport?.codec ?? '';
    const [mine, other] = [
      sentBytes(run.transport?.quantized, codec),
      baseline ? sentBytes(baseline.transport?.quantized, codec) : sentBytes(run.transport?.float, codec),
    ];
    if (!mine || !other)
      return notMeasured(
        this.name,
        `the ${mine ? 'baseline' : 'run'} measured no transport size: its recipe has no section transport`,
      );
    return ratioRule(
      {
        rule: this.name,
        observed: mine / other,
        confidence,
        fact:
          `compressed with ${codec}, the file has ${fixed(mine / other, 3)} × the size of the ` +
          `${baseline ? 'baseline' : 'float model'}, ${bytesText(mine)} against ${bytesText(other)}`,
      },
      ratioOf(max),
    );
  },
} as const satisfies Gate<{ max: number | string }>;
