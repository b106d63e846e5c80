import type { Node, Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import type { Planned } from '../../scheme/quantized.js';
import type { QuantScheme } from '../../scheme/types.js';
import type { NodeFilter } from '../filter.js';
import type { NamedOptions, WeightSettings } from '../overrides.js';
import type { PlanOptions } from './static.js';

/** What a recipe and its target want, resolved: all that planners read. */
export interface PlanRequest extends Omit<PlanOptions, 'bodies' | 'embeddings' | 'never' | 'floats'> {
  /** Name of the format. */
  readonly format: string;
  /** Granularity of weights as the recipe gives it, where the target's default is not meant. */
  readonly granularity: WeightSettings['granularity'] | undefined;
  readonly coding: NamedOptions;
  readonly dynamicConv: boolean;
  readonly dynamicRows: boolean | undefined;
  readonly weightOnly: readonly NodeFilter[];
  readonly embeddings: boolean | QuantScheme['dtype'];
  /** The same of products that give a number for each row of a table. */
  readonly head: boolean | QuantScheme['dtype'];
  readonly standardOps: boolean;
  readonly accuracyLevel: number;
}

/** What calibration showed to be better in float. */
export interface Kept {
  readonly never?: ReadonlySet<Value>;
  readonly floats?: ReadonlyMap<Node, string>;
}

/** A way to plan. A new kind is a file with its rules and an entry in the list. */
export interface Planner {
  /** The kind of plan that formats name. */
  readonly kind: string;
  /** Whether weights meet 8-bit inputs in integer kernels, which may saturate. */
  readonly integerProducts: boolean;
  /** Lowest opset of the standard domain; `ofSchemes` is what the format says of these schemes. */
  minOpset(model: Model, request: PlanRequest, ofSchemes: (schemes: readonly QuantScheme[]) => number): number;
  /** Throws RECIPE_UNKNOWN_NAME for filters that name nothing. */
  plan(model: Model, request: PlanRequest, kept: Kept): Planned;
}
