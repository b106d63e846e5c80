import type { z } from 'zod';
import type { Feed, Sample, Target, ValueInfo } from '../ir/feed.js';

/** One model's outputs for the feeds of one sample (two for sentence pairs), each with batch axis 1. */
export type SampleOutputs = readonly Feed[];

/** Collects one model's scores sample by sample. Holds scores, never outputs. */
export interface Accumulator {
  /**
   * `feeds` of the sample are the inputs that gave the outputs: masks and the like may be needed. A sample without a
   * label is passed over by metrics that need one, alike for both models. `float` are the float model's outputs for it,
   * for metrics of how far another model is from it.
   */
  add(sample: Sample, outputs: SampleOutputs, float?: SampleOutputs): void;
  /** The value over all samples, in the metric's unit; undefined where nothing could be scored. */
  value(): number | undefined;
  /** 1 or 0 per scored sample in order, where each sample is right or wrong: paired tests need it. */
  readonly correct?: readonly number[] | undefined;
  /** A score per scored sample in order, where the metric is the mean of them. */
  readonly scores?: readonly number[] | undefined;
  /**
   * Where the metric is no mean: the number of scored samples, and the value over a resample of them by index, for the
   * bootstrap.
   */
  readonly count?: number | undefined;
  resampled?(indices: Uint32Array): number | undefined;
}

export interface Metric<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** '%' for shares of 100, else a word for the scale. */
  readonly unit: string;
  readonly higherIsBetter: boolean;
  readonly needsLabels: boolean;
  /** The part of a sample's target that is needed; samples without it are passed over. */
  readonly needsTarget?: keyof Target;
  /** Whether it reads the text that a model writes, of samples that an encoder–decoder pair is run on. */
  readonly readsText?: boolean;
  /** Strict zod object with a description for each key. No key is called `name`: recipes name the metric there. */
  readonly options: z.ZodType<O>;
  /** `outputs` are those of the model, in its order. Throws RECIPE_UNKNOWN_NAME for an output that the model lacks. */
  start(options: O, outputs: readonly ValueInfo[]): Accumulator;
}

/** A metric with its checked options. */
export interface ChosenMetric {
  readonly metric: Metric;
  readonly options: unknown;
}
