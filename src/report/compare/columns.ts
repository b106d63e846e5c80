/** The columns of a comparison, for both renderings: how each is shown, and which run is best in it. */
import { around, BYTES, PROCESSES, SESSIONS, shareBand } from '../../compare/noise.js';
import type { CompareRecord, CompareRun, Objective } from '../../record/index.js';
import { intervalText, metricChange, metricValue } from '../summary.js';
import { bytes, fixed, isNumber, ms, percent } from '../text.js';

export interface CompareColumn {
  readonly title: string;
  readonly shown: (run: CompareRun) => string;
  /** In small letters under it: the interval, mostly. */
  readonly note?: (run: CompareRun) => string;
  readonly value: (run: CompareRun) => number | undefined;
  /** What runs lead in, by the record. */
  readonly objective: Objective;
  /**
   * Where the value may be by what was measured; runs whose bands meet are as good as each other. Default: the value
   * alone. For records that do not tell which runs lead.
   */
  readonly band?: (run: CompareRun) => readonly [number, number] | undefined;
  readonly best: 'highest' | 'lowest';
  /** The same of the float model. */
  readonly float?: string;
}

const between = (i: readonly [number, number] | undefined, shown: (v: number) => string): string =>
  i ? `${shown(i[0])} … ${shown(i[1])}` : '';

/** Only those in which some run has a value. */
export function compareColumns(record: CompareRecord): CompareColumn[] {
  const metric = record.runs.find((r) => r.metric)?.metric;
  const all: CompareColumn[] = [
    {
      title: metric?.name ?? 'metric',
      shown: (r) => (r.metric ? metricValue(r.metric, r.metric.quantized) : '–'),
      objective: 'accuracy',
      value: (r) => r.metric?.quantized,
      band: quantizedBand,
      float: metric ? metricValue(metric, record.float.metric) : '–',
      best: metric?.higherIsBetter === false ? 'lowest' : 'highest',
    },
    {
      title: 'change',
      shown: (r) => (r.metric ? metricChange(r.metric) : '–'),
      note: (r) => (r.metric ? intervalText(r.metric) : ''),
      objective: 'accuracy',
      value: (r) => r.metric?.change,
      band: (r) => r.metric?.interval,
      best: metric?.higherIsBetter === false ? 'lowest' : 'highest',
    },
    {
      title: 'same answer',
      shown: (r) => percent(r.agreement?.same),
      objective: 'same answer',
      value: (r) => r.agreement?.same,
      band: (r) => r.agreement && shareBand(r.agreement.same, record.samples ?? 0),
      best: 'highest',
    },
    {
      title: 'latency p50',
      shown: (r) => ms(r.latencyMs),
      note: (r) => between(r.latencyInterval, ms),
      objective: 'latency',
      value: (r) => r.latencyMs,
      band: (r) => around(r.latencyMs, SESSIONS, r.latencyInterval),
      best: 'lowest',
      float: ms(record.float.latencyMs),
    },
    {
      title: 'against float',
      shown: (r) => (isNumber(r.speedup) ? `${fixed(r.speedup, 2)} ×` : '–'),
      note: (r) => between(r.speedupInterval, (v) => fixed(v, 2)),
      objective: 'speedup',
      value: (r) => r.speedup,
      band: (r) => around(r.speedup, SESSIONS, r.speedupInterval),
      best: 'highest',
    },
    {
      title: 'size',
      shown: (r) => bytes(r.bytes),
      note: (r) => (isNumber(r.sizeRatio) ? `${fixed(r.sizeRatio, 2)} × float` : ''),
      objective: 'size',
      value: (r) => r.bytes,
      band: (r) => around(r.bytes, BYTES),
      best: 'lowest',
      float: bytes(record.model.bytes),
    },
    {
      title: 'as brotli',
      shown: (r) => bytes(r.brotliBytes),
      objective: 'transport',
      value: (r) => r.brotliBytes,
      band: (r) => around(r.brotliBytes, BYTES),
      best: 'lowest',
    },
    {
      title: 'peak memory',
      shown: (r) => bytes(r.peakBytes),
      objective: 'memory',
      value: (r) => r.peakBytes,
      band: (r) => around(r.peakBytes, PROCESSES),
      best: 'lowest',
      float: bytes(record.float.peakBytes),
    },
    {
      title: 'integer MACs',
      shown: (r) => percent(r.integerMacsShare),
      objective: 'integer',
      value: (r) => r.integerMacsShare,
      best: 'highest',
    },
  ];
  return all.filter((c) => record.runs.some((r) => isNumber(c.value(r))));
}

/** Whether a run is the best of its column, or as good as that one by what was measured; nobody is where all are. */
export function isBest(column: CompareColumn, run: CompareRun, runs: readonly CompareRun[]): boolean {
  const measured = runs.filter((r) => r.outcome === 'ok' && isNumber(column.value(r)));
  if (!measured.includes(run) || measured.length < 2) return false;
  if (measured.some((r) => r.leads)) {
    const leads = (r: CompareRun): boolean => r.leads?.includes(column.objective) === true;
    return leads(run) && !measured.every(leads);
  }
  const value = (r: CompareRun): number => column.value(r) ?? NaN; // filtered to those that have one
  const best = measured.reduce((a, b) =>
    (column.best === 'highest' ? value(b) > value(a) : value(b) < value(a)) ? b : a,
  );
  const band = (r: CompareRun): readonly [number, number] => column.band?.(r) ?? [value(r), value(r)];
  const ties = (r: CompareRun): boolean => r === best || (band(r)[0] <= band(best)[1] && band(r)[1] >= band(best)[0]);
  return ties(run) && !measured.every(ties);
}

/** The value by the interval of its change. */
function quantizedBand({ metric: m }: CompareRun): readonly [number, number] | undefined {
  return m?.interval && m.change !== undefined
    ? [m.quantized + m.interval[0] - m.change, m.quantized + m.interval[1] - m.change]
    : undefined;
}

/** A, B, … Z, AA, AB, …: what stands for a run where its label has no room. */
export function letter(i: number): string {
  return (i >= 26 ? letter(Math.floor(i / 26) - 1) : '') + String.fromCharCode(65 + (i % 26));
}

/** The sentence on top: the choice, or why there is none. */
export function choice(record: CompareRecord): string {
  if (record.chosen) return record.chosen.sentence;
  const failed = record.runs.filter((r) => r.outcome === 'failed').length;
  if (!record.runs.length) return 'There is no run to compare.';
  return failed === record.runs.length ? 'All runs failed.' : 'No run is chosen.';
}
