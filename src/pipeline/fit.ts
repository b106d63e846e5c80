/** What of a recipe would open a model that is too large for it: left out, and told of before the run starts. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { QuantError, type Diagnostic } from '../base/errors.js';
import { bytesText } from '../base/text.js';
import { loadModel } from '../onnx/files.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { isTooLarge, opensFloat, OPENED_TIMES } from './large.js';
import { bytesOnDisk } from './sources.js';

interface Run {
  readonly recipe: ResolvedRecipe;
  readonly outDir: string;
}
/** Larger files hold their weights themselves: they are not read twice. */
const INLINE_BYTES = 64e6;
const LEFT_OUT = ['latency', 'layers', 'profile', 'sensitivity', 'generation'] as const;

/** Recipes as they can be run, and what to say of that. All share one model. */
export function fitToMemory(runs: readonly Run[]): { readonly runs: readonly Run[]; readonly told: Diagnostic[] } {
  const bytes = runs[0] ? bytesOf(runs[0].recipe) : 0;
  const told = new Map<string, Diagnostic>();
  const fitted = runs.map((run): Run => {
    const { recipe } = run.recipe;
    if (!isTooLarge(bytes, recipe)) return run;
    const left = LEFT_OUT.filter((key) => recipe.evaluation[key] !== false);
    const evaluates = opensFloat(bytes, recipe);
    const parts = [
      ...(left.length ? [`evaluation.${left.join(', evaluation.')} left out`] : []),
      evaluates
        ? 'both models are opened for the evaluation data, which takes two to three times their bytes'
        : 'the result is checked product by product instead of being run as a whole',
    ];
    const message = `the model has ${bytesText(bytes)}: ${parts.join('; ')}`;
    told.set(message, {
      severity: 'note',
      code: 'LARGE_MODEL',
      message,
      hint:
        `memory: ${Math.ceil((OPENED_TIMES * bytes) / 1e9)} GB or more in the recipe opens it and measures all that ` +
        'it asks for',
    });
    const off = Object.fromEntries(left.map((key) => [key, false] as const));
    const evaluation = { ...recipe.evaluation, ...off };
    return { ...run, recipe: { ...run.recipe, recipe: { ...recipe, evaluation } } };
  });
  return { runs: fitted, told: [...told.values()] };
}

/** Of the model and its data files; 0 where it cannot be read, which is told of where it is needed. */
function bytesOf({ recipe: { model }, baseDir }: ResolvedRecipe): number {
  if (model === undefined) return 0;
  const file = path.resolve(baseDir, model);
  try {
    const { size } = statSync(file);
    return size > INLINE_BYTES ? size : bytesOnDisk(file, loadModel(file));
  } catch (error) {
    if (error instanceof QuantError || (error instanceof Error && 'code' in error)) return 0;
    throw error;
  }
}
