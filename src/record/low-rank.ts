/** What makes up for the codes of weights: two small float32 matrices beside each product. */
import { z } from 'zod';
import { count, type Deep } from './parts.js';

export const lowRankSpec = z
  .object({
    rank: count.describe('At most; a product has no more than its smaller side.'),
    products: count.describe('That have such a term.'),
    bytes: count.describe('Of all these matrices, in float32.'),
    bits: z.number().describe('Of these matrices for each weight of the products, beside the bits of its code.'),
    macs: count.describe('Multiply-accumulates that they add, for each place at which the products are computed.'),
  })
  .describe('Terms of low rank that are added to products for what the codes of their weights lose.');
export type LowRankFacts = Deep<z.output<typeof lowRankSpec>>;
