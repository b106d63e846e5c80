/** Rows of class scores, as classifiers give them, against class labels. */
import { z } from 'zod';
import { fail } from '../base/errors.js';
import type { Sample } from '../ir/feed.js';
import { argmax, outputOf } from './tensors.js';
import type { SampleOutputs } from './types.js';

/** Option of every metric that reads class scores. */
export const scoresOutput = z
  .string()
  .min(1)
  .describe('The output that holds class scores, [batch, classes]. Default: the first.')
  .optional();
/** Option of metrics that also take one score per sample. */
export const scoreThreshold = z
  .number()
  .default(0.5)
  .describe('For an output of one score per sample, [batch, 1]: class 1 from this score on. 0 for logits.');

/**
 * A sample's row of scores and its label; undefined without a label. Throws DATA_SHAPE for another shape, DATA_LABEL
 * for a label that is no class.
 */
export function classScores(
  metric: string,
  output: string,
  sample: Sample,
  outputs: SampleOutputs,
  fewest: 1 | 2,
): { readonly label: number; readonly scores: ArrayLike<number> } | undefined {
  const { label } = sample;
  if (label === undefined) return undefined;
  const { values, dims } = outputOf(metric, outputs[0], output, sample.id);
  if (dims.filter((d) => d !== 1).length > 1 || values.length < fewest)
    fail(
      'DATA_SHAPE',
      `metric ${metric} needs one row of class scores per sample, but output '${output}' gives [${dims.join(',')}]`,
      { tensor: output, sample: sample.id },
      'name another output with the option output',
    );
  const classes = Math.max(2, values.length); // one score tells two classes apart
  if (!Number.isInteger(label) || label < 0 || label >= classes)
    fail(
      'DATA_LABEL',
      `label ${label} is no class of output '${output}', which has ${classes}`,
      { tensor: output, sample: sample.id },
      `labels are integers from 0 to ${classes - 1}`,
    );
  return { label, scores: values };
}

/** The class that a row of scores stands for; -1, which is no class, where a score is NaN. */
export function predictedClass(scores: ArrayLike<number>, threshold: number): number {
  const only = scores[0]!; // rows have a score at least
  if (scores.length > 1) return argmax(scores);
  return Number.isNaN(only) ? -1 : Number(only >= threshold);
}
