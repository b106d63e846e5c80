/**
 * The library: load or build a recipe, run it, read the record; or one step alone. Nothing here prints; listen with
 * `onEvent`. What is typed for plug-ins is documented in docs/plugins.md.
 */
export { QuantError, ERROR_CODES, exitCodeOf, type Diagnostic, type ErrorCode, type Where } from './base/errors.js';
export type { OnEvent, RunEvent } from './base/events.js';
export { version } from './base/version.js';

// Recipes and runs
export { loadRecipe, loadRecipes, resolveRecipe, type RecipeOverrides, type ResolvedRecipe } from './recipe/load.js';
export type { Path } from './recipe/text.js';
export type { Named as NamedOptions } from './base/named.js';
export type { Recipe, RecipeInput } from './recipe/schema.js';
export {
  runRecipe,
  runRecipes,
  type RunListener,
  type RunOptions,
  type RunResult,
  type RunsOptions,
} from './pipeline/run.js';
export type { SearchOnly } from './pipeline/check.js';
export { compareRuns, type CompareItem, type CompareOptions } from './compare/compare.js';
export type { Finished } from './compare/rank.js';
export { findRecipe } from './search/auto.js';
export type { Objective } from './search/candidates.js';
export type { AutoOptions, AutoResult } from './search/types.js';
export { optimizeFile, optimizeGraph, type OptimizedFile, type OptimizeOptions } from './standalone/optimize.js';
export type { Agreement } from './standalone/same-outputs.js';
export {
  benchFiles,
  evaluateFiles,
  type Benched,
  type BenchedFile,
  type BenchOptions,
  type EvaluatedFiles,
  type EvaluateFilesOptions,
} from './standalone/standalone.js';
export { exitCodeOfVerdict, gateSpec, judgeRun, type GateSettings } from './gate/index.js';
export { readRun } from './record/read.js';
export type {
  CalibrationFacts,
  CompareRecord,
  CompareRun,
  EvaluationFacts,
  GateFacts,
  LatencyFacts,
  LayerErrors,
  LayoutFacts,
  MetricFacts,
  NodeFacts,
  PointFacts,
  RuleResult,
  RunRecord,
  RuntimeFacts,
  SearchFacts,
  Sensitivity,
  Verdict,
} from './record/index.js';
export {
  renderAnnotations,
  renderCompareHtml,
  renderCompareMarkdown,
  renderFiles,
  renderHtml,
  renderJunit,
  renderMarkdown,
  renderModelCard,
  renderStepSummary,
  type LaidOutRuns,
} from './report/index.js';
export {
  differences,
  openStore,
  parseReference,
  type Named,
  type Reference,
  type Stage,
  type Store,
  type Version,
} from './store/index.js';
export type { Difference } from './store/diff.js';
export type { VersionFile } from './store/log.js';
export type { SourceFile, Verified } from './store/store.js';

// Models
export { Graph, Node, Value, type Attr, type Dim, type OtherType, type Shape, type Use } from './ir/graph.js';
export { allGraphs, type FunctionDef, type Model } from './ir/model.js';
export { Tensor, type ByteSource } from './ir/tensor.js';
export type { DType } from './ir/dtype.js';
export { parseModel, type ParseOptions } from './ir/text/parse.js';
export { printModel, type PrintOptions } from './ir/text/print.js';
export type { DecodeOptions } from './onnx/decode.js';
export { loadModel, saveModel, type SavedFile, type SaveOptions } from './onnx/files.js';
export { memoryPlan, type MemoryPlan } from './cost/memory.js';
export { modelCost, sized, type ModelCost, type NodeCost } from './cost/nodes.js';

