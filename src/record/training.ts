/** How a model was trained, and what it is held against. */
import { z } from 'zod';
import { metricSpec } from './evaluation.js';
import { count, text, type Deep } from './parts.js';

const scoreSpec = z.object({ name: text, value: z.number(), higherIsBetter: z.boolean() });

const courseSpec = z.object({
  steps: count.describe('Steps of the optimiser that were taken.'),
  epochs: count.describe('Epochs that were begun.'),
  ended: z.enum(['steps', 'patience']),
  curve: z.array(
    z.object({
      step: count,
      loss: z.number().describe('Mean of the steps since the point before.'),
      rate: z.number(),
      metric: z.number().optional().describe('Score on the samples that were held back.'),
    }),
  ),
  best: z
    .object({ step: count, score: scoreSpec })
    .optional()
    .describe('The validation whose weights are the result; without one, those of the last step are.'),
  seconds: z.number(),
  peakBytes: z.number().describe('Peak memory of the process so far.'),
});

export const trainingSpec = courseSpec
  .extend({
    samples: z.object({ learned: count, judged: count.describe('Held back from training, to choose by.') }),
    parameters: count.describe('Elements of the weights that were learned.'),
    data: z.unknown(),
    control: courseSpec
      .extend({ metrics: z.array(metricSpec).describe('Change is control − float.') })
      .optional()
      .describe('The float model, trained the same way.'),
  })
  .describe('Training.');
export type TrainingFacts = Deep<z.output<typeof trainingSpec>>;
