/** What a gate decided. */
import { z } from 'zod';
import { count, interval, text, type Deep } from './parts.js';

export const verdictSpec = z.enum(['pass', 'fail', 'undecided']);
export type Verdict = z.output<typeof verdictSpec>;

export const ruleSpec = z.object({
  name: text,
  verdict: verdictSpec,
  text: text.describe('One sentence with the numbers.'),
  bound: z.enum(['max', 'min']).optional().describe('Whether the limit is the most or the least that is allowed.'),
  limit: z.number().optional(),
  observed: z.number().optional(),
  interval: interval.optional().describe('Of the observed value, at the confidence of the gate.'),
  unit: text.optional(),
  sign: z
    .union([z.literal(-1), z.literal(1)])
    .optional()
    .describe('For a drop: the change of the metric is sign × drop, so −1 where higher is better.'),
  samples: count.optional(),
  samplesNeeded: count.optional().describe('For an undecided rule: about how many samples would decide.'),
});
// An interface, so that messages and the API reference name it.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface RuleResult extends Deep<z.output<typeof ruleSpec>> {}

export const gateSpec = z.object({
  verdict: verdictSpec.describe('fail where a rule fails, else undecided where one is, else pass.'),
  confidence: z.number(),
  against: text.describe('float, or the baseline run.'),
  rules: z.array(ruleSpec),
});
// An interface, so that messages and the API reference name it.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface GateFacts extends Deep<z.output<typeof gateSpec>> {}
