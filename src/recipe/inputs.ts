/** The files that a recipe reads. */
import path from 'node:path';
import type { ResolvedRecipe } from './load.js';

/** The recipe file, the model, and whatever in its data could be the path of a file; folders of data are themselves. */
export function inputFiles({ recipe, baseDir, file }: ResolvedRecipe): string[] {
  const found: string[] = file === undefined ? [] : [file];
  // Any text of a data block: what is no path exists nowhere, and is no one's file.
  const see = (value: unknown): void => {
    if (typeof value === 'string') found.push(path.resolve(baseDir, value));
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(see);
  };
  see(recipe.model);
  see(recipe.plugins);
  see(recipe.calibration.data);
  see(recipe.evaluation.data);
  see(recipe.evaluation.metrics);
  see(recipe.train?.data);
  see(recipe.distill?.teacher.model);
  see(recipe.distill?.student?.model);
  return found;
}
