/** When recipes run together. */
import path from 'node:path';
import type { ResolvedRecipe } from '../recipe/load.js';
import { pluginKey } from '../recipe/plugins.js';
import { adjustKey } from './adjust-key.js';
import { passesOf } from './prepare.js';

/** What recipes must have in common to run together. */
export function frontOf(resolved: ResolvedRecipe): string {
  const { recipe: r, baseDir, plugins } = resolved;
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
    cleaningOf(resolved),
    pluginKey(plugins),
  ]);
}

/** Targets share a front where the same passes make the same model for them. */
const cleaningOf = (resolved: ResolvedRecipe): readonly string[] => passesOf(resolved).map((p) => p.name);
