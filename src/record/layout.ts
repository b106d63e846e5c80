/** The folder that a library of language models loads, where a run writes one. */
import { z } from 'zod';
import { text, type Deep } from './parts.js';

export const layoutSpec = z
  .object({
    name: text.describe('huggingface, transformers.js or onnxruntime-genai; also the folder, beside the model.'),
    variants: z
      .array(z.object({ dtype: text.describe('Such as q4.'), file: text, bytes: z.number() }))
      .describe('The models in it, by paths in the folder, with the bytes of their data files.'),
    origin: z
      .object({
        model: text.optional().describe('Such as org/name.'),
        license: text.optional(),
        licenseName: text.optional(),
        licenseLink: text.optional(),
        task: text.optional(),
        languages: z.array(text).optional(),
      })
      .describe('What the folder of the original tells: its model card, config.json, or its place in a cache.'),
  })
  .describe('A folder as the Hugging Face hub, transformers.js or onnxruntime-genai wants it.');
export type LayoutFacts = Deep<z.output<typeof layoutSpec>>;