// Training
export { addLoss, type LossTerm } from './autodiff/add-loss.js';
export { addOptimiser, type OptimiserOptions, type TrainingStep } from './autodiff/add-optimiser.js';
export { gradients } from './autodiff/gradients.js';
export type { GradientOptions } from './autodiff/types.js';
export { frontOf } from './pipeline/front-of.js';
export { fit, type CheckpointOptions, type CurvePoint, type FitOptions, type FitResult } from './train/fit.js';
export type { Rng } from './base/rng.js';
export { augmentations } from './data/augment/index.js';
export type { Augmentation, ImageView, Partner } from './data/augment/types.js';
export { PackedSamples, type PackOptions } from './data/packed.js';
export type { Augmenting } from './train/batches.js';
export type { Score } from './train/checkpoint.js';
export {
  learn,
  type Chosen,
  type LearnOptions,
  type Learned,
  type LearnSettings,
  type TermSettings,
} from './train/learn.js';
export { rateOver, type RateOptions } from './train/rate.js';
export { Trainer, type TrainerOptions, type TrainerState } from './train/trainer.js';
export { trainFile, type TrainFileOptions } from './standalone/train.js';
export {
  modelGroups,
  type ChannelGroup,
  type GroupsOptions,
  type ModelGroups,
  type Saving,
  type GroupSensitivity,
} from './standalone/groups.js';
export { KEPT, withKept, type Kept, type KeptModel } from './train/kept.js';
export { withWeights } from './train/write-back.js';
export { withFakeQuant } from './qat/fake-quant.js';
export type { FakeQuantized, FakeQuantOptions, QatParameter, Trained } from './qat/types.js';
export type { Coded } from './scheme/codings/types.js';
export { LEARNED_SCALES, type LearnedScales } from './scheme/types.js';

// Plug-ins
export { z } from 'zod';
export { loadPlugins, type PluginFile, type Plugins } from './recipe/plugins.js';
export type {
  ExporterPlugin,
  GatePlugin,
  ObserverPlugin,
  PassPlugin,
  WeightMethodPlugin,
} from './recipe/plugin-kinds.js';
export type { ImportancePlugin, ImportancePluginContext } from './recipe/plugin-importance.js';
export type { Importance, ImportanceContext } from './compress/importance/types.js';
export type { ChannelUnit, Cut } from './channels/removal.js';
export type { Place } from './channels/classes.js';
export type { Batch, BatchRow } from './data/batch.js';
export type { TargetPlugin } from './recipe/plugin-target.js';
export type { ExportedFile, Exporter, FileRole } from './exporters/types.js';
export {
  verdictOn,
  type Extremes,
  type Packings,
  type Planned,
  type QuantizedGraph,
  type NodeVerdict,
  type WeightOnlyForm,
} from './scheme/quantized.js';
export { ROUNDINGS, type Rounding } from './scheme/types.js';
export type { Packing, QuantParams, QuantPlan, QuantPoint, QuantSpec } from './scheme/types.js';
export type { Granularity, Layout, QuantScheme, Range } from './scheme/types.js';
export type { Observation, Observer, Statistic, TensorStats } from './calibrate/types.js';
export { histogram, type HistogramStats } from './calibrate/statistics/histogram.js';
export { range, type RangeStats } from './calibrate/statistics/range.js';
export {
  replaceOutputs,
  rulePass,
  type Evaluate,
  type Numerics,
  type Pass,
  type PassContext,
  type PassResult,
  type PassTrace,
  type RewriteRule,
} from './rewrite/pass.js';
export type { AttrValue, GraphBuilder, OpOptions } from './rewrite/builder.js';
export type { Match } from './rewrite/pattern.js';
export type { Grid, RowsProblem } from './channels/layer.js';
export { nearestCodes, type Solved, type WeightMethod } from './codes/types.js';
export type { Interval } from './evaluate/intervals.js';
export type { Gate } from './gate/types.js';
export { notMeasured, ruleOf, type Measured } from './gate/rule.js';
export { targets } from './targets/index.js';
export type { IntegerKernel, PortRule, Quirk, QuirkCondition, TargetProfile } from './scheme/profile.js';
export type { Comparison } from './evaluate/compare.js';
export type { Accumulator, ChosenMetric, Metric, SampleOutputs } from './evaluate/types.js';
export type { MetricModule } from './evaluate/metric-module.js';
export type { DataModule, GivenFeed, GivenSample, GivenTensor } from './data/sources/module.js';
export type { DataSpec } from './data/spec.js';
export type { Feed, FeedTensor, Sample, Target, TargetBox, TypedArray, ValueInfo } from './ir/feed.js';
