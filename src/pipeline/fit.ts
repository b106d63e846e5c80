/** What of a recipe would open a model that is too large for it: left out, and told of before the run starts. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { QuantError, type Diagnostic } from '../base/errors.js';
import { bytesText } from '../base/text.js';
import { loadModel } from '../onnx/files.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { isTooLarge, MAPPED_TIMES, openedFor, OPENED_TIMES } from './large.js';
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
  const { bytes, fileBytes } = runs[0] ? sizesOf(runs[0].recipe) : NOTHING;
  const told = new Map<string, Diagnostic>();
  const fitted = runs.map((run): Run => {
    const { recipe } = run.recipe;
    if (!isTooLarge(bytes, recipe)) return run;
    const left = LEFT_OUT.filter((key) => recipe.evaluation[key] !== false);
    const parts = [
      ...(left.length ? [`evaluation.${left.join(', evaluation.')} left out`] : []),
      HOW[openedFor({ bytes, fileBytes }, recipe)](bytes),
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

const NOTHING = { bytes: 0, fileBytes: 0 };
const HOW = {
  together: () => 'both models are opened for the evaluation data, which takes two to three times their bytes',
  'in turns': (bytes: number) =>
    'the models are opened one after the other for the evaluation data, which takes ' +
    `${bytesText(MAPPED_TIMES * bytes)}, with outputs of the float model in a file of at most 2 GB`,
  never: () => 'the result is checked product by product instead of being run as a whole',
} as const;

/** Of the model with its data files, and without; 0 where it cannot be read, which is told of where it is needed. */
export function sizesOf({ recipe: { model }, baseDir }: ResolvedRecipe): typeof NOTHING {
  if (model === undefined) return NOTHING;
  const file = path.resolve(baseDir, model);
  try {
    const { size } = statSync(file);
    return { bytes: size > INLINE_BYTES ? size : bytesOnDisk(file, loadModel(file)), fileBytes: size };
  } catch (error) {
    if (error instanceof QuantError || (error instanceof Error && 'code' in error)) return NOTHING;
    throw error;
  }
}
