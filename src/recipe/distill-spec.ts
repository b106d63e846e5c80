/** The section `distill` of a recipe. */
import { z } from 'zod';
import { named } from '../base/named.js';
import { maskOption } from '../autodiff/losses/build.js';
import { optimisers } from '../autodiff/optimisers/index.js';
import { schedules } from '../train/schedules/index.js';
import { REPLACEMENTS } from '../train/students/cheaper.js';

const count = z.number().int().positive();
const share = z.number().gt(0).lte(1);
const pairs = z
  .union([
    z.literal('auto'),
    z
      .array(
        z.strictObject({
          student: z.string().min(1).describe('A tensor of the student.'),
          teacher: z.string().min(1).describe('A tensor of the teacher.'),
        }),
      )
      .min(1),
  ])
  .default('auto')
  .describe('Which tensors; auto: of each size of feature maps that both have, the last.');

const studentSpec = z
  .strictObject({
    model: z.string().min(1).describe('A student of your own: an ONNX file with the inputs of the teacher.').optional(),
    width: share.describe('Made of the teacher: with this share of the channels of each layer.').optional(),
    depth: z
      .number()
      .min(0)
      .lt(1)
      .describe('Made of the teacher: with this share of the residual blocks that keep their shape.')
      .optional(),
    replace: z
      .enum(REPLACEMENTS)
      .describe('Made of the teacher: convolutions over windows are replaced by cheaper ones.')
      .optional(),
    start: z
      .enum(['teacher', 'random'])
      .describe(
        "Weights at the start: the teacher's, as far as the form allows, or drawn by train.seed. Default: teacher; a " +
          'model of your own starts with its weights, or drawn ones.',
      )
      .optional(),
  })
  .refine(
    (s) => s.model === undefined || (s.width ?? s.depth ?? s.replace) === undefined,
    'a student is a model of its own, or made of the teacher by width, depth and replace',
  )
  .refine(
    (s) => !(s.model !== undefined && s.start === 'teacher'),
    'start: teacher is for a student made of the teacher',
  )
  .refine(
    (s) => s.model !== undefined || (s.width ?? s.depth ?? s.replace) !== undefined || s.start === 'random',
    'say what the student is: model, width, depth, replace, or start: random',
  );

const teacherSpec = z.strictObject({
  model: z.string().min(1).describe('Another ONNX file than the model of the recipe.').optional(),
  finetune: z
    .union([
      z.literal(false),
      z
        .strictObject({
          epochs: z.number().positive().describe('Passes over the samples. Default: those of train.').optional(),
          steps: count.describe('Steps, instead of epochs.').optional(),
          rate: z.number().positive().describe('The highest learning rate. Default: that of train.').optional(),
          optimiser: named('An optimiser', optimisers)
            .describe('How gradients change its weights. Default: that of train.')
            .optional(),
          schedule: named('A schedule', schedules)
            .describe('How its learning rate goes from the first step to the last. Default: that of train.')
            .optional(),
          warmUp: z
            .number()
            .min(0)
            .lt(1)
            .describe(
              'Share of its steps, before the schedule, in which the rate rises from 0. Default: that of train.',
            )
            .optional(),
        })
        .refine((t) => t.epochs === undefined || t.steps === undefined, 'finetune has epochs and steps: keep one'),
    ])
    .default(false)
    .describe(
      'Trains the teacher first, as `train` says and by its loss: where the data are not those it learned from.',
    ),
});

export const distillSpec = z
  .strictObject({
    teacher: teacherSpec.prefault({}).describe('Who is learned from. Default: the model of the recipe, as it is.'),
    student: studentSpec
      .describe(
        'Who learns, and takes the place of the model. Default: what `compress` left of the model; without that, and ' +
          'with `train.quantized`, the quantized model itself.',
      )
      .optional(),
    soft: z
      .union([
        z.literal(false),
        z.strictObject({
          temperature: z.number().positive().default(4).describe('Scores of both are divided by it.'),
          weight: z.number().positive().default(0.7).describe('Factor of this term in the sum.'),
        }),
      ])
      .prefault({})
      .describe("Learns the teacher's scores of all classes, softened; the factor T² is part of the loss."),
    outputs: z
      .union([
        z.literal(false),
        z.strictObject({
          loss: z.enum(['mse', 'cosine']).default('mse').describe('How the outputs are compared.'),
          weight: z.number().positive().default(1).describe('Factor of this term in the sum.'),
          mask: maskOption,
        }),
      ])
      .default(false)
      .describe("Learns the teacher's outputs as numbers, such as embeddings; then set soft: false."),
    hard: z
      .number()
      .min(0)
      .default(0.3)
      .describe('Factor of train.loss, which needs labels, in the sum; 0: learns from the teacher alone.'),
    features: z
      .strictObject({
        pairs,
        loss: z.enum(['mse', 'cosine']).default('mse').describe('How the tensors are compared.'),
        weight: z.number().positive().default(1).describe('Factor of this term, the mean over the pairs.'),
      })
      .describe(
        'Learns tensors in between; where channels differ, a 1 × 1 convolution that is left away afterwards makes ' +
          'them equal.',
      )
      .optional(),
    attention: z
      .strictObject({
        pairs,
        weight: z.number().positive().default(1000).describe('Factor of this term, the mean over the pairs.'),
      })
      .describe('Learns where feature maps are large.')
      .optional(),
  })
  .refine(
    (d) => d.soft !== false || d.outputs !== false || d.features !== undefined || d.attention !== undefined,
    'nothing would be learned from the teacher: keep soft, outputs, features or attention',
  );

/** The section with its defaults. */
export type DistillSpec = z.output<typeof distillSpec>;
