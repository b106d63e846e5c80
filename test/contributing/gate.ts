import { z } from 'zod';
import { bytesText } from '../../src/base/text.js';
import { notMeasured, ruleOf } from '../../src/gate/rule.js';
import type { Gate } from '../../src/gate/types.js';

/** A size does not vary, so that its interval is exact; of others, the interval decides and not the value. */
export const fileBytes = {
  name: 'fileBytes',
  doc: 'Bytes of the quantized model, external data included.',
  options: z.strictObject({ max: z.number().positive().describe('The most bytes that are allowed.') }),
  judge(run, _baseline, { max }, confidence) {
    const observed = run.model.quantized?.bytes;
    if (observed === undefined) return notMeasured(this.name, 'the record of the run gives no size of a model');
    const fact = `the file has ${bytesText(observed)}`;
    const show = bytesText;
    return ruleOf({ rule: this.name, bound: 'max', limit: max, observed, interval: 'exact', confidence, show, fact });
  },
} as const satisfies Gate<{ max: number }>;
