/** What evaluation measured: both models on the same samples. */
import { z } from 'zod';
import { count, interval, text, type Deep } from './parts.js';

/** What paired statistics need of each scored sample, in the order of the data. */
export const pairedSpec = z.discriminatedUnion('kind', [
  z
    .object({ kind: z.literal('share'), float: z.string().regex(/^[01]*$/), quantized: z.string().regex(/^[01]*$/) })
    .describe('1 where a sample is right, 0 where it is wrong.'),
  z
    .object({ kind: z.literal('mean'), float: z.array(z.number()), quantized: z.array(z.number()) })
    .describe('A score per sample; the metric is their mean.'),
  z
    .object({ kind: z.literal('bootstrap'), samples: count, changes: z.array(z.number()) })
    .describe('Metrics that are no mean: quantized − float of each paired resample, ascending.'),
]);
export type PairedScores = Deep<z.output<typeof pairedSpec>>;

export const classSpec = z.object({
  class: count,
  name: text.optional(),
  samples: count,
  float: z.number().describe('Share of its samples that are right, 0…1.'),
  quantized: z.number(),
  rightToWrong: count,
  wrongToRight: count,
});
export type ClassFacts = Deep<z.output<typeof classSpec>>;

export const metricSpec = z.object({
  name: text,
  unit: text.describe('% for shares of 100 (changes are then in points), else a word for the scale.'),
  higherIsBetter: z.boolean(),
  float: z.number().optional(),
  quantized: z.number(),
  change: z.number().optional().describe('quantized − float, in the unit of the metric.'),
  interval: interval.optional().describe('95 % interval of the change.'),
  samples: count.optional().describe('Scored samples.'),
  paired: pairedSpec.optional(),
  classes: z.array(classSpec).optional().describe('Per class, where samples are right or wrong.'),
});
export type MetricFacts = Deep<z.output<typeof metricSpec>>;

export const flipSpec = z.object({
  sample: text,
  label: count,
  float: z.number(),
  quantized: z.number(),
  thumbnail: z
    .string()
    .regex(/^data:image\/png;base64,[A-Za-z0-9+/=]*$/)
    .optional(),
});
export type Flip = Deep<z.output<typeof flipSpec>>;

export const agreementSpec = z.object({
  same: z.number().describe('Share of samples on which both models put the same class on top, 0…1.'),
  rightToWrong: count.optional(),
  wrongToRight: count.optional(),
  mcnemarP: z.number().optional().describe('Two-sided exact p of McNemar.'),
  kl: z
    .number()
    .optional()
    .describe('Mean Kullback–Leibler divergence of the softmaxed outputs, float ‖ quantized, in nats.'),
  flips: z.array(flipSpec).optional().describe('The first samples whose answer turned right or wrong.'),
});
export type Agreement = Deep<z.output<typeof agreementSpec>>;

const partSpec = z
  .object({
    axis: count,
    from: count,
    to: count.describe('Last channel.'),
    cosine: z.number(),
    sqnrDb: z.number().optional(),
  })
  .describe('Neighbouring channels of like size.');

export const outputSpec = z
  .object({
    name: text,
    cosine: z.number().describe('1 where both are all zero, 0 where one is.'),
    sqnrDb: z
      .number()
      .optional()
      .describe('10 log10(Σ float² ÷ Σ error²); absent where there is no error, or no signal.'),
    mse: z.number(),
    maxAbsError: z.number(),
    nonFinite: z
      .object({ float: count, quantized: count, lost: count.optional().describe('Where the float model is finite.') })
      .optional()
      .describe('NaN or infinite elements; they are left out of the rest.'),
    parts: z
      .array(partSpec)
      .optional()
      .describe('Of an output that mixes scales, such as boxes beside scores: its parts, the noisiest first.'),
    otherShape: count
      .optional()
      .describe("Batches whose output had another shape than the float model's (detections, say), left out."),
  })
  .describe("How far one output of the quantized model is from the float model's, over all samples.");
export type OutputFacts = Deep<z.output<typeof outputSpec>>;

export const evaluationSpec = z.object({
  samples: count,
  sampleSet: text
    .optional()
    .describe('SHA-256 over ids and contents of the samples in order: equal in runs that can be paired.'),
  metrics: z.array(metricSpec),
  agreement: agreementSpec.optional(),
  outputs: z.array(outputSpec),
  data: z.unknown(),
  search: z
    .object({ samples: count, metrics: z.array(metricSpec) })
    .optional()
    .describe('The part of the samples that may choose between recipes; the figures above leave it out.'),
});
export type EvaluationFacts = Deep<z.output<typeof evaluationSpec>>;
