/** What runs write, held against what they read. */
import path from 'node:path';
import { requireTemporaryFolder } from '../base/environment-errors.js';
import { refuseOverwriting } from '../base/outputs.js';
import type { Model } from '../ir/model.js';
import { inputFiles } from '../recipe/inputs.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { dataFiles } from './sources.js';

/** Files that a run puts into its output folder; `auto` adds the recipe that it found. */
const WRITTEN = ['model.onnx', 'simulated.onnx', 'README.md', 'run.json', 'report.md', 'report.html'] as const;
export const FOUND_RECIPE = 'recipe.yaml';

/**
 * Throws OUTPUT_WRITE, before any work, where an output folder would get a file in the place of the model, its data
 * files, the recipe or the data, or where there is no room for temporary files.
 */
export function checkOutputs(
  runs: readonly { readonly recipe: ResolvedRecipe; readonly outDir: string }[],
  model?: Model,
  more: readonly string[] = [],
): void {
  const inputs = [...runs.flatMap((r) => inputFiles(r.recipe)), ...(model ? dataFiles(model) : [])];
  refuseOverwriting(
    runs.flatMap((r) => [...WRITTEN, ...more].map((name) => path.join(r.outDir, name))),
    inputs,
  );
  requireTemporaryFolder();
}
