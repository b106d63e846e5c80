/** Names of the metrics of one evaluation. */
import { fail } from '../base/errors.js';
import type { ChosenMetric } from './types.js';

/**
 * Metrics that are chosen more than once get what tells them apart into their names, so that records and gates can:
 * `map` and `map` with iou 0.5 become `map` and `map iou=0.5`. Throws RECIPE_INVALID where nothing does.
 */
export function withDistinctNames(chosen: readonly ChosenMetric[]): ChosenMetric[] {
  const seen = new Set<string>();
  return chosen.map((c) => {
    const others = chosen.filter((o) => o.metric.name === c.metric.name);
    const own = entries(c);
    const differing = own.filter(([key, v]) =>
      others.some((o) => JSON.stringify(new Map(entries(o)).get(key)) !== JSON.stringify(v)),
    );
    const name = [
      c.metric.name,
      ...differing.map(([key, v]) => `${key}=${typeof v === 'string' ? v : JSON.stringify(v)}`),
    ].join(' ');
    if (seen.has(name))
      fail('RECIPE_INVALID', `metric ${name} is named twice`, {}, 'remove one, or give them other options');
    seen.add(name);
    return name === c.metric.name ? c : { ...c, metric: { ...c.metric, name } };
  });
}

/** Options that are set. */
const entries = ({ options }: ChosenMetric): [string, unknown][] =>
  typeof options === 'object' && options !== null ? Object.entries(options).filter(([, v]) => v !== undefined) : [];
