import { z } from 'zod';
import { gptq } from '../codes/gptq.js';
import type { WeightMethod } from '../codes/types.js';
import { BLOCKS } from './blocks.js';
import { BlockLearner } from './run.js';

const options = z.strictObject({
  blocks: z
    .enum(BLOCKS)
    .default('block')
    .describe(
      'What is learned together: layer, each layer with what follows it up to the next; block, what lies between ' +
        'points that all has to pass, such as residual blocks, attention and feed-forward parts; model, all layers ' +
        'by the outputs of the model alone, which fits the samples more closely than what is new.',
    ),
  iterations: z.number().int().positive().default(200).describe('Steps for each block.'),
  batch: z
    .number()
    .int()
    .positive()
    .default(32)
    .describe('Samples of a step; fewer where a block would take too much memory.'),
  rate: z
    .number()
    .positive()
    .default(0.015)
    .describe('Learning rate at first, in steps of the codes; it falls to zero along a cosine.'),
  qdrop: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe(
      'Probability that an element of what a block is given is that of the float model in a step (QDrop): against ' +
        'fitting the errors that the samples have there.',
    ),
  views: z
    .number()
    .int()
    .positive()
    .default(1)
    .describe(
      'How often each image is learned from: as it is, then mirrored or not and moved a little, for data of which ' +
        'mirror images are as likely. Few samples are fitted less closely, at the cost of time in proportion.',
    ),
  codes: z.boolean().default(true).describe('Whether codes are learned, not only scales and biases.'),
  scales: z.boolean().default(true).describe('Whether scales of weights are learned.'),
  seed: z.number().int().min(0).default(0).describe('Seed of the order of samples and of what is dropped.'),
});

/**
 * Blocks are reconstructed one after the other: GPTQ chooses the codes of a block's layers, on what the blocks before
 * really give, and gradients then move codes, scales and, with `correct: [bias]`, biases until the outputs of the block
 * come near to those of the float model. Rounding counts as if it did nothing in gradients, and weights start in the
 * middle of their codes. In the first quarter of the steps codes stay. A block that is not better stays as it was.
 * source: Li et al. 2021, https://arxiv.org/abs/2102.05426 (BRECQ); Wei et al. 2022, https://arxiv.org/abs/2203.05740
 * (QDrop); instead of their rounding up or down, codes are free, as in https://arxiv.org/abs/1902.08153
 */
export const brecq = {
  name: 'brecq',
  doc:
    'Chooses codes as gptq does, then learns codes, scales and biases of a block of layers together, so that the ' +
    'block gives what that of the float model gives (block reconstruction, BRECQ with QDrop).',
  options,
  inputs: 'required',
  solve: (problem) => gptq.solve(problem, gptq.options.parse({})),
  refine: (all, layers, o) => new BlockLearner(all, layers, o),
} satisfies WeightMethod<z.output<typeof options>>;
