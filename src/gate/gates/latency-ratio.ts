/**
 * Latency of the quantized model ÷ that of the float model (or of the baseline's quantized model). The median comes
 * from pairs of runs in turn; other percentiles and the baseline from the intervals of both sides.
 */
import { z } from 'zod';
import type { LatencyFacts, RunRecord } from '../../record/index.js';
import { ratioInterval, rescaled95, type Interval } from '../../evaluate/intervals.js';
import { ratioOf, ratioSpec } from '../limits.js';
import { fixed, notMeasured, ruleOf, type Measured } from '../rule.js';
import type { Gate } from '../types.js';

const PERCENTILES = ['p50', 'p90', 'p99'] as const;
type Percentile = (typeof PERCENTILES)[number];
/** Halves of a measurement that differ by more than this between the models were disturbed. */
const MOST_DRIFT = 0.1;

export const latencyRatio = {
  name: 'latencyRatio',
  doc:
    'Latency of the quantized model ÷ that of the float model, or of the quantized model of a baseline that ran ' +
    'on the same CPU.',
  options: z.strictObject({
    max: ratioSpec.describe('The largest ratio: `0.8` asks for a fifth less time.'),
    percentile: z.enum(PERCENTILES).default('p50').describe('Of the single runs.'),
  }),
  judge(run, baseline, { max, percentile }, confidence) {
    const { latency } = run;
    if (!latency) return notMeasured(this.name, 'the run measured no latency');
    const other = baseline?.latency;
    if (baseline && !other) return notMeasured(this.name, 'the baseline measured no latency');
    const apart = baseline && other ? difference(run, latency, baseline, other) : undefined;
    if (apart !== undefined) return notMeasured(this.name, apart);
    const before = other ? other.quantizedMs : latency.floatMs;
    const ratio =
      other || percentile !== 'p50' ? latency.quantizedMs[percentile] / before[percentile] : 1 / latency.speedup;
    const key = `${percentile}Interval` as const;
    return ruleOf({
      rule: this.name,
      bound: 'max',
      limit: ratioOf(max),
      observed: ratio,
      confidence,
      unit: '×',
      show: (x) => `${fixed(x, 3)} ×`,
      fact:
        `latency ${percentile} is ${fixed(ratio, 3)} × that of the ${other ? 'baseline' : 'float model'}, ` +
        `${fixed(latency.quantizedMs[percentile], 3)} ms against ${fixed(before[percentile], 3)} ms`,
      interval:
        disturbed(latency, other) ??
        (other || percentile !== 'p50'
          ? apartInterval(
              latency.quantizedMs[percentile],
              latency.quantizedMs[key],
              before[percentile],
              before[key],
              confidence,
            )
          : pairedInterval(latency, confidence)),
      notes: other ? ['the two were measured in separate runs'] : [],
    });
  },
} as const satisfies Gate<{ max: number | string; percentile: Percentile }>;

/** Why latencies of two records do not compare. */
function difference(run: RunRecord, mine: LatencyFacts, baseline: RunRecord, theirs: LatencyFacts): string | undefined {
  const facts = [
    ['CPU', run.environment.cpu, baseline.environment.cpu],
    ['number of threads', mine.threads, theirs.threads],
    ['batch', mine.batch, theirs.batch],
  ] as const;
  const odd = facts.find(([, a, b]) => a !== b);
  if (odd) return `the baseline was measured with another ${odd[0]}: ${odd[2]}, not ${odd[1]}`;
  const [a, b] = [mine, theirs].map((l) =>
    JSON.stringify(Object.entries(l.inputShapes).sort(([x], [y]) => (x < y ? -1 : 1))),
  );
  return a === b ? undefined : 'the baseline was measured on inputs of other shapes';
}

/** Drift of both models together cancels in the ratio; drift of one does not. */
function disturbed(latency: LatencyFacts, other: LatencyFacts | undefined): { readonly unknown: string } | undefined {
  const [mine, theirs] = [
    latency.drift?.quantized ?? 1,
    other ? (other.drift?.quantized ?? 1) : (latency.drift?.float ?? 1),
  ];
  return Math.abs(mine / theirs - 1) <= MOST_DRIFT
    ? undefined
    : {
        unknown:
          `the speed drifted by ${fixed(100 * Math.abs(mine / theirs - 1), 0)} % during the measurement; measure ` +
          'again on a quiet machine',
      };
}

const FEW_RUNS = { unknown: 'there were too few runs for an interval; raise evaluation.latency.runs' };
function pairedInterval({ speedup, speedupInterval }: LatencyFacts, confidence: number): Measured['interval'] {
  if (!speedupInterval || !(speedupInterval[0] > 0)) return FEW_RUNS;
  const [low, high] = rescaled95(speedup, speedupInterval, confidence);
  return [1 / high, 1 / low];
}
function apartInterval(
  a: number,
  rangeA: Interval | undefined,
  b: number,
  rangeB: Interval | undefined,
  confidence: number,
): Measured['interval'] {
  if (!rangeA || !rangeB) return FEW_RUNS;
  return ratioInterval(a, rescaled95(a, rangeA, confidence), b, rescaled95(b, rangeB, confidence)) ?? FEW_RUNS;
}
