/** Limits held against the metrics that they are for, before anything is measured or judged. */
import type { Metric } from '../evaluate/types.js';
import { marginOf, valueOf } from './limits.js';
import type { GateSettings } from './settings.js';

export interface Misfit {
  readonly rule: 'accuracyDrop' | 'minAccuracy' | 'classDrop';
  readonly key: string;
  readonly message: string;
}

/**
 * The first limit that does not fit its metric: one without a unit for a metric in %, one in % for another, or one for
 * a metric that is not among `metrics`, of which the first is judged where a rule names none.
 */
export function misfit(settings: GateSettings, metrics: readonly Pick<Metric, 'name' | 'unit'>[]): Misfit | undefined {
  const of = (name: string | undefined): Pick<Metric, 'name' | 'unit'> | undefined =>
    name === undefined ? metrics[0] : metrics.find((m) => m.name === name);
  const { accuracyDrop, minAccuracy, classDrop } = settings;
  for (const [rule, limits] of Object.entries({ accuracyDrop, minAccuracy, classDrop }) as [
    Misfit['rule'],
    { metric?: string } | undefined,
  ][]) {
    // the keys are these
    if (limits?.metric !== undefined && metrics.length && !of(limits.metric))
      return {
        rule,
        key: 'metric',
        message:
          `"${limits.metric}" is not one of the metrics that are measured: ` +
          `${metrics.map((m) => m.name).join(', ')}`,
      };
  }
  const [dropped, least] = [of(accuracyDrop?.metric), of(minAccuracy?.metric)];
  const drop = accuracyDrop && dropped && marginOf(accuracyDrop.max, dropped, 1);
  if (typeof drop === 'string') return { rule: 'accuracyDrop', key: 'max', message: drop };
  const value = minAccuracy && least && valueOf(minAccuracy.min, least);
  return typeof value === 'string' ? { rule: 'minAccuracy', key: 'min', message: value } : undefined;
}
