/** What a run is asked for, and what it gives. */
import type { QuantError } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { RunRecord } from '../record/index.js';
import type { SearchOnly } from './check.js';

export interface RunListener {
  readonly onEvent?: OnEvent;
  readonly signal?: AbortSignal;
  /** Turns a record into further files of its output folder (report.md, report.html). */
  readonly render?: (record: RunRecord) => Readonly<Record<string, string>>;
  /** Adds to a record what the run itself does not know, before it is rendered. */
  readonly complete?: (record: RunRecord) => RunRecord;
}
export interface RunOptions extends RunListener {
  readonly recipe: ResolvedRecipe;
  /** Receives model.onnx and, through the caller, the reports. Created where it does not exist. */
  readonly outDir: string;
  /** Stops after planning: nothing is measured or written. */
  readonly dryRun?: boolean;
}
export interface RunsOptions extends RunListener {
  /** At least one; all of the same `frontOf`. */
  readonly runs: readonly { readonly recipe: ResolvedRecipe; readonly outDir: string }[];
  readonly title: string;
  readonly dryRun?: boolean;
  /** Whether layers, sensitivity and kernels are looked into, where the recipe asks for it. Default: true. */
  readonly detail?: boolean;
  /** Whether a recipe that fails is left out and told of, instead of stopping all. */
  readonly keepGoing?: boolean;
  /** Evaluates on the search part of the samples alone. */
  readonly searchOnly?: SearchOnly;
  /** Whether a record, and what it is of, is put into its folder. Default: it is. */
  readonly wanted?: (record: RunRecord) => boolean;
  /** Whether folders of `export.layout` are written. Default: they are. */
  readonly layouts?: boolean;
  /** The caller has looked at the float model with {@link lookAtFloat}. */
  readonly lookedAt?: boolean;
}
export type RunResult =
  | { readonly outDir: string; readonly record: RunRecord; readonly error?: undefined }
  | { readonly outDir: string; readonly error: QuantError };
