/** The limit of a search in the unit of its metric, and the formats it may use. */
import { fail } from '../base/errors.js';
import { comparedMetric } from '../compare/noise.js';
import { marginOf, type Margin } from '../gate/limits.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { RunRecord } from '../record/index.js';

/** What the target of a recipe runs beside float. */
export function formatsOf({ recipe, plugins }: ResolvedRecipe): readonly string[] {
  return plugins.targets.find((t) => t.name === recipe.target)!.formats; // the schema allows names of the list only
}

/** The limit in the unit of the metric: points of a correlation are hundredths, as it is usually told × 100. */
export function limitOf(text: Margin, record: Pick<RunRecord, 'evaluation'>): number {
  const metric =
    comparedMetric(record) ??
    fail('DATA_MISSING', 'a search needs evaluation data', {}, 'set evaluation.data or pass --evaluation-data');
  return limitFor(text, metric, metric.float ?? 0);
}

/** As {@link limitOf}, of a metric that scores `before` for float. Throws USAGE where the unit is not the metric's. */
export function limitFor(
  text: Margin,
  metric: { readonly name: string; readonly unit: string },
  before: number,
): number {
  const limit = marginOf(text, metric, before);
  if (typeof limit === 'number') return limit;
  if (metric.unit === 'correlation' && typeof text === 'string') return Number(/[\d.]+/.exec(text)?.[0]) / 100;
  return fail(
    'USAGE',
    limit,
    {},
    '--max-accuracy-drop takes 0.5% for metrics in %, "1% relative", or a number in the unit of the metric',
  );
}
