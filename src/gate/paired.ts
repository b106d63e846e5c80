/** One metric of two models that saw the same samples: the value before and after, the drop, and how sure it is. */
import type { MetricFacts, RunRecord } from '../record/index.js';
import { shareInterval } from '../evaluate/distributions.js';
import {
  bootstrapDropInterval,
  dropsOf,
  meanDropInterval,
  shareDropInterval,
  type Interval,
} from '../evaluate/intervals.js';
import { fixed, points, real } from './rule.js';

export interface PairedMetric {
  readonly name: string;
  readonly unit: string;
  readonly higherIsBetter: boolean;
  readonly samples: number;
  /** Of the model that is compared with. */
  readonly before: number;
  readonly after: number;
  /** By how much the metric got worse, in its unit; below zero where it got better. */
  readonly drop: number;
  /**
   * Of the drop; `samples` other than those there are tell what more would give. Undefined where they are too few to
   * tell.
   */
  interval(confidence: number, samples?: number): Interval | undefined;
  /** Of the value after; undefined where the record cannot tell. */
  valueInterval(confidence: number, samples?: number): Interval | undefined;
}

/**
 * Fewer samples than this have no interval of a mean, nor have scores that are all zero: nothing tells how large others
 * would be.
 */
const FEWEST = 10;

/**
 * The metric `name` (default: the first), or why it cannot be compared. With a baseline, its quantized model is what is
 * compared with.
 */
export function pairedMetric(
  run: RunRecord,
  baseline: RunRecord | undefined,
  name: string | undefined,
): PairedMetric | string {
  const metric = metricOf(run, name, 'the run');
  if (typeof metric === 'string') return metric;
  const { paired } = metric;
  if (!paired)
    return (
      `the record keeps no scores per sample of ${metric.name}, which intervals need; make it again with this ` +
      'version'
    );
  if (!baseline) return fromScores(metric, paired, metric.float);
  const other = metricOf(baseline, metric.name, 'the baseline');
  if (typeof other === 'string') return other;
  const [mine, theirs] = [run.evaluation?.sampleSet, baseline.evaluation?.sampleSet];
  if (mine === undefined || theirs === undefined)
    return (
      `${mine === undefined ? 'the run' : 'the baseline'} does not say which samples it saw, so that the two ` +
      'cannot be paired'
    );
  if (mine !== theirs) return 'the baseline saw other samples; evaluate both on the same data';
  if (!other.paired)
    return `the record of the baseline keeps no scores per sample of ${metric.name}; make it again with this version`;
  if (paired.kind === 'share' && other.paired.kind === 'share')
    return fromScores(
      metric,
      { kind: 'share', float: other.paired.quantized, quantized: paired.quantized },
      other.quantized,
    );
  if (paired.kind === 'mean' && other.paired.kind === 'mean')
    return fromScores(
      metric,
      { kind: 'mean', float: other.paired.quantized, quantized: paired.quantized },
      other.quantized,
    );
  return (
    `${metric.name} is no mean of scores per sample, so that the record of the run cannot be paired with the ` +
    `baseline's; judge it against float`
  );
}

function metricOf(run: RunRecord, name: string | undefined, who: string): MetricFacts | string {
  if (!run.evaluation) return `${who} was not evaluated: it has no evaluation data`;
  const { metrics, samples } = run.evaluation;
  if (!samples) return `${who} was evaluated on no sample`;
  const [first] = metrics;
  if (!first) return `${who} measured no metric: its evaluation data have no labels, or its recipe names none`;
  return name === undefined
    ? first
    : (metrics.find((m) => m.name === name) ??
        `${who} has no metric "${name}"; it measured ${metrics.map((m) => m.name).join(', ')}`);
}

function fromScores(
  metric: MetricFacts,
  paired: NonNullable<MetricFacts['paired']>,
  reference: number | undefined,
): PairedMetric | string {
  const { name, unit, higherIsBetter } = metric;
  const sign = higherIsBetter ? 1 : -1;
  const base = { name, unit, higherIsBetter };
  if (paired.kind === 'bootstrap') {
    const { samples, changes } = paired;
    const { change, quantized } = metric;
    if (
      change === undefined ||
      reference === undefined ||
      ![change, reference, quantized, ...changes].every(Number.isFinite)
    )
      return `${name} has no finite value of both models`;
    const drops = changes.map((c) => -sign * c).sort((a, b) => a - b);
    const drop = -sign * change;
    const known = (confidence: number): Interval | undefined => bootstrapDropInterval(drops, drop, samples, confidence);
    return {
      ...base,
      samples,
      before: reference,
      after: quantized,
      drop,
      interval: (confidence, n = samples) => {
        const shrink = Math.sqrt(samples / n);
        // two ends in, two out
        return known(confidence)?.map((end) => drop + shrink * (end - drop)) as [number, number] | undefined;
      },
      valueInterval: () => undefined,
    };
  }
  const n = paired.float.length;
  if (!n) return `${name} scored no sample`;
  if (paired.quantized.length !== n)
    return `${name} scored ${n} samples of one model and ${paired.quantized.length} of the other`;
  if (paired.kind === 'share') {
    const scale = unit === '%' ? 100 : 1;
    const scaled = ([low, high]: Interval): Interval => [scale * low, scale * high];
    let [before, after, worse] = [0, 0, 0];
    for (let i = 0; i < n; i++) {
      const [x, y] = [paired.float[i] === '1', paired.quantized[i] === '1'];
      if (x) before++;
      if (y) after++;
      if (x && !y) worse++;
    }
    const better = after - before + worse;
    const [lost, won] = higherIsBetter ? [worse, better] : [better, worse];
    return {
      ...base,
      samples: n,
      before: (scale * before) / n,
      after: (scale * after) / n,
      drop: (scale * (lost - won)) / n,
      interval: (confidence, count = n) =>
        scaled(shareDropInterval((lost * count) / n, (won * count) / n, count, confidence)),
      valueInterval: (confidence, count = n) => scaled(shareInterval((after * count) / n, count, confidence)),
    };
  }
  if (![...paired.float, ...paired.quantized].every(Number.isFinite)) return `${name} has scores that are not finite`;
  const drops = dropsOf(paired.float, paired.quantized, sign);
  const values = dropsOf(
    paired.quantized,
    paired.quantized.map(() => 0),
    1,
  );
  const mean = (scores: readonly number[]): number => scores.reduce((sum, s) => sum + s, 0) / n;
  return {
    ...base,
    samples: n,
    before: mean(paired.float),
    after: mean(paired.quantized),
    drop: drops.mean,
    interval: (confidence, count = n) =>
      count < FEWEST || !(drops.largest > 0) ? undefined : meanDropInterval({ ...drops, n: count }, confidence),
    valueInterval: (confidence, count = n) =>
      count < FEWEST || !(values.largest > 0) ? undefined : meanDropInterval({ ...values, n: count }, confidence),
  };
}

/** How values and drops of the metric are written. */
export const shownBy = (metric: {
  readonly unit: string;
}): { value(x: number): string; drop(x: number): string; readonly dropUnit: string } =>
  metric.unit === '%'
    ? { value: (x) => `${fixed(x, 2)} %`, drop: points, dropUnit: 'points' }
    : { value: real, drop: real, dropUnit: metric.unit };

/** Such as `12 of the samples were calibrated on too`; evaluation on them flatters. */
export function overlapNotes(run: RunRecord): string[] {
  const both = new Set(run.calibration?.overlapWithEvaluation.map(([, id]) => id));
  return both.size ? [`${both.size} of the samples were calibrated on too, which flatters`] : [];
}
