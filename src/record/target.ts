/** What was written for a runtime, and what it does there once it was tried. */
import { z } from 'zod';
import { evaluationSpec } from './evaluation.js';
import { latencySpec } from './latency.js';
import { text, type Deep } from './parts.js';

export const floatsSpec = z.object({ node: text, op: text, because: text });

export const verifiedSpec = z
  .object({
    runtime: text.describe('Its name and version.'),
    at: text.describe('ISO 8601, UTC.'),
    artefactSha256: text.describe('Of the file that was loaded.'),
    evidence: text.describe('What shows which layers compute in integers there.'),
    integerLayers: z.array(text),
    floatLayers: z.array(text),
    integerMacsShare: z
      .number()
      .optional()
      .describe('Of the work of layers, 0…1; absent where its layers are not those of the model.'),
    evaluation: evaluationSpec.optional(),
    latency: latencySpec.optional().describe('Both in that runtime, in turn.'),
  })
  .describe('Measured in the runtime itself.');
export type VerifiedFacts = Deep<z.output<typeof verifiedSpec>>;

export const targetSpec = z
  .object({
    name: text,
    hardware: text,
    runtime: z.enum(['here', 'elsewhere']).describe('Whether the other figures of the record are of this runtime.'),
    artefact: text.describe('What the runtime loads: a file or folder, relative to the output folder.'),
    recipeFolder: text.describe('Where paths of the recipe start, relative to the output folder.'),
    floats: z.array(floatsSpec).describe('What stays float there, and why.'),
    verified: verifiedSpec.optional().describe('Absent: not verified there.'),
  })
  .describe('The runtime that the files were written for.');
export type TargetFacts = Deep<z.output<typeof targetSpec>>;
