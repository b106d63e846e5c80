/** Scans of families of channels, as tables: which of them are sensitive. */
import type { CompressionFacts } from '../record/index.js';
import { count, fixed, percent } from './text.js';

export interface ScanTable {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** One for each step that scanned: what the metric loses at each share, or else what the outputs change. */
export function scanTables({ states }: CompressionFacts): ScanTable[] {
  return states.flatMap(({ name, scan }) => {
    if (!scan) return [];
    const { metric, families, samples } = scan;
    const shares = families[0]?.points.map((p) => percent(p.share, 0)) ?? [];
    const lost = metric ? shares.map((s) => `${metric.name} without ${s}`) : [];
    return [
      {
        title:
          `Before ${name}: each family of channels alone without its least important ones, nothing fitted, on up to ` +
          `${count(samples)} calibration samples` +
          (metric ? ` (${metric.name} of the whole model: ${valueText(metric.whole, metric.unit)}).` : '.'),
        head: ['family', 'channels', ...lost, ...shares.map((s) => `outputs change without ${s}`)],
        rows: families.map((f) => [
          familyName(f.makers),
          count(f.units),
          ...(metric ? f.points.map((p) => (p.value === undefined ? '–' : valueText(p.value, metric.unit))) : []),
          ...f.points.map((p) => percent(p.change, 2)),
        ]),
      },
    ];
  });
}
const valueText = (value: number, unit: string): string => `${fixed(value, 2)} ${unit}`.trim();
const familyName = ([first = '–', ...others]: readonly string[]): string =>
  others.length ? `${first} and ${others.length} more` : first;
