/** Latency of several models, measured in turn so that all meet the same state of the machine. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { Feed } from '../ir/feed.js';
import type { LatencyFacts, RunTimes } from '../record/index.js';
import { Session } from '../runtime/session.js';
import { bootstrapPercentiles, medianInterval, nearestRank } from './statistics.js';

/** A session as it is, or a model file or its bytes, opened with `threads` and closed again. */
export type TimedModel = Session | string | Uint8Array;

export interface TimeOptions {
  /** What to run; its first axis is the batch. */
  readonly feed: Feed;
  /** Counted runs of each model. */
  readonly runs: number;
  /** Runs of each before them that are not counted. */
  readonly warmup: number;
  /** Threads of onnxruntime; of sessions that are given, what they were opened with. */
  readonly threads: number;
  /** Samples in the feed; default: axis 0 of its first tensor. */
  readonly batch?: number | undefined;
  /** Gets `progress` of stage `latency`, and a diagnostic where the machine was not steady. */
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A drift beyond this between the first and the second half of the runs makes the numbers doubtful. */
const STEADY = 0.1;
const BINS = 48;

/** The quantized model against the float model. See {@link measureLatencies}. */
export async function measureLatency({ float, quantized, ...o }: TimeOptions & { readonly float: TimedModel; readonly quantized: TimedModel }): Promise<LatencyFacts> {
  return (await measureLatencies(float, [quantized], o))[0]!; // one for each candidate
}

/**
 * Times single runs of a float model and of candidates, each in its turn, starting with another model each time. Percentiles
 * by nearest rank, in ms, with 95 % bootstrap intervals; `speedup` is the median of float ÷ candidate over the rounds, so
 * that a slow moment of the machine counts on both sides. Throws MODEL_RUNTIME.
 */
export async function measureLatencies(float: TimedModel, candidates: readonly TimedModel[], o: TimeOptions): Promise<LatencyFacts[]> {
  const [floatMs, ...others] = await timeModels([float, ...candidates], o);
  const ofFloat = runTimes(floatMs!); // the first of the list
  const batch = o.batch ?? batchOf(o.feed);
  const drift = driftOf(floatMs!, 'float', o.onEvent);
  return others.map((ms) => {
    const ratios = floatMs!.map((t, i) => t / ms[i]!).sort(); // equal lengths
    const interval = medianInterval(ratios);
    const quantizedMs = runTimes(ms);
    const own = driftOf(ms, 'quantized', o.onEvent);
    return {
      threads: o.threads, runs: o.runs, warmup: o.warmup, batch,
      inputShapes: Object.fromEntries(Object.entries(o.feed).map(([name, t]) => [name, t.dims])),
      floatMs: ofFloat, quantizedMs, speedup: median(ratios),
      throughput: { float: (1000 * batch) / ofFloat.p50, quantized: (1000 * batch) / quantizedMs.p50 },
      ...(interval ? { speedupInterval: interval } : {}), ...(drift !== undefined && own !== undefined ? { drift: { float: drift, quantized: own } } : {}),
    };
  });
}

export const batchOf = (feed: Feed): number => Object.values(feed)[0]?.dims[0] ?? 1;

/** Milliseconds of each counted run of each model. Throws MODEL_RUNTIME. */
export async function timeModels(models: readonly TimedModel[], o: TimeOptions): Promise<Float64Array[]> {
  if (o.runs < 1) fail('RECIPE_INVALID', `latency needs at least 1 run, not ${o.runs}`);
  const opened: Session[] = [];
  try {
    const sessions: Session[] = [];
    for (const source of models) {
      if (source instanceof Session) { sessions.push(source); continue; }
      const session = await Session.open(source, { threads: o.threads });
      opened.push(session);
      sessions.push(session);
    }
    const times = sessions.map(() => new Float64Array(o.runs));
    for (let run = -o.warmup; run < o.runs; run++) {
      o.signal?.throwIfAborted();
      for (let k = 0; k < sessions.length; k++) {
        const which = (k + run + o.warmup) % sessions.length;
        const start = performance.now();
        await sessions[which]!.run(o.feed);
        if (run >= 0) times[which]![run] = performance.now() - start;
      }
      if (run >= 0) o.onEvent?.({ type: 'progress', stage: 'latency', done: run + 1, total: o.runs });
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
    }
    return times;
  } finally {
    for (const session of opened) await session.close();
  }
}

/** What is said of the times of one model. The histogram ends at the 99th percentile, so that one hiccup does not flatten it. */
export function runTimes(ms: Float64Array): RunTimes {
  const sorted = ms.slice().sort();
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((p) => nearestRank(sorted, p)) as [number, number, number]; // three of three
  const intervals = bootstrapPercentiles(sorted, [0.5, 0.9, 0.99]);
  const low = sorted[0]!; // at least one run
  const counts = new Array<number>(BINS).fill(0);
  if (p99 > low) for (const t of sorted) if (t <= p99) counts[Math.min(BINS - 1, Math.floor(((t - low) / (p99 - low)) * BINS))]!++;
  return {
    p50, p90, p99, mean: ms.reduce((sum, t) => sum + t, 0) / ms.length,
    ...(intervals ? { p50Interval: intervals[0]!, p90Interval: intervals[1]!, p99Interval: intervals[2]! } : {}),
    ...(p99 > low ? { histogram: { low, high: p99, counts } } : {}),
  };
}

/** The mean of the middle two for an even count: of ratios, the nearest rank would favour one model. */
const median = (sorted: Float64Array): number => (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2; // not empty

/** Median of the second half ÷ median of the first; undefined for too few runs to tell. */
function driftOf(ms: Float64Array, which: string, onEvent: OnEvent | undefined): number | undefined {
  const half = ms.length >> 1;
  if (half < 10) return undefined;
  const before = median(ms.slice(0, half).sort());
  const after = median(ms.slice(half).sort());
  if (Math.abs(after / before - 1) > STEADY) onEvent?.({ type: 'diagnostic', diagnostic: { severity: 'warning', code: 'LATENCY_DRIFT', message: `the ${which} model's median went from ${before.toFixed(3)} to ${after.toFixed(3)} ms during the measurement: the machine was not steady`, hint: 'measure again on an idle machine, or with more runs' } });
  return after / before;
}
