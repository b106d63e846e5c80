/** Latency of several models, measured in turn so that all meet the same state of the machine. */
import { item } from '../base/lists.js';
import type { OnEvent } from '../base/events.js';
import type { Feed } from '../ir/feed.js';
import type { LatencyFacts, RunTimes } from '../record/index.js';
import { medianOf, ratioOf, timeModels, timesOf, type Rounds, type TimeOptions, type TimedModel } from './rounds.js';
import { bootstrapPercentiles, nearestRank } from './statistics.js';

export type { TimedModel, TimeOptions } from './rounds.js';

/** A drift beyond this between the first and the second half of the runs makes the numbers doubtful. */
const STEADY = 0.1;
const BINS = 48;

type Pair = TimeOptions & { readonly float: TimedModel; readonly quantized: TimedModel };
/** The quantized model against the float model. See {@link measureLatencies}. */
export async function measureLatency({ float, quantized, ...o }: Pair): Promise<LatencyFacts> {
  return item(await measureLatencies(float, [quantized], o), 0); // one for each candidate
}

/**
 * Times single runs of a float model and of candidates in rounds ({@link timeModels}). Percentiles by nearest rank, in
 * ms, with 95 % bootstrap intervals; `speedup` is the median of float ÷ candidate over the rounds. Throws
 * MODEL_RUNTIME.
 */
export async function measureLatencies(
  float: TimedModel,
  candidates: readonly TimedModel[],
  o: TimeOptions,
): Promise<LatencyFacts[]> {
  const [floatRounds, ...others] = await timeModels([float, ...candidates], o);
  return latenciesOf(floatRounds!, others, o); // the first of the list
}

/** What is said of rounds that were timed, here or in another runtime. */
export function latenciesOf(
  floatRounds: Rounds,
  others: readonly Rounds[],
  o: Pick<TimeOptions, 'feed' | 'batch' | 'threads' | 'warmup' | 'onEvent'>,
): LatencyFacts[] {
  const floatMs = timesOf(floatRounds);
  const ofFloat = runTimes(floatMs);
  const batch = o.batch ?? batchOf(o.feed);
  const drift = driftOf(floatMs, 'float', o.onEvent);
  return others.map((rounds) => {
    const ms = timesOf(rounds);
    const ratio = ratioOf(floatRounds, rounds);
    const quantizedMs = runTimes(ms);
    const own = driftOf(ms, 'quantized', o.onEvent);
    return {
      threads: o.threads,
      runs: ms.length,
      warmup: o.warmup,
      batch,
      inputShapes: Object.fromEntries(Object.entries(o.feed).map(([name, t]) => [name, t.dims])),
      floatMs: ofFloat,
      quantizedMs,
      speedup: ratio.median,
      throughput: { float: (1000 * batch) / ofFloat.p50, quantized: (1000 * batch) / quantizedMs.p50 },
      ...(ratio.interval ? { speedupInterval: ratio.interval } : {}),
      ...(drift !== undefined && own !== undefined ? { drift: { float: drift, quantized: own } } : {}),
    };
  });
}

export const batchOf = (feed: Feed): number => Object.values(feed)[0]?.dims[0] ?? 1;

/**
 * What is said of the times of one model. The histogram ends at the 99th percentile, so that one hiccup does not
 * flatten it.
 */
export function runTimes(ms: Float64Array): RunTimes {
  const sorted = ms.slice().sort();
  // three of three
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((p) => nearestRank(sorted, p)) as [number, number, number];
  const intervals = bootstrapPercentiles(sorted, [0.5, 0.9, 0.99]);
  const low = sorted[0]!; // at least one run
  const counts = new Array<number>(BINS).fill(0);
  if (p99 > low)
    for (const t of sorted) if (t <= p99) counts[Math.min(BINS - 1, Math.floor(((t - low) / (p99 - low)) * BINS))]!++;
  return {
    p50,
    p90,
    p99,
    mean: ms.reduce((sum, t) => sum + t, 0) / ms.length,
    ...(intervals
      ? { p50Interval: item(intervals, 0), p90Interval: item(intervals, 1), p99Interval: item(intervals, 2) }
      : {}),
    ...(p99 > low ? { histogram: { low, high: p99, counts } } : {}),
  };
}

/** Median of the second half ÷ median of the first; undefined for too few runs to tell. */
function driftOf(ms: Float64Array, which: string, onEvent: OnEvent | undefined): number | undefined {
  const half = ms.length >> 1;
  if (half < 10) return undefined;
  const before = medianOf(ms.slice(0, half));
  const after = medianOf(ms.slice(half));
  if (Math.abs(after / before - 1) > STEADY) {
    const message =
      `the ${which} model's median went from ${before.toFixed(3)} to ${after.toFixed(3)} ms during the ` +
      'measurement: the machine was not steady';
    const hint = 'measure again on an idle machine, or with more runs';
    onEvent?.({ type: 'diagnostic', diagnostic: { severity: 'warning', code: 'LATENCY_DRIFT', message, hint } });
  }
  return after / before;
}
