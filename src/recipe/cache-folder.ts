/** Where a run keeps what the next may go on from. */
import path from 'node:path';

/** `.cache/quantbench` beside the recipe for true, or the folder that a recipe names; undefined for false. */
export function cacheFolder(given: boolean | string, baseDir: string): string | undefined {
  if (given === false) return undefined;
  return given === true ? path.join(baseDir, '.cache', 'quantbench') : path.resolve(baseDir, given);
}
