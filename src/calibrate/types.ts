import type { z } from 'zod';
import type { Layout, QuantScheme, Range } from '../scheme/types.js';

/** What one batch shows of one tensor. Exact extremes always; values may be a declared, seeded subsample. */
export interface Observation {
  /** Exact, one per channel (length 1 per tensor), over the finite values. */
  readonly min: Float32Array | Float64Array;
  readonly max: Float32Array | Float64Array;
  /** Exact number of elements behind min and max, per channel. */
  readonly count: number;
  /** Elements to count in histograms; undefined where only extremes are wanted. */
  readonly values?: Float32Array;
  readonly layout?: Layout;
}

/** Accumulated statistics of one tensor: plain, mergeable data. */
export interface TensorStats {
  readonly kind: string;
  readonly channels: number;
  readonly count: number;
  /** Exact extremes seen so far, per channel. */
  readonly min: Float64Array;
  readonly max: Float64Array;
}

/** How to accumulate: a monoid. `merge` is associative; where `ordered` is false, the order of batches does not matter. */
export interface Statistic<S extends TensorStats> {
  readonly name: S['kind'];
  readonly ordered: boolean;
  /** Whether `update` needs values, or extremes are enough (which never leave the graph as whole tensors). */
  readonly needsValues: boolean;
  empty(channels: number, options: unknown): S;
  /** Adds one batch in place. */
  update(stats: S, seen: Observation): void;
  merge(a: S, b: S): S;
  serialize(stats: S): Uint8Array;
  deserialize(bytes: Uint8Array): S;
}

/** How to choose a range from statistics. Pure. */
export interface Observer<S extends TensorStats, O> {
  readonly name: string;
  readonly doc: string;
  readonly statistic: Statistic<S>;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  /** One interval per channel, not yet widened to include zero. Defined for empty, constant and all-zero statistics. */
  chooseRange(stats: S, scheme: QuantScheme, options: O): Range;
}
