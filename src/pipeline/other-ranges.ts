/** A second try with other ranges, where the first leaves outputs that say something else than those of float. */
import { QuantError, type Diagnostic } from '../base/errors.js';
import { derive, type ResolvedRecipe } from '../recipe/load.js';
import type { RunRecord } from '../record/index.js';
import { closeness, FAR } from './gain.js';
import { asksOf, has } from './stages.js';

/** Ranges that err least lose the few largest values, which widen all steps where channels differ much. */
const OTHER = 'mse';

/** How a run is tried: its record is kept only where it is wanted, and holds what is told. */
export interface Try {
  readonly recipe: ResolvedRecipe;
  readonly wanted?: (record: RunRecord) => boolean;
  readonly told?: Diagnostic;
}

/**
 * What a run gives; where that is far from float, or too far to be written, and the recipe leaves the ranges of
 * activations open, the better of it and a run with ranges of least error. Throws what the first run throws.
 */
export async function bestOfRanges<T extends { readonly record: RunRecord }>(
  recipe: ResolvedRecipe,
  attempt: (t: Try) => Promise<T>,
  report: (d: Diagnostic) => void,
): Promise<T> {
  const first = await orCollapsed(attempt({ recipe }));
  const before = first instanceof QuantError ? -Infinity : closeness(first.record);
  const other = before < FAR ? await withOtherRanges(recipe) : undefined;
  if (other) {
    const { name } = recipe.recipe.quantize.activations.observer;
    const seen =
      first instanceof QuantError
        ? first.message.replace(/; no model was written$/, '')
        : `outputs are as close to float as ${before.toFixed(3)} (1: the same)`;
    const told: Diagnostic = {
      severity: 'note',
      code: 'OTHER_RANGES',
      message: `with ranges of activations by ${name}, ${seen}: once more with ${OTHER}, and the better of both is kept`,
      hint: 'quantize.activations.observer in the recipe says which it shall be',
    };
    report(told);
    const better = (record: RunRecord): boolean => closeness(record) > before;
    const second = await orCollapsed(attempt({ recipe: other, wanted: better, told }));
    if (!(second instanceof QuantError) && better(second.record)) return second;
  }
  if (first instanceof QuantError) throw first;
  return first;
}

async function orCollapsed<T>(run: Promise<T>): Promise<T | QuantError> {
  try {
    return await run;
  } catch (error) {
    if (error instanceof QuantError && error.code === 'QUANTIZE_COLLAPSED') return error;
    throw error;
  }
}

/** Undefined where the recipe says how ranges are chosen, nothing is calibrated, or the model is changed besides. */
async function withOtherRanges(r: ResolvedRecipe): Promise<ResolvedRecipe | undefined> {
  const { quantize, compress, train, distill } = r.recipe;
  const written = r.written?.quantize as { readonly activations?: { readonly observer?: unknown } } | undefined;
  if (written?.activations?.observer !== undefined || r.sweep) return undefined;
  if (compress.length || train || distill) return undefined;
  if (!has(asksOf(r.recipe), 'calibrate')) return undefined;
  const activations = { ...quantize.activations, observer: OTHER };
  return derive(r, { quantize: { ...quantize, activations } }, { baseDir: r.baseDir });
}
