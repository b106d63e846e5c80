/** The trail of a search for a recipe: what was tried, what it gave, and what followed from it. */
import { z } from 'zod';
import { verdictSpec } from './gate.js';
import { count, interval, text, type Deep } from './parts.js';

export const trialSpec = z.object({
  round: count,
  label: text,
  settings: text.describe('adjust and quantize of the recipe, as YAML.'),
  why: text.describe('Why it was tried.'),
  samples: count.describe('Samples of the search part.'),
  outcome: z.enum(['ok', 'failed', 'skipped']).describe('skipped: there was no time for it, or it took too long.'),
  error: text.optional(),
  metric: z.number().optional(),
  drop: z.number().optional().describe('By how much the metric got worse than float, in its unit.'),
  loss: z
    .number()
    .optional()
    .describe(
      'How far the outputs moved, with less noise than the metric: mean KL divergence, or Σ error² ÷ Σ float² ' +
        'where there are no class scores.',
    ),
  bytes: z.number().optional(),
  sizeRatio: z.number().optional(),
  latencyMs: z.number().optional(),
  latencyRatio: z.number().optional(),
  next: text.describe('What followed from it.'),
});
export type Trial = Deep<z.output<typeof trialSpec>>;

export const searchSpec = z
  .object({
    objective: z.enum(['latency', 'size']),
    metric: text,
    unit: text,
    limit: z.number().describe('The largest drop that is allowed, in the unit of the metric.'),
    limitText: text.describe('As it was asked for.'),
    timeBudgetMs: z.number(),
    ms: z.number(),
    searchSamples: count,
    heldOutSamples: count,
    floatLatencyMs: z.number().optional(),
    trials: z.array(trialSpec),
    heldOut: z
      .array(
        z.object({
          label: text,
          drop: z.number(),
          interval: interval.optional(),
          verdict: verdictSpec,
          met: z.boolean(),
          slower: z.boolean().optional().describe('The objective is latency, and it takes longer than float.'),
          text,
        }),
      )
      .describe('Looks at the held-out part, in turn; the intervals are widened for their number.'),
    chosen: text,
    outcome: z
      .enum(['met', 'missed'])
      .describe(
        'met: the drop that was measured on the held-out part is within the limit, and the model is not slower ' +
          'than float where the objective is latency.',
      ),
    sentence: text,
    notes: z.array(text),
  })
  .describe('How `quantize auto` found the recipe.');
// An interface, so that messages and the API reference name it.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface SearchFacts extends Deep<z.output<typeof searchSpec>> {}
