/** The paths that a recipe names. */
import { PATH_KEYS } from '../data/spec.js';
import { isPlain, type Plain } from './override.js';
import type { Recipe } from './schema.js';

const PATHS: ReadonlySet<string> = new Set(PATH_KEYS);
/** Of npz they are keys within the archive. */
const PATH_KEYS_OF_NPY: ReadonlySet<string> = new Set(['labels', 'targets']);

/** As plain JSON, with every path of the recipe changed. */
export function mapPaths(recipe: Recipe, change: (p: string) => string): Plain {
  const all = (value: unknown): unknown => {
    if (typeof value === 'string') return change(value);
    if (isPlain(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, all(v)]));
    return Array.isArray(value) ? value.map(all) : value;
  };
  const isPath = (spec: Plain, key: string, v: unknown): boolean =>
    (PATHS.has(key) && !(key === 'classes' && Array.isArray(v))) ||
    (spec.npy !== undefined && PATH_KEYS_OF_NPY.has(key));
  const data = (spec: Plain | undefined): Plain | undefined =>
    spec && Object.fromEntries(Object.entries(spec).map(([key, v]) => [key, isPath(spec, key, v) ? all(v) : v]));
  const { quantize } = recipe as Partial<Recipe>; // that of a trial has what is given alone
  const weights = quantize?.weights;
  const folder = (given: boolean | string | undefined): unknown => (typeof given === 'string' ? all(given) : given);
  return JSON.parse(
    JSON.stringify({
      ...recipe,
      model: recipe.model === undefined ? undefined : all(recipe.model),
      plugins: recipe.plugins && all(recipe.plugins),
      train: recipe.train && {
        ...recipe.train,
        data: data(recipe.train.data),
        checkpoint: folder(recipe.train.checkpoint),
      },
      distill: recipe.distill && {
        ...recipe.distill,
        teacher: { ...recipe.distill.teacher, model: all(recipe.distill.teacher.model) },
        ...(recipe.distill.student
          ? { student: { ...recipe.distill.student, model: all(recipe.distill.student.model) } }
          : {}),
      },
      quantize: weights ? { ...quantize, weights: { ...weights, checkpoint: folder(weights.checkpoint) } } : quantize,
      export: (recipe as Partial<Recipe>).export && { ...recipe.export, from: folder(recipe.export.from) },
      calibration: { ...recipe.calibration, data: data(recipe.calibration.data) },
      evaluation: {
        ...recipe.evaluation,
        data: data(recipe.evaluation.data),
        metrics: recipe.evaluation.metrics?.map((m) =>
          typeof m === 'string' || 'name' in m ? m : { ...m, module: all(m.module) },
        ),
      },
    }),
  ) as Plain; // through JSON, which drops what is undefined; a recipe is a mapping
}
