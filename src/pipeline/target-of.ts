/** The runtime of a recipe. */
import { byName } from '../base/lists.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { Target } from '../targets/types.js';

export const targetOf = ({ recipe, plugins }: Pick<ResolvedRecipe, 'recipe' | 'plugins'>): Target =>
  byName(plugins.targets, recipe.target);

/** Whether a folder is made for a runtime: files of its own, or one of several runtimes that the recipe names. */
export function isForRuntime(recipe: Pick<ResolvedRecipe, 'recipe' | 'plugins' | 'sweep'>): boolean {
  const { host, emitter } = targetOf(recipe);
  return emitter !== undefined || host === 'simulated' || recipe.sweep?.byTarget === true;
}

/** Whether a runtime loads another model than the ONNX one that is measured: only its own files tell what it weighs. */
export const loadsOther = ({ artefact, host }: Target): boolean => artefact === 'files' && host === 'simulated';
