/** The section `transport` of a recipe. */
import { z } from 'zod';
import { CODECS } from '../record/sent-bytes.js';

export const transportSpec = z
  .strictObject({
    codec: z
      .enum(CODECS)
      .default('brotli')
      .describe('What the file is sent with: its size is the one that counts. zstd needs Node 22.15.'),
    error: z
      .number()
      .min(0)
      .lt(1)
      .describe(
        'Most that other values of the weights may cost: the energy of the change of outputs ÷ that of the outputs of ' +
          'a layer, in the mean over layers. Smaller is safer and larger saves more; 0 only measures sizes. Default: ' +
          '0.001, 30 dB.',
      )
      .optional(),
    left: z
      .number()
      .gt(0)
      .lt(1)
      .describe('Share of the compressed size to be left, at the least error, instead of `error`.')
      .optional(),
  })
  .refine((t) => t.error === undefined || t.left === undefined, 'transport has error and left: keep one');
export type TransportSettings = z.output<typeof transportSpec>;
