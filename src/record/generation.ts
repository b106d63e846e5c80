/** What both models make of the same prompts. */
import { z } from 'zod';
import { count, text, type Deep } from './parts.js';

const speedSpec = z.object({
  prefill: z.number().describe('Tokens of prompts per second.'),
  decode: z.number().optional().describe('Tokens per second after the first, each by a run of its own.'),
});

export const generationSpec = z
  .object({
    cached: z.boolean().describe('Whether keys and values of earlier tokens were kept between runs.'),
    threads: count,
    prompts: z.array(
      z.object({
        sample: text,
        prompt: text.describe('The text, or token ids where the data have no tokenizer.'),
        promptTokens: count,
        float: text.describe('What the float model continues it with.'),
        quantized: text,
        tokens: count.describe('Tokens that both made.'),
        same: count.describe('Of these, those before the first difference.'),
      }),
    ),
    speed: z.object({ float: speedSpec, quantized: speedSpec }).describe('Medians; both models in turn.'),
  })
  .describe('Prompts of the evaluation data, continued greedily by both models.');
export type GenerationFacts = Deep<z.output<typeof generationSpec>>;
