/** What calibration data say about themselves: ranges of data that never vary, or of one sample, are worth little. */
import { item } from '../base/lists.js';
import type { Diagnostic } from '../base/errors.js';
import type { TensorStats } from '../calibrate/types.js';
import type { Value } from '../ir/graph.js';

const SHOWN = 5;

/** Warnings about statistics over `samples` samples, by tensor. A tensor that was never computed is another matter. */
export function calibrationFindings(stats: ReadonlyMap<Value, TensorStats>, samples: number): Diagnostic[] {
  const found: Diagnostic[] = [];
  const constant = [...stats].filter(([, s]) => s.count > 1 && neverVaried(s)).map(([v]) => v);
  if (constant.length) {
    const names = constant
      .slice(0, SHOWN)
      .map((v) => `'${v.name}'`)
      .join(', ');
    const input = constant.find((v) => v.producer === undefined);
    found.push({
      severity: 'warning',
      code: 'CALIBRATION_CONSTANT',
      where: { tensor: (input ?? item(constant, 0)).name }, // not empty
      message:
        `${constant.length} of ${stats.size} tensors never varied in calibration: ` +
        `${names}${constant.length > SHOWN ? ' …' : ''}`,
      hint: input
        ? 'look at the calibration data: wrong preprocessing, a wrong key or an empty file give constant inputs, ' +
          'and no range can be told from them'
        : 'look whether the calibration data reach this part of the model',
    });
  }
  if (samples === 1) {
    found.push({
      severity: 'warning',
      code: 'CALIBRATION_ONE_SAMPLE',
      message: 'calibration saw a single sample: ranges of others may be far from its',
      hint: 'give more samples; a hundred are usually enough, and calibration.samples limits them',
    });
  }
  return found;
}

/** Each channel held one value only. */
function neverVaried({ min, max }: TensorStats): boolean {
  for (let c = 0; c < min.length; c++) if (!(min[c] === max[c])) return false;
  return min.length > 0;
}
