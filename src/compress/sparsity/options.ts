/** What recipes say of sparse weights: how many go, in which pattern, and in how many steps. */
import { z } from 'zod';
import { named as oneOf } from '../../base/named.js';
import { sparsityMethods } from './index.js';
import type { Pattern } from './pattern.js';

const size = z.number().int().positive();
const ratio = z
  .string()
  .regex(/^\d+:\d+$/, 'expected n:m such as 2:4')
  .refine((s) => {
    const [zeros = 0, of = 0] = s.split(':').map(Number);
    return zeros > 0 && zeros < of;
  }, 'n:m makes n of each m weights zero, so that n is from 1 to m − 1')
  .describe('n of each m neighbours along the inputs of an output become zero, such as 2:4 or 4:8.');
const share = z
  .strictObject({
    share: z.number().gt(0).lt(1).describe('Of the weights that become zero.'),
    scope: z
      .enum(['row', 'layer', 'global'])
      .describe(
        'Of what it is a share. row: of each output; layer: of each layer; global: of all layers together, of which ' +
          'each gives what its smallest weights are among those of all. Default: layer; row with method: wanda.',
      )
      .optional(),
    block: z
      .tuple([size, size])
      .describe('Whole blocks of so many outputs and inputs, [4, 1]. Default: single weights.')
      .optional(),
  })
  .refine((p) => !(p.block && p.scope === 'row'), 'blocks go through several outputs: scope is layer or global');

export const options = z.strictObject({
  method: oneOf('A method', sparsityMethods).prefault('magnitude').describe('How it is decided which weights go.'),
  pattern: z.union([ratio, share]).prefault({ share: 0.5 }).describe('How many weights become zero, and where.'),
  include: z
    .array(z.string().min(1))
    .min(1)
    .describe(
      'Layers or weights by name, glob or re: and a regular expression. Default: all convolutions and products with ' +
        'constant weights; embedding tables only where they are named.',
    )
    .optional(),
  exclude: z.array(z.string().min(1)).default([]).describe('Layers or weights that stay as they are, as in include.'),
  steps: size
    .default(1)
    .describe(
      'In how many steps: the share rises along a cubic, quickly at first, and each step chooses anew. 1 is one-shot.',
    ),
  finetune: z
    .union([
      z.literal(false),
      z
        .strictObject({
          epochs: z.number().positive().describe('Passes over the samples of `train`.').optional(),
          steps: size.describe('Steps of the optimiser, instead of epochs.').optional(),
          rate: z.number().positive().describe('Highest learning rate. Default: that of `train`.').optional(),
        })
        .refine(
          (t) => (t.epochs === undefined) !== (t.steps === undefined),
          'finetune has epochs or steps: one of them',
        ),
    ])
    .default(false)
    .describe('Training between the steps, as the section `train` says, with zeros kept; the last is trained by it.'),
});
export type Options = z.output<typeof options>;

/** The pattern after a share `done` of the way; undefined for where nothing would go. */
export function patternAt(pattern: Options['pattern'], done: number, scope: 'row' | 'layer'): Pattern | undefined {
  const risen = 1 - (1 - done) ** 3;
  if (typeof pattern === 'string') {
    const [zeros = 0, of = 1] = pattern.split(':').map(Number);
    const now = Math.round(zeros * risen);
    return now ? { kind: 'ratio', zeros: now, of } : undefined;
  }
  const own = pattern.share * risen;
  if (!pattern.block) {
    const by = pattern.scope === 'global' ? 'layer' : (pattern.scope ?? scope);
    return { kind: 'share', share: own, by };
  }
  const [rows, columns] = pattern.block;
  return { kind: 'blocks', share: own, rows, columns };
}
