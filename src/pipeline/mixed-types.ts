/** What a budget is spent with: versions of the model, and layers with a price for each. */
import { type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { ValueInfo } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { type Assigned } from '../quantize/assign.js';
import { type Choice } from '../quantize/knapsack.js';
import { type ResolvedRecipe } from '../recipe/load.js';
import type { Recipe } from '../recipe/schema.js';
import type { profilePair } from '../runtime/profile.js';
import { type Prepared } from './prepare.js';

export type Budget = NonNullable<Recipe['quantize']['budget']>;

export interface MixedOptions {
  /** Has a budget. */
  readonly recipe: ResolvedRecipe;
  /** Cleaned and adjusted; not changed. */
  readonly model: Model;
  readonly floatFile: string;
  readonly contentSha256: () => string;
  readonly inputs: readonly ValueInfo[];
  readonly report: (d: Diagnostic) => void;
  readonly onEvent: OnEvent;
  /** Where the times of layers come from. Default: onnxruntime's profile. */
  readonly profile?: typeof profilePair;
  readonly signal?: AbortSignal | undefined;
}

/** One choice, planned for all layers. */
export interface Version {
  readonly model: Model;
  readonly prepared: Prepared;
  readonly assigned: Assigned;
}

/** What one layer, or those that read one stored weight, are under each choice. */
export interface Priced {
  readonly name: string;
  /** Of the others that read its weight. */
  readonly others: string[];
  readonly choices: Choice[];
}
