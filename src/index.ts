/**
 * The library: load or build a recipe, run it, read the record; or one step alone. Nothing here prints; listen with
 * `onEvent`. What is typed for plug-ins is documented in docs/plugins.md.
 */
export { QuantError, ERROR_CODES, exitCodeOf, type Diagnostic, type ErrorCode, type Where } from './base/errors.js';
export type { OnEvent, RunEvent } from './base/events.js';
export { version } from './base/version.js';

// Recipes and runs
export {
  loadRecipe, loadRecipes, resolveRecipe, type RecipeOverrides, type ResolvedRecipe,
} from './recipe/load.js';
export type { Recipe, RecipeInput } from './recipe/schema.js';
export {
  runRecipe, runRecipes, type RunListener, type RunOptions, type RunResult, type RunsOptions,
} from './pipeline/run.js';
export { compareRuns, type CompareItem, type CompareOptions } from './pipeline/compare.js';
export { findRecipe } from './pipeline/auto.js';
export type { AutoOptions, AutoResult } from './pipeline/search.js';
export { optimizeFile, optimizeGraph, type OptimizedFile, type OptimizeOptions } from './pipeline/optimize.js';
export { benchFiles, evaluateFiles } from './pipeline/standalone.js';
export { exitCodeOfVerdict, gateSpec, judgeRun, type GateSettings } from './gate/index.js';
export { readRun } from './record/read.js';
export type * from './record/index.js';
export {
  renderAnnotations, renderCompareHtml, renderCompareMarkdown, renderHtml, renderJunit, renderMarkdown,
  renderModelCard, renderStepSummary,
} from './report/index.js';
export {
  differences, openStore, parseReference, type Named, type Reference, type Stage, type Store, type Version,
} from './store/index.js';

// Models
export { allGraphs, Graph, Node, Value, type Attr, type Dim, type Model, type Shape } from './ir/graph.js';
export { Tensor } from './ir/tensor.js';
export type { DType } from './ir/dtype.js';
export { parseModel, type ParseOptions } from './ir/text/parse.js';
export { printModel } from './ir/text/print.js';
export { loadModel, saveModel, type SavedFile, type SaveOptions } from './onnx/files.js';
export { memoryPlan, type MemoryPlan } from './cost/memory.js';
export { modelCost, sized, type ModelCost } from './cost/nodes.js';

// Plug-ins
export { z } from 'zod';
export { loadPlugins, type PluginFile, type Plugins } from './recipe/plugins.js';
export type {
  GatePlugin, ObserverPlugin, PassPlugin, TargetPlugin, WeightMethodPlugin,
} from './recipe/plugin-kinds.js';
export type { Layout, QuantScheme, Range } from './scheme/types.js';
export type { Observation, Observer, Statistic, TensorStats } from './calibrate/types.js';
export { histogram, type HistogramStats } from './calibrate/statistics/histogram.js';
export { range, type RangeStats } from './calibrate/statistics/range.js';
export {
  replaceOutputs, rulePass, type Numerics, type Pass, type PassContext, type PassResult, type PassTrace,
  type RewriteRule,
} from './rewrite/pass.js';
export type { GraphBuilder, OpOptions } from './rewrite/builder.js';
export type { Match } from './rewrite/pattern.js';
export type { Grid, RowsProblem } from './adjust/layerwise/layer.js';
export { nearestCodes, type Solved, type WeightMethod } from './adjust/layerwise/types.js';
export type { Gate } from './gate/types.js';
export { notMeasured, ruleOf, type Measured } from './gate/rule.js';
export { targets } from './targets/index.js';
export type { IntegerKernel, TargetProfile } from './targets/types.js';
export type { Accumulator, Metric, SampleOutputs } from './evaluate/types.js';
export type { MetricModule } from './evaluate/metric-module.js';
export type { DataModule, GivenFeed, GivenSample, GivenTensor } from './data/sources/module.js';
export type { DataSpec } from './data/spec.js';
export type { Feed, FeedTensor, Sample, Target, TargetBox, TypedArray, ValueInfo } from './ir/feed.js';
