/** When recipes run together. */
import path from 'node:path';
import type { ResolvedRecipe } from '../recipe/load.js';
import { pluginKey } from '../recipe/plugins.js';
import { adjustKey } from './adjust-key.js';

/** What recipes must have in common to run together. */
export function frontOf({ recipe: r, baseDir, plugins }: ResolvedRecipe): string {
  return JSON.stringify([
    r.model && path.resolve(baseDir, r.model),
    baseDir,
    r.compress,
    r.train,
    r.distill,
    r.optimize,
    adjustKey(r),
    r.calibration,
    r.evaluation,
    r.target,
    pluginKey(plugins),
  ]);
}
