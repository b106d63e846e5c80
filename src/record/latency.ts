/** What latency runs measured, the float and the quantized model in turn. Times are in ms. */
import { z } from 'zod';
import { count, interval, type Deep } from './parts.js';

const timesSpec = z.object({
  p50: z.number(),
  p90: z.number(),
  p99: z.number(),
  mean: z.number(),
  p50Interval: interval.optional(),
  p90Interval: interval.optional(),
  p99Interval: interval.optional(),
  histogram: z.object({ low: z.number(), high: z.number(), counts: z.array(count) }).optional(),
});
export type RunTimes = Deep<z.output<typeof timesSpec>>;

const processSpec = z
  .object({
    loadMs: z.number().describe('Opening the session in a fresh process.'),
    firstRunMs: z.number(),
    peakBytes: z.number().describe('Peak resident memory that loading and running added to that process.'),
  })
  .describe('Measured in a process of its own.');
export type ProcessFacts = Deep<z.output<typeof processSpec>>;

export const latencySpec = z.object({
  threads: count,
  runs: count,
  warmup: count,
  batch: count,
  inputShapes: z.record(z.string(), z.array(z.number())),
  floatMs: timesSpec,
  quantizedMs: timesSpec,
  speedup: z
    .number()
    .describe('Median over the rounds of float ÷ quantized, each of undisturbed runs: above 1 is faster.'),
  speedupInterval: interval
    .optional()
    .describe('95 % interval of that median, and 1 % more to either side for what two sessions of one file differ by.'),
  drift: z
    .object({ float: z.number(), quantized: z.number() })
    .optional()
    .describe('Median of the second half of the runs ÷ that of the first.'),
  throughput: z
    .object({ float: z.number(), quantized: z.number() })
    .optional()
    .describe('Samples per second at these settings, from the medians.'),
  process: z.object({ float: processSpec, quantized: processSpec }).optional(),
});
export type LatencyFacts = Deep<z.output<typeof latencySpec>>;
