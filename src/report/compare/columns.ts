/** The columns of a comparison, for both renderings: how each is shown, and which run is best in it. */
import type { CompareRecord, CompareRun } from '../../record/index.js';
import { intervalText, metricChange, metricValue } from '../summary.js';
import { bytes, fixed, isNumber, ms, percent } from '../text.js';

export interface CompareColumn {
  readonly title: string;
  readonly shown: (run: CompareRun) => string;
  /** In small letters under it: the interval, mostly. */
  readonly note?: (run: CompareRun) => string;
  readonly value: (run: CompareRun) => number | undefined;
  readonly best: 'highest' | 'lowest';
  /** The same of the float model. */
  readonly float?: string;
}

const between = (i: readonly [number, number] | undefined, shown: (v: number) => string): string => (i ? `${shown(i[0])} … ${shown(i[1])}` : '');

/** Only those in which some run has a value. */
export function compareColumns(record: CompareRecord): CompareColumn[] {
  const metric = record.runs.find((r) => r.metric)?.metric;
  const all: CompareColumn[] = [
    { title: metric?.name ?? 'metric', shown: (r) => (r.metric ? metricValue(r.metric, r.metric.quantized) : '–'), value: (r) => r.metric?.quantized, float: metric ? metricValue(metric, record.float.metric) : '–', best: metric?.higherIsBetter === false ? 'lowest' : 'highest' },
    { title: 'change', shown: (r) => (r.metric ? metricChange(r.metric) : '–'), note: (r) => (r.metric ? intervalText(r.metric) : ''), value: (r) => r.metric?.change, best: metric?.higherIsBetter === false ? 'lowest' : 'highest' },
    { title: 'same answer', shown: (r) => percent(r.agreement?.same), value: (r) => r.agreement?.same, best: 'highest' },
    { title: 'latency p50', shown: (r) => ms(r.latencyMs), note: (r) => between(r.latencyInterval, ms), value: (r) => r.latencyMs, best: 'lowest', float: ms(record.float.latencyMs) },
    { title: 'against float', shown: (r) => (isNumber(r.speedup) ? `${fixed(r.speedup, 2)} ×` : '–'), note: (r) => between(r.speedupInterval, (v) => fixed(v, 2)), value: (r) => r.speedup, best: 'highest' },
    { title: 'size', shown: (r) => bytes(r.bytes), note: (r) => (isNumber(r.sizeRatio) ? `${fixed(r.sizeRatio, 2)} × float` : ''), value: (r) => r.bytes, best: 'lowest', float: bytes(record.model.bytes) },
    { title: 'peak memory', shown: (r) => bytes(r.peakBytes), value: (r) => r.peakBytes, best: 'lowest', float: bytes(record.float.peakBytes) },
    { title: 'integer MACs', shown: (r) => percent(r.integerMacsShare), value: (r) => r.integerMacsShare, best: 'highest' },
  ];
  return all.filter((c) => record.runs.some((r) => isNumber(c.value(r))));
}

/** Whether a run is the best of its column; nobody is where all are equal. */
export function isBest(column: CompareColumn, run: CompareRun, runs: readonly CompareRun[]): boolean {
  const values = runs.filter((r) => r.outcome === 'ok').map(column.value).filter(isNumber);
  const value = column.value(run);
  if (run.outcome !== 'ok' || !isNumber(value) || new Set(values).size < 2) return false;
  return value === values.reduce((a, b) => (column.best === 'highest' ? Math.max(a, b) : Math.min(a, b)));
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
