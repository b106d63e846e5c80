/** What made the float model smaller before it was quantized, step by step. */
import { z } from 'zod';
import { count, text, type Deep } from './parts.js';
import { sparsitySpec } from './sparsity.js';

/** The value of a metric, for a model alone. */
export const scoredSpec = z.object({ name: text, unit: text, value: z.number(), higherIsBetter: z.boolean() });

export const scanSpec = z
  .object({
    samples: count.describe('Of calibration, at most.'),
    metric: z
      .object({
        name: text,
        unit: text,
        higherIsBetter: z.boolean(),
        whole: z.number().describe('Of the model before the step.'),
      })
      .optional()
      .describe('Absent where the samples have no labels.'),
    families: z.array(
      z.object({
        makers: z.array(text).describe('Weights that make the channels.'),
        units: count.describe('Channels, heads or neurons that can go one by one.'),
        points: z.array(
          z.object({
            share: z.number().describe('Of the family: its least important channels are gone, all else stays.'),
            change: z.number().describe('Of the outputs: squared distance, as a share of their energy.'),
            value: z.number().optional().describe('Of the metric.'),
          }),
        ),
      }),
    ),
  })
  .describe('What the model loses without shares of single families of channels, nothing fitted.');

export const compressionSpec = z
  .object({
    states: z
      .array(
        z.object({
          name: text.describe('The step after which the model is so; the first is the model of the recipe.'),
          line: text.optional().describe('What the step did.'),
          seconds: z.number().optional().describe('That the step took.'),
          scan: scanSpec.optional(),
          parameters: count.describe('Elements of all constants.'),
          macs: count.describe('Of one sample.'),
          bytes: count.describe('Of the file.'),
          metrics: z.array(scoredSpec).describe('On the evaluation samples.'),
          latency: z
            .object({
              p50: z.number().describe('ms.'),
              ratio: z.number().describe('Of the time of the first, in turn with it; below 1 is faster.'),
              interval: z.tuple([z.number(), z.number()]).optional().describe('95 %.'),
            })
            .optional(),
          sparsity: sparsitySpec.omit({ storage: true }).optional(),
          peakBytes: z.number().optional().describe('By how much loading and running raised the peak of memory.'),
        }),
      )
      .describe('Float models, in the order in which they came to be; what training does to the last is told there.'),
  })
  .describe('Compression.');
export type CompressionFacts = Deep<z.output<typeof compressionSpec>>;
