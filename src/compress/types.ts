/** What makes a float model smaller before it is trained or quantized: with fewer channels, ranks or values. */
import type { z } from 'zod';
import type { Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { Batch } from '../data/batch.js';
import type { Feed } from '../ir/feed.js';
import type { Model } from '../ir/model.js';

export interface CompressContext {
  /** Cleaned, BatchNormalization not folded, with inferred shapes. Changed in place. */
  readonly model: Model;
  /** A fresh pass over the calibration samples. Throws DATA_MISSING where the recipe names none. */
  readonly feeds: () => AsyncIterable<Feed>;
  /** The same with labels, where the data have some. */
  readonly batches?: (() => AsyncIterable<Batch>) | undefined;
  /** What models are timed on; undefined where nothing may be measured. */
  readonly timing?: { readonly feed: Feed; readonly threads: number } | undefined;
  /** Nothing may be measured or looked at. */
  readonly dryRun?: boolean | undefined;
  /** Whether the recipe names calibration data. */
  readonly hasData: boolean;
  readonly threads: number;
  readonly report: (d: Diagnostic) => void;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal | undefined;
  /**
   * Trains the model as the recipe says of training, for so long, keeping what the steps so far made. Absent where the
   * recipe has no `train`, and where nothing is to be computed.
   */
  readonly finetune?: ((length: FinetuneLength) => Promise<void>) | undefined;
}
export interface FinetuneLength {
  readonly epochs?: number | undefined;
  readonly steps?: number | undefined;
  /** Default: that of `train`. */
  readonly rate?: number | undefined;
}

/** A way to make a model smaller. */
export interface Compression<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** Strict zod object with a description for each key. */
  readonly options: z.ZodType<O>;
  /**
   * As a recipe says it, options that leave a share of the work, or of the bytes, as the objective of a search asks.
   * Searches do not try a compression without it.
   */
  leaving?(share: number, objective: 'latency' | 'size'): Readonly<Record<string, unknown>>;
  /** What of the form of weights it makes, so that training leaves it as it is. */
  readonly keeps?: readonly ('zeros' | 'codebooks')[];
  /** Whether it reads calibration samples, as its options say. */
  needsData(options: O): boolean;
  /** Whether it cannot do without them. Absent: it can. */
  requiresData?(options: O): boolean;
  /** Gives one line about what it did. */
  run(context: CompressContext, options: O): Promise<string>;
}
