/** Share of samples whose label is among the k highest scores of a row of class scores. */
import { z } from 'zod';
import { fail } from '../../base/errors.js';
import type { ValueInfo } from '../../ir/feed.js';
import type { Accumulator, Metric } from '../types.js';
import { outputName, outputOf } from '../tensors.js';

const output = z.string().min(1).describe('The output that holds class scores, [batch, classes]. Default: the first.').optional();

export const top1 = {
  name: 'top1',
  doc: 'Share of samples whose highest class score is that of the label.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: true,
  options: z.strictObject({ output }),
  start: (options, outputs) => topK('top1', 1, options.output, outputs),
} as const satisfies Metric<{ output?: string | undefined }>;

export const top5 = {
  name: 'top5',
  doc: 'Share of samples whose label is among the five highest class scores.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: true,
  options: z.strictObject({ output, k: z.number().int().positive().default(5).describe('How many of the highest scores count.') }),
  start: (options, outputs) => topK('top5', options.k, options.output, outputs),
} as const satisfies Metric<{ output?: string | undefined; k: number }>;

/** Of equal scores the lower class is the higher, as a stable sort gives; a row with NaN is wrong. */
function topK(metric: string, k: number, asked: string | undefined, outputs: readonly ValueInfo[]): Accumulator {
  const name = outputName(metric, asked, outputs);
  const correct: number[] = [];
  return {
    correct,
    add(sample, found) {
      const { label } = sample;
      if (label === undefined) return;
      const { values, dims } = outputOf(metric, found[0], name, sample.id);
      if (dims.filter((d) => d !== 1).length > 1 || values.length < 2) fail('DATA_SHAPE', `metric ${metric} needs one row of class scores per sample, but output '${name}' gives [${dims.join(',')}]`, { tensor: name, sample: sample.id }, 'name another output with the option output');
      if (!Number.isInteger(label) || label < 0 || label >= values.length) fail('DATA_LABEL', `label ${label} is no class of output '${name}', which has ${values.length}`, { tensor: name, sample: sample.id }, `labels are integers from 0 to ${values.length - 1}`);
      correct.push(rankOf(values, label) < k ? 1 : 0);
    },
    value: () => (correct.length ? (100 * correct.reduce((n, c) => n + c, 0)) / correct.length : undefined),
  };
}

/** How many classes are above the label's; Infinity where a score is NaN. */
function rankOf(values: ArrayLike<number>, label: number): number {
  const own = values[label]!;
  let above = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    if (Number.isNaN(v)) return Infinity;
    if (v > own || (v === own && i < label)) above++;
  }
  return above;
}
