/**
 * What is known of one of the recipes that run together, stage by stage: asked → planned → assigned → refined → trained
 * → written → measured. Each is made by one function from the one before, which stays as it was.
 */
import type { Diagnostic } from '../../base/errors.js';
import type { SaturatingLayer } from '../../analyse/saturation-effect.js';
import type { TensorStats } from '../../calibrate/types.js';
import type { Rewritten } from '../../formats/types.js';
import type { Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import type { Assigned } from '../../quantize/assign.js';
import type { CacheForm } from '../../formats/kv-cache.js';
import type { Coded } from '../../scheme/codings/types.js';
import type { LowRankTerm } from '../../scheme/quantized.js';
import type { QuantPoint } from '../../scheme/types.js';
import type { ResolvedRecipe } from '../../recipe/load.js';
import type {
  EvaluationFacts,
  GenerationFacts,
  GraphFacts,
  LatencyFacts,
  LayerErrors,
  MixedFacts,
  PointFacts,
  RuntimeFacts,
  Sensitivity,
  TargetFacts,
  LayoutFacts,
  TrainingFacts,
  TransportFacts,
} from '../../record/index.js';
import type { SparsityFacts } from '../../record/sparsity.js';
import type { KernelOf } from '../../runtime/inspect-optimized.js';
import type { bodyFacts, nodeFacts } from '../../facts/model.js';
import type { Prepared } from '../prepare.js';
import type { OutputFolder } from '../output-folder.js';
import type { Asks } from '../stages.js';

/** A recipe and where its result goes. */
export interface Variant {
  /** Its place among those that run together. */
  readonly index: number;
  /** As given, until a budget is spent. */
  readonly recipe: ResolvedRecipe;
  readonly folder: OutputFolder;
  /** Which stages it has: asked before a budget is spent, which changes the recipe. */
  readonly asks: Asks;
  /** What was found of this one alone, in the order in which it was found. */
  readonly diagnostics: readonly Diagnostic[];
  readonly report: (d: Diagnostic) => void;
  /** What a budget was spent on. */
  readonly mixed?: MixedFacts;
}

/** Which nodes run how, on a copy of the cleaned model of its own. */
export interface PlannedVariant extends Variant {
  readonly model: Model;
  readonly prepared: Prepared;
  readonly macs: ReadonlyMap<string, number>;
  readonly nodes: ReturnType<typeof nodeFacts>;
  readonly inBodies: ReturnType<typeof bodyFacts>;
  readonly points: readonly PointFacts[];
  readonly graph: GraphFacts | undefined;
}

/** With parameters, and without what calibration shows to be better in float. */
export interface AssignedVariant extends PlannedVariant {
  /** Empty where nothing was calibrated. */
  readonly stats: ReadonlyMap<Value, TensorStats>;
  readonly assigned: Assigned;
  /** The observer of calibration, where there was one. */
  readonly observer: string | undefined;
}

/** With the codes of weights chosen; where nothing chooses them, those of rounding. */
export interface RefinedVariant extends AssignedVariant {
  /** The float model with the same names, and with the weights from before. */
  readonly float: Model;
  /** Codes of weights that a coding stores, where they were chosen otherwise than by it alone. */
  readonly coded?: ReadonlyMap<QuantPoint, Coded>;
  /** What is added to products for what the codes of their weights lose. */
  readonly lowRank?: ReadonlyMap<QuantPoint, LowRankTerm>;
  /** Scales of the cache of keys and values by name of the past, where it is quantized. */
  readonly caches?: { readonly scales: ReadonlyMap<string, Float32Array>; readonly form: CacheForm };
}

/** With weights and parameters that training chose; without training as refined. */
export interface TrainedVariant extends RefinedVariant {
  readonly training?: TrainingFacts;
  /** What the file weighs on its way, where that was asked for. */
  readonly transport?: TransportFacts;
}

/** In the staging folder. */
export interface WrittenVariant extends TrainedVariant {
  /** What was written. */
  readonly written: Model;
  readonly tensors: Rewritten['tensors'];
  /** Weights that are zero, where many are. */
  readonly sparsity?: SparsityFacts;
  readonly saturation: RuntimeFacts['saturation'];
  /** The layers that can saturate. */
  readonly saturating: readonly SaturatingLayer[];
}

/** What was measured of what was written; absent means not measured. */
export interface Measured {
  readonly sensitivity?: Sensitivity | undefined;
  readonly evaluation?: EvaluationFacts | undefined;
  readonly layers?: LayerErrors | undefined;
  readonly runtime?: RuntimeFacts | undefined;
  readonly kernels?: readonly KernelOf[] | undefined;
  readonly latency?: LatencyFacts | undefined;
  readonly generation?: GenerationFacts | undefined;
}
export interface MeasuredVariant extends WrittenVariant {
  readonly measured: Measured;
  /** Once it was written for its runtime. */
  readonly target?: TargetFacts;
  /** Once it was laid out for a library. */
  readonly layout?: LayoutFacts;
}
