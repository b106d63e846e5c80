/** How much a channel matters. */
import type { z } from 'zod';
import type { Batch } from '../../data/batch.js';
import type { ChannelUnit } from '../../channels/removal.js';
import type { Feed } from '../../ir/feed.js';
import type { Model } from '../../ir/model.js';

export interface ImportanceContext {
  /** With inferred shapes; it stays as it is. */
  readonly model: Model;
  readonly units: readonly ChannelUnit[];
  /** A fresh pass over calibration samples. Only with `needs: inputs`. */
  readonly feeds: () => AsyncIterable<Feed>;
  /** The same with labels, where the data have some. */
  readonly batches?: (() => AsyncIterable<Batch>) | undefined;
  readonly threads: number;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A measure of channels: those with the smallest values go first. Values are ≥ 0; Infinity is of a channel that stays.
 */
export interface Importance<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  /** What it looks at beside the weights. */
  readonly needs: 'nothing' | 'inputs';
  /** One value for each unit, in their order. */
  score(context: ImportanceContext, options: O): Promise<Float64Array> | Float64Array;
}
