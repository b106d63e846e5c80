/** What files weigh on their way to whoever loads them, and what was done about it. */
import { z } from 'zod';
import { count, text, type Deep } from './parts.js';

const sizes = z.object({
  raw: z.number().describe('Bytes of the file.'),
  brotli: z.number().describe('Bytes that brotli makes of it.'),
  gzip: z.number(),
  zstd: z.number().optional().describe('Where this version of Node has it.'),
});

export const transportSpec = z
  .object({
    codec: text.describe('The one that the recipe names: brotli, gzip or zstd.'),
    float: sizes.describe('Of the float model.'),
    plain: sizes.optional().describe('Of the quantized model before its weights took other values.'),
    quantized: sizes,
    weights: count.describe('How many weights took other values.'),
    error: z
      .number()
      .describe(
        'What that costs: the mean over these weights of the energy of the change of outputs ÷ that of the outputs; ' +
          'without calibration data, of the weights themselves.',
      ),
  })
  .describe('Transport size.');
export type TransportFacts = Deep<z.output<typeof transportSpec>>;
