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
  readonly timing?: (() => Promise<{ readonly feed: Feed; readonly threads: number }>) | undefined;
  /** Nothing may be measured or looked at. */
  readonly dryRun?: boolean | undefined;
  /** Whether the recipe names calibration data. */
  readonly hasData: boolean;
  readonly threads: number;
  readonly report: (d: Diagnostic) => void;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal | undefined;
  /**
   * The first metric of the recipe for each of the models, on at most so many calibration samples; undefined where
   * there is none, such as for samples without labels. Absent where nothing is to be scored.
   */
  readonly score?:
    | ((
        models: readonly (() => Model)[],
        samples: number,
      ) => Promise<{ readonly metric: ScoredMetric; readonly values: readonly number[] } | undefined>)
    | undefined;
  /** Takes what a scan measured, for the record. */
  readonly onScan?: ((scan: PruneScan) => void) | undefined;
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

/** What models lose without shares of single families of channels. */
export interface PruneScan {
  /** Calibration samples that were looked at, at most. */
  readonly samples: number;
  /** Absent where nothing can be scored, such as samples without labels. */
  readonly metric?: ScoredMetric & { readonly whole: number };
  readonly families: readonly {
    /** Weights that make the channels, by name. */
    readonly makers: readonly string[];
    readonly units: number;
    /** Without the least important `share`: Σ ‖y − y₀‖² ÷ Σ ‖y₀‖² of the outputs, and the metric. */
    readonly points: readonly { readonly share: number; readonly change: number; readonly value?: number }[];
  }[];
}
export interface ScoredMetric {
  readonly name: string;
  readonly unit: string;
  readonly higherIsBetter: boolean;
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
  /** Whether it cannot do without calibration samples, as its options say. Absent: it can. */
  requiresData?(options: O): boolean;
  /** Gives one line about what it did. */
  run(context: CompressContext, options: O): Promise<string>;
}
