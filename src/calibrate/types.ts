import type { z } from 'zod';
import type { Layout, QuantScheme, Range } from '../scheme/types.js';

/**
 * What one batch shows of one tensor, finite throughout. Exact extremes always; values may be a declared, seeded
 * subsample.
 */
export interface Observation {
  /** One per channel (length 1 per tensor). */
  readonly min: Float64Array;
  readonly max: Float64Array;
  /** `min` is a bound that the operator guarantees (0 after Relu), not the least value seen. */
  readonly minIsBound: boolean;
  /** Number of elements behind min and max, per channel. */
  readonly count: number;
  /** Elements to count in histograms; undefined where only extremes are wanted. */
  readonly values?: Float32Array;
  /** How `values` split into channels. */
  readonly layout?: Layout;
}

/** Accumulated statistics of one tensor: plain, mergeable data. */
export interface TensorStats {
  readonly kind: string;
  readonly channels: number;
  /** Elements seen per channel; 0 means that nothing is known. */
  count: number;
  /** Extremes seen so far, per channel; Infinity and −Infinity where nothing was seen. */
  readonly min: Float64Array;
  readonly max: Float64Array;
  /** Some batch gave a guaranteed lower bound instead of the least value. */
  minIsBound: boolean;
}

/**
 * How to accumulate: a monoid. `merge` is associative; where `ordered` is false, the order of batches does not matter.
 */
export interface Statistic<S extends TensorStats> {
  readonly name: S['kind'];
  readonly ordered: boolean;
  /** Whether `update` needs values, or extremes are enough (which never leave the graph as whole tensors). */
  readonly needsValues: boolean;
  /**
   * The part of an observer's options that changes what is accumulated: statistics with equal settings can be shared.
   */
  settings(options: unknown): Readonly<Record<string, number>>;
  empty(channels: number, settings: Readonly<Record<string, number>>): S;
  /** Adds one batch in place. */
  update(stats: S, seen: Observation): void;
  /** Statistics of a's batches followed by b's. Neither is changed. */
  merge(a: S, b: S): S;
  serialize(stats: S): Uint8Array;
  /** Inverse of serialize. Throws DATA_FORMAT for bytes that are not its own. */
  deserialize(bytes: Uint8Array): S;
}

/** How to choose a range from statistics. Pure. */
export interface Observer<S extends TensorStats = TensorStats, O = unknown> {
  readonly name: string;
  readonly doc: string;
  readonly statistic: Statistic<S>;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  /** One finite interval per channel, not yet widened to include zero. [0, 0] for empty and all-zero statistics. */
  chooseRange(stats: S, scheme: QuantScheme, options: O): Range;
  /** The same from the finite values themselves, for constants with too few of them to fill a histogram. */
  readonly chooseFromValues?: (
    values: Float32Array,
    scheme: QuantScheme,
    options: O,
  ) => readonly [min: number, max: number];
}
