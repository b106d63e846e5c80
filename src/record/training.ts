/** What training did: of the float model, before anything was quantized, or of the quantized one. */
import { z } from 'zod';
import { scoredSpec } from './compression.js';
import { count, text, type Deep } from './parts.js';

export const fittedSpec = z.object({
  name: z
    .enum(['model', 'student', 'teacher', 'quantized', 'control'])
    .describe('quantized is the model of the recipe, trained as the integer model that it becomes.'),
  steps: count,
  epochs: count.describe('That were begun.'),
  ended: z.enum(['steps', 'patience']),
  learned: count.describe('Samples that were learned from.'),
  judged: count.describe('Samples held back, by which the best weights were chosen.'),
  parameters: count.describe('Elements of the weights that were learned.'),
  batch: count,
  seconds: z.number().describe('Wall time of all processes that took part.'),
  peakBytes: z.number().describe('Peak memory of the process until then.'),
  resumedAt: count.optional().describe('The step of the checkpoint that the last process went on from.'),
  curve: z.array(
    z.object({
      step: count,
      loss: z.number().describe('Mean of the steps since the point before.'),
      rate: z.number(),
      metric: z.number().optional().describe('On the samples held back.'),
    }),
  ),
  best: z.object({ step: count, metric: text, value: z.number() }).optional(),
});
export type FittedFacts = Deep<z.output<typeof fittedSpec>>;

export const trainingSpec = z
  .object({
    fitted: z.array(fittedSpec).describe('In the order in which they were trained.'),
    student: z
      .object({ made: z.array(text), parameters: z.object({ teacher: count, student: count }) })
      .optional()
      .describe('How the student came to be.'),
    scores: z
      .array(
        z.object({
          name: z.enum(['before', 'teacher', 'start', 'trained', 'control']),
          metrics: z.array(scoredSpec),
        }),
      )
      .describe('Of float models on the evaluation samples; before is the model of the recipe.'),
    data: z.unknown().describe('Where the samples came from.'),
    augment: z.array(text),
  })
  .describe('Training.');
export type TrainingFacts = Deep<z.output<typeof trainingSpec>>;
