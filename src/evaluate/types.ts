import type { z } from 'zod';
import type { Feed, Sample } from '../ir/feed.js';

/** One model's outputs for the feeds of one sample (two for sentence pairs), each with batch axis 1. */
export type SampleOutputs = readonly Feed[];

/** Collects one model's scores sample by sample. Holds scores, never outputs. */
export interface Accumulator {
  /** `feeds` are the inputs that gave the outputs: masks and the like may be needed. */
  add(sample: Sample, outputs: SampleOutputs): void;
  /** The value over all samples, in the metric's unit; undefined where nothing could be scored. */
  value(): number | undefined;
  /** 1 or 0 per sample in order, where each sample is right or wrong: paired tests need it. */
  readonly correct?: readonly number[];
  /** A score per sample in order, where the metric is the mean of them. */
  readonly scores?: readonly number[];
}

export interface Metric<O = unknown> {
  readonly name: string;
  readonly doc: string;
  readonly unit: string;
  readonly higherIsBetter: boolean;
  readonly needsLabels: boolean;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  start(options: O): Accumulator;
}
