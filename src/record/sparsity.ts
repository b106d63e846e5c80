/** Weights that are zero in what was written, and what the file gains of them. */
import { z } from 'zod';
import { count, text, type Deep } from './parts.js';

export const sparsitySpec = z
  .object({
    zeros: count.describe('In layers with constant weights.'),
    weights: count.describe('Of all these layers.'),
    layers: z
      .array(z.object({ name: text, zeros: count, weights: count }))
      .describe('Those of which a tenth or more is zero.'),
    storage: z
      .object({
        sparse: count.describe('Weights that are sparse initializers.'),
        mask: count.describe('Weights of which the file holds a bit for each place, and the values that are not zero.'),
        denseBytes: count.describe('Of the file with all zeros in it.'),
        bytes: count.describe('Of the file as it is.'),
      })
      .optional()
      .describe('Absent: the file holds the zeros.'),
  })
  .describe('Weights that are zero. They take time like others: no kernel of onnxruntime skips them.');
export type SparsityFacts = Deep<z.output<typeof sparsitySpec>>;
