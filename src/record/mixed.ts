/** How a budget was spent: what each layer could be, what it would cost, and what was chosen. */
import { z } from 'zod';
import { count, text, type Deep } from './parts.js';

export const mixedSpec = z
  .object({
    budget: z.enum(['sizeBytes', 'sizeRatio', 'macBits', 'latencyRatio']),
    limit: z.number().describe('As the recipe says.'),
    spent: z.number().describe('In the same unit, as estimated from the costs of the layers.'),
    solver: text,
    measure: text,
    samples: count,
    choices: z.array(text),
    layers: z.array(
      z.object({
        node: text,
        others: z.array(text).exactOptional().describe('Nodes that read the same stored weight, and go with it.'),
        chosen: count.describe('Position in choices.'),
        loss: z
          .array(z.number().nullable())
          .describe('With only this layer quantized so, for each choice; null where it cannot be.'),
        cost: z.array(z.number().nullable()),
      }),
    ),
  })
  .describe('Mixed precision under a budget.');
export type MixedFacts = Deep<z.output<typeof mixedSpec>>;
