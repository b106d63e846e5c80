/** The library: load or build a recipe, run it, read the record. Nothing here prints; listen with `onEvent`. */
export { QuantError, ERROR_CODES, exitCodeOf, type Diagnostic, type ErrorCode, type Where } from './base/errors.js';
export type { OnEvent, RunEvent } from './base/events.js';
export { version } from './base/version.js';
export { exitCodeOfVerdict, gateSpec, judgeRun, type GateSettings } from './gate/index.js';
export type { Graph, Model, Node, Value } from './ir/graph.js';
export { parseModel } from './ir/text/parse.js';
export { printModel } from './ir/text/print.js';
export { loadModel, saveModel, type SaveOptions } from './onnx/files.js';
export { runRecipe, type RunOptions } from './pipeline/run.js';
export { readRun } from './record/read.js';
export type * from './record/index.js';
export { loadRecipe, resolveRecipe, type RecipeOverrides, type ResolvedRecipe } from './recipe/load.js';
export type { Recipe, RecipeInput } from './recipe/schema.js';
export { renderHtml, renderMarkdown } from './report/index.js';
export { differences, openStore, parseReference, type Named, type Reference, type Stage, type Store, type Version } from './store/index.js';
