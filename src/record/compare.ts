/** CompareRecord: several runs of one model beside each other, with those that no other beats in everything. */
import { z } from 'zod';
import { agreementSpec, metricSpec } from './evaluation.js';
import { gateSpec } from './gate.js';
import { count, environmentSpec, interval, text, type Deep } from './parts.js';

/** In what runs are compared. */
export const OBJECTIVES = [
  'accuracy',
  'same answer',
  'latency',
  'speedup',
  'size',
  'transport',
  'memory',
  'integer',
] as const;
export type Objective = (typeof OBJECTIVES)[number];

export const compareRunSpec = z.object({
  label: text,
  folder: text.optional().describe('Relative to the folder of this file.'),
  outcome: z.enum(['ok', 'failed']),
  error: text.optional(),
  summary: text.describe('What sets it apart: format, types, observer.'),
  metric: metricSpec
    .omit({ paired: true, classes: true })
    .optional()
    .describe('The metric that runs are compared by; without labels, agreement or cosine with the float model.'),
  metrics: z.array(metricSpec.omit({ paired: true, classes: true })),
  agreement: agreementSpec.omit({ flips: true }).optional(),
  latencyMs: z.number().optional(),
  latencyInterval: interval.optional(),
  speedup: z.number().optional(),
  speedupInterval: interval.optional(),
  bytes: z.number().optional(),
  sizeRatio: z.number().optional(),
  brotliBytes: z.number().optional().describe('Of the file as brotli sends it, where the run measured that.'),
  peakBytes: z.number().optional(),
  macs: z.number().optional().describe('Multiply-accumulates for one sample.'),
  integerMacsShare: z.number().optional(),
  gate: gateSpec.optional(),
  front: z
    .boolean()
    .describe(
      'No other run is better in accuracy, latency, size or memory by more than the noise, and in none of them worse.',
    ),
  leads: z
    .array(z.enum(OBJECTIVES))
    .optional()
    .describe('In what no other run is better by more than the noise of what was measured.'),
  durationMs: z.number(),
});
export type CompareRun = Deep<z.output<typeof compareRunSpec>>;

export const compareRecordSpec = z
  .object({
    schema: z.literal(1),
    quantbench: text,
    startedAt: text,
    durationMs: z.number(),
    name: text,
    environment: environmentSpec,
    model: z.object({ name: text, sha256: text, bytes: z.number() }),
    float: z.object({
      metric: z.number().optional(),
      latencyMs: z.number().optional(),
      peakBytes: z.number().optional(),
      macs: z.number().optional(),
    }),
    samples: count.optional(),
    chosenOn: text.describe('Which samples ranked the runs.'),
    runs: z.array(compareRunSpec),
    chosen: z.object({ label: text, sentence: text }).optional().describe('The run to ship, and why.'),
    notes: z.array(text),
  })
  .describe('Several runs of one model, compared.');
// An interface, so that messages and the API reference name it.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface CompareRecord extends Deep<z.output<typeof compareRecordSpec>> {}
