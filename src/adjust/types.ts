/** What stages before quantization are: changes of the float model that make it quantize better. */
import type { z } from 'zod';
import type { Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { ChannelMoments } from '../channels/moments.js';
import type { Batch } from '../data/batch.js';
import type { Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { QuantScheme } from '../scheme/types.js';

/** How a product with a constant weight will be quantized; what is absent stays float. */
export interface LayerSchemes {
  readonly activations?: QuantScheme | undefined;
  readonly weights?: QuantScheme | undefined;
}

export interface AdjustContext {
  /** Cleaned, with inferred shapes. Changed in place. */
  readonly model: Model;
  /** A fresh pass over the calibration samples. Throws DATA_MISSING where the recipe names none. */
  readonly batches: () => AsyncIterable<Batch>;
  /** By name of the tensor that a folded BatchNormalization gave. */
  readonly moments: ReadonlyMap<string, ChannelMoments>;
  /** What the recipe will do with a layer of the model. Only for adjustments with `readsSchemes`. */
  readonly schemesOf: (layer: Node) => LayerSchemes;
  readonly threads: number;
  readonly report: (d: Diagnostic) => void;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal | undefined;
}

/** A change of the float model before it is quantized. */
export interface Adjustment<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  /** Whether it reads calibration samples. */
  readonly needsData: boolean;
  /** Whether what it does depends on how the recipe quantizes, and not only on the model and the data. */
  readonly readsSchemes?: boolean;
  /** Gives one line about what it did. */
  run(context: AdjustContext, options: O): Promise<string>;
}
