/** The section `train` of a recipe. */
import { z } from 'zod';
import { named } from '../base/named.js';
import { losses } from '../autodiff/losses/index.js';
import { optimisers } from '../autodiff/optimisers/index.js';
import { augmentations } from '../data/augment/index.js';
import { dataSpec } from '../data/spec.js';
import { LEARNED_SCALES } from '../scheme/types.js';
import { KEPT } from '../train/kept.js';
import { schedules } from '../train/schedules/index.js';

const count = z.number().int().positive();

const lossSpecs = losses.map((l) =>
  z.strictObject({
    loss: z.literal(l.name).describe(l.doc),
    of: z.string().min(1).describe('The value that it judges. Default: the only output of the model.').optional(),
    target: z
      .string()
      .min(1)
      .default('label')
      .describe(
        'What it is held against: label, what the data say of a sample; teacher, the value of the same name in the ' +
          'teacher of `distill`; another value of the model; or a tensor that the data give for each sample, by name.',
      ),
    weight: z.number().positive().default(1).describe('Factor of this term in the sum.'),
    options: l.options.prefault({}).describe('Options of the loss.'),
  }),
);
/** A name, or a term with all that can be said of it. */
export const lossTermSpec = z.union([
  z
    .enum(losses.map((l) => l.name) as [string, ...string[]]) // the list of losses is not empty
    .describe(losses.map((l) => `${l.name}: ${l.doc}`).join(' '))
    .transform((loss) => ({ loss }))
    .pipe(z.discriminatedUnion('loss', lossSpecs as [(typeof lossSpecs)[number], ...typeof lossSpecs])),
  z.discriminatedUnion('loss', lossSpecs as [(typeof lossSpecs)[number], ...typeof lossSpecs]), // nor is this one
]);

export const trainSpec = z
  .strictObject({
    data: dataSpec
      .describe('Samples to learn from, with labels where a loss needs them. Default: the calibration data.')
      .optional(),
    samples: count
      .describe('Most samples to learn from, those held back for validation included. Default: all.')
      .optional(),
    start: z
      .enum(['model', 'random'])
      .default('model')
      .describe('Weights at the start: those of the model, or drawn by the seed, as before any training.'),
    batch: count.default(128).describe('Samples in a batch; what is left of an epoch and fills none is left out.'),
    epochs: z.number().positive().describe('Passes over the samples; 0.5 is half a pass. Default: 10.').optional(),
    steps: count.describe('Steps of the optimiser, instead of epochs.').optional(),
    loss: z
      .union([lossTermSpec.transform((term) => [term]), z.array(lossTermSpec).min(1)])
      .prefault('cross-entropy')
      .describe('What is made small: one loss, or terms whose weighted sum it is.'),
    optimiser: named('An optimiser', optimisers).prefault('adamw').describe('How gradients change the weights.'),
    rate: z.number().positive().default(0.001).describe('The highest learning rate.'),
    schedule: named('A schedule', schedules)
      .prefault('cosine')
      .describe('How the learning rate goes from the first step to the last.'),
    warmUp: z
      .number()
      .min(0)
      .lt(1)
      .default(0)
      .describe('Share of the steps, before the schedule, in which the rate rises from 0 in a straight line.'),
    clipNorm: z
      .number()
      .positive()
      .describe('Gradients are scaled so that their norm over all weights is at most this. Default: they are not.')
      .optional(),
    accumulate: count
      .default(1)
      .describe(
        'Batches whose gradients are averaged for one step: a larger batch in the same memory, but for ' +
          'BatchNormalization, which sees one of them at a time.',
      ),
    ema: z
      .number()
      .gt(0)
      .lt(1)
      .describe('Share of running means of the weights that a step keeps, such as 0.999; the means are the result.')
      .optional(),
    validation: z
      .union([
        z.literal(false),
        z.strictObject({
          share: z.number().gt(0).lt(1).default(0.1).describe('Share of the samples that is held back.'),
          every: count.describe('Steps from one validation to the next. Default: an epoch.').optional(),
          patience: count
            .describe('Ends after so many validations without a better one. Default: never before the last step.')
            .optional(),
        }),
      ])
      .prefault({})
      .describe(
        'The weights that do best on samples held back from training are the result, never the evaluation data; ' +
          'false: those of the last step.',
      ),
    augment: z
      .array(named('An augmentation', augmentations))
      .default([])
      .describe('Random changes of the images of each epoch, in this order, as the model takes them.'),
    batchNorm: z
      .enum(['batch', 'frozen'])
      .default('batch')
      .describe(
        'BatchNormalization by statistics of the batch, which then follow, or by those of the model, which stay.',
      ),
    quantized: z
      .union([
        z.boolean(),
        z.strictObject({
          scales: z
            .enum(LEARNED_SCALES)
            .default('lsq')
            .describe(
              'What of the grids is learned. lsq: step sizes. lsq+: zero points of activations too. pact: step sizes ' +
                'of weights, and of activations the bounds, by the elements beyond them alone. fixed: nothing.',
            ),
          start: z
            .enum(['least-error', 'given'])
            .describe(
              'Where step sizes of weights start: where rounding errs least, squared, or as observer and method give ' +
                'them. Default: least-error with method: round, else given.',
            )
            .optional(),
        }),
      ])
      .default(false)
      .describe(
        'Quantization-aware: training starts from the quantized model, and every step computes with weights and ' +
          'activations rounded as `quantize` says. Without it, the float model is trained before it is quantized.',
      ),
    keep: z
      .array(z.enum(KEPT))
      .default([])
      .describe(
        'What of the form of weights stays. zeros: weights that are zero, as in a pruned model. codebooks: weights that ' +
          'share a value go on sharing one, which is learned, as in a clustered model (at most 256 values); with ' +
          '`quantized`, the coding k-means does so.',
      ),
    freeze: z
      .array(z.string().min(1))
      .default([])
      .describe('Weights that stay as they are: a name, a glob, or re: and a regular expression.'),
    seed: z.number().int().min(0).default(0).describe('Seed of the order of samples, and of augmentation.'),
    threads: count.default(2).describe('Threads of onnxruntime; with another number, last digits differ.'),
    workers: count
      .default(1)
      .describe(
        'Parts of each batch that are computed at once, in threads of their own which share `threads`: faster where ' +
          'operators are too small for several threads. BatchNormalization sees the parts, as it does with several ' +
          'devices; gradients are the mean of theirs.',
      ),
    checkpoint: z
      .union([z.boolean(), z.string().min(1)])
      .default(true)
      .describe(
        'Keeps what training is at, so that one that was stopped goes on, and one that ended is not done again: true ' +
          'for .cache/quantbench beside the recipe, a folder, or false.',
      ),
    control: z
      .boolean()
      .default(false)
      .describe(
        'Also trains what the result must be held against, the same way: with `distill`, the student without its ' +
          'teacher; with `quantized`, the float model, with the teacher if there is one.',
      ),
  })
  .refine(
    (t) => t.quantized === false || !t.keep.includes('codebooks'),
    'train.keep: codebooks is of float weights; with train.quantized, use quantize.format: coded and coding: k-means',
  )
  .refine((t) => t.epochs === undefined || t.steps === undefined, 'train has epochs and steps: keep one of them');

/** The section with its defaults. */
export type TrainSpec = z.output<typeof trainSpec>;
