/**
 * Which of two runs is better, by more than the noise of what was measured. Runs of the same samples are compared
 * sample by sample; where a record keeps no scores per sample, by their own intervals, which must not meet.
 */
import { normalQuantile } from '../evaluate/distributions.js';
import { pairedMetric } from '../gate/paired.js';
import { OBJECTIVES, type Objective } from '../record/compare.js';
import type { MetricFacts, RunRecord } from '../record/index.js';

type Band = readonly [low: number, high: number];
const CONFIDENCE = 0.95;
/** What two sessions of one file differ by on a quiet machine. */
export const SESSIONS = 0.02;
/** What the peaks of two processes that do the same differ by. */
export const PROCESSES = 0.05;
/** Sizes closer than this are the same: names and paddings. */
export const BYTES = 0.002;

/** Whether `a` is certainly better than `b`; what was not measured is worse than what was. */
export function beats(objective: Objective, a: RunRecord, b: RunRecord): boolean {
  if (objective === 'accuracy') return moreAccurate(a, b);
  const [x, y] = [bandOf(objective, a), bandOf(objective, b)];
  return !!x && (!y || x[0] > y[1]);
}

function moreAccurate(a: RunRecord, b: RunRecord): boolean {
  const [mine, theirs] = [comparedMetric(a), comparedMetric(b)];
  if (!mine || !theirs || mine.name !== theirs.name) return mine !== undefined && theirs === undefined;
  const paired = pairedMetric(a, b, undefined);
  const drop = typeof paired === 'string' ? undefined : paired.interval(CONFIDENCE);
  if (drop) return drop[1] < 0;
  const [x, y] = [metricBand(a, mine), metricBand(b, theirs)];
  return x[0] > y[1];
}

/** Where the metric may be by what was measured; higher is better in it. */
function metricBand({ evaluation }: RunRecord, m: MetricFacts): Band {
  const band: Band =
    m.interval && m.change !== undefined
      ? [m.quantized + m.interval[0] - m.change, m.quantized + m.interval[1] - m.change]
      : m.name === 'same answer' && evaluation
        ? scaled(sameBand(evaluation), 100)
        : [m.quantized, m.quantized];
  return m.higherIsBetter ? band : [-band[1], -band[0]];
}

const scaled = ([low, high]: Band, by: number): Band => [low * by, high * by];
const sameBand = ({ agreement, samples }: NonNullable<RunRecord['evaluation']>): Band =>
  agreement ? shareBand(agreement.same, samples) : [NaN, NaN];

/** Wilson's interval of a share of `n` samples; the share alone where there are none. Wilson 1927, JASA 22:209. */
export function shareBand(share: number, n: number): Band {
  if (!(n > 0)) return [share, share];
  const z = normalQuantile((1 + CONFIDENCE) / 2);
  const centre = (share + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt(Math.max(0, share * (1 - share)) / n + (z * z) / (4 * n * n));
  return [centre - half, centre + half];
}

/** Where a figure may be by what was measured; higher is better in it. Undefined where it was not measured. */
function bandOf(objective: Exclude<Objective, 'accuracy'>, r: RunRecord): Band | undefined {
  const { evaluation, latency, model, runtime } = r;
  const less = (value: number | undefined, share: number, interval?: Band): Band | undefined => {
    const band = around(value, share, interval);
    return band && [-band[1], -band[0]];
  };
  switch (objective) {
    case 'same answer':
      return evaluation?.agreement && sameBand(evaluation);
    case 'latency':
      return less(latency?.quantizedMs.p50, SESSIONS, latency?.quantizedMs.p50Interval);
    case 'speedup':
      return around(latency?.speedup, SESSIONS, latency?.speedupInterval);
    case 'size':
      return less(model.quantized?.bytes, BYTES);
    case 'transport':
      return less(r.transport?.quantized.brotli, BYTES);
    case 'memory':
      return less(latency?.process?.quantized.peakBytes, PROCESSES);
    case 'integer':
      return around(runtime?.integerMacsShare, 0);
  }
}

/** A measured value by its interval, and at least so large a share of it to either side. */
export function around(value: number | undefined, share: number, interval?: Band): Band | undefined {
  if (value === undefined || !Number.isFinite(value)) return undefined;
  const least = share * Math.abs(value);
  return [Math.min(interval?.[0] ?? value, value - least), Math.max(interval?.[1] ?? value, value + least)];
}

/** For each run, in what no other is certainly better; none for what it did not measure. */
export function leadsOf(records: readonly (RunRecord | undefined)[]): Objective[][] {
  return records.map((r) =>
    r ? OBJECTIVES.filter((o) => measures(o, r) && !records.some((x) => x && x !== r && beats(o, x, r))) : [],
  );
}

const measures = (objective: Objective, r: RunRecord): boolean =>
  objective === 'accuracy' ? comparedMetric(r) !== undefined : bandOf(objective, r) !== undefined;

/** What decides which run to ship. */
const SHIPPING = ['accuracy', 'speedup', 'size', 'memory'] as const satisfies readonly Objective[];

/**
 * Which runs no other beats: one that is certainly better in something, and in nothing certainly worse. Ties may run
 * in circles (each beats the next in another figure); all of a circle that nothing outside beats are on the front.
 */
export function frontOfRuns(records: readonly (RunRecord | undefined)[]): boolean[] {
  const over = records.map((a) =>
    records.map(
      (b) =>
        a !== undefined &&
        b !== undefined &&
        a !== b &&
        SHIPPING.some((o) => beats(o, a, b)) &&
        !SHIPPING.some((o) => beats(o, b, a)),
    ),
  );
  const reaches = over.map((row) => [...row]);
  for (const through of reaches.keys())
    for (const row of reaches) if (row[through]) reaches[through]?.forEach((reached, to) => (row[to] ||= reached));
  return records.map(
    (r, i) => r !== undefined && !reaches.some((row, j) => row[i] === true && reaches[i]?.[j] !== true),
  );
}

/** The first metric; without labels, agreement or the cosine of the outputs as one. */
export function comparedMetric({ evaluation }: Pick<RunRecord, 'evaluation'>): MetricFacts | undefined {
  const [first] = evaluation?.metrics ?? [];
  if (first || !evaluation) return first;
  const as = (name: string, unit: string, float: number, quantized: number): MetricFacts => ({
    name,
    unit,
    higherIsBetter: true,
    float,
    quantized,
    change: quantized - float,
  });
  if (evaluation.agreement) return as('same answer', '%', 100, 100 * evaluation.agreement.same);
  return evaluation.outputs.length
    ? as('cosine', 'cosine', 1, Math.min(...evaluation.outputs.map((o) => o.cosine)))
    : undefined;
}
