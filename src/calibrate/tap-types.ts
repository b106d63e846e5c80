import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Value } from '../ir/graph.js';
import type { RowCount } from './rows.js';
import type { Observation } from './types.js';

export interface TapRequest {
  readonly value: Value;
  /** Channel axis; per tensor where absent. */
  readonly axis: number | undefined;
  readonly needsValues: boolean;
  /** Set where the model itself may make it infinite, which is then no fault of a sample: it counts as finite. */
  readonly infinite?: true | undefined;
}

/** What one run shows of one tensor. `finite` is false where it may hold NaN or infinity. */
export interface Reading extends Observation {
  readonly finite: boolean;
}

export interface Tap {
  readonly value: Value;
  readonly fetches: readonly string[];
  /** Bytes that leave the runtime, per row of the batch; unknown sizes are guessed. */
  readonly bytesPerRow: number;
  read(outputs: Readonly<Record<string, FeedTensor>>, feed: Feed, rows: RowCount, start: Starts): Reading;
}

/** Where the sampling of one batch starts, as a fraction of the step. */
export type Starts = number;
