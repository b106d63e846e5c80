/** Latency of the float and the quantized model, measured in turn so that both meet the same state of the machine. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { Feed } from '../ir/feed.js';
import { Session } from '../runtime/session.js';
import { medianInterval, nearestRank } from './statistics.js';

export interface LatencyOptions {
  /** A session as it is, or a model file or its bytes, opened with `threads` and closed again. */
  readonly float: Session | string | Uint8Array;
  readonly quantized: Session | string | Uint8Array;
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
export interface RunTimes { readonly p50: number; readonly p90: number; readonly p99: number; readonly mean: number }
export interface Latency {
  readonly threads: number;
  readonly runs: number;
  readonly warmup: number;
  readonly batch: number;
  readonly inputShapes: Readonly<Record<string, readonly number[]>>;
  readonly floatMs: RunTimes;
  readonly quantizedMs: RunTimes;
  readonly speedup: number;
  readonly speedupInterval?: readonly [number, number];
}

/** A drift beyond this between the first and the second half of the runs makes the numbers doubtful. */
const STEADY = 0.1;

/**
 * Times single runs, alternating which model goes first. Percentiles by nearest rank, in ms; `speedup` is the median of
 * float ÷ quantized over the pairs, so that a slow moment of the machine counts on both sides. Throws MODEL_RUNTIME.
 */
export async function measureLatency(o: LatencyOptions): Promise<Latency> {
  if (o.runs < 1) fail('RECIPE_INVALID', `latency needs at least 1 run, not ${o.runs}`);
  const opened: Session[] = [];
  try {
    const open = async (source: Session | string | Uint8Array): Promise<Session> => {
      if (source instanceof Session) return source;
      const session = await Session.open(source, { threads: o.threads });
      opened.push(session);
      return session;
    };
    const float = await open(o.float);
    const quantized = await open(o.quantized);
    const floatMs = new Float64Array(o.runs);
    const quantizedMs = new Float64Array(o.runs);
    for (let run = -o.warmup; run < o.runs; run++) {
      o.signal?.throwIfAborted();
      const floatFirst = run % 2 === 0;
      const first = await timed(floatFirst ? float : quantized, o.feed);
      const second = await timed(floatFirst ? quantized : float, o.feed);
      if (run >= 0) {
        floatMs[run] = floatFirst ? first : second;
        quantizedMs[run] = floatFirst ? second : first;
        o.onEvent?.({ type: 'progress', stage: 'latency', done: run + 1, total: o.runs });
      }
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
    }
    reportDrift(floatMs, quantizedMs, o.onEvent);
    const ratios = floatMs.map((ms, i) => ms / quantizedMs[i]!).sort(); // equal lengths
    const interval = medianInterval(ratios);
    return {
      threads: o.threads, runs: o.runs, warmup: o.warmup, batch: o.batch ?? Object.values(o.feed)[0]?.dims[0] ?? 1,
      inputShapes: Object.fromEntries(Object.entries(o.feed).map(([name, t]) => [name, t.dims])),
      floatMs: percentiles(floatMs), quantizedMs: percentiles(quantizedMs), speedup: median(ratios),
      ...(interval ? { speedupInterval: interval } : {}),
    };
  } finally {
    for (const session of opened) await session.close();
  }
}

async function timed(session: Session, feed: Feed): Promise<number> {
  const start = performance.now();
  await session.run(feed);
  return performance.now() - start;
}

function percentiles(ms: Float64Array): RunTimes {
  const sorted = ms.slice().sort();
  return { p50: nearestRank(sorted, 0.5), p90: nearestRank(sorted, 0.9), p99: nearestRank(sorted, 0.99), mean: ms.reduce((sum, t) => sum + t, 0) / ms.length };
}

/** The mean of the middle two for an even count: of ratios, the nearest rank would favour one model. */
const median = (sorted: Float64Array): number => (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2; // not empty

function reportDrift(floatMs: Float64Array, quantizedMs: Float64Array, onEvent: OnEvent | undefined): void {
  const half = floatMs.length >> 1;
  if (half < 10) return; // too few runs to tell
  for (const [which, ms] of [['float', floatMs], ['quantized', quantizedMs]] as const) {
    const before = median(ms.slice(0, half).sort());
    const after = median(ms.slice(half).sort());
    if (Math.abs(after / before - 1) <= STEADY) continue;
    onEvent?.({ type: 'diagnostic', diagnostic: { severity: 'warning', code: 'LATENCY_DRIFT', message: `the ${which} model's median went from ${before.toFixed(3)} to ${after.toFixed(3)} ms during the measurement: the machine was not steady`, hint: 'measure again on an idle machine, or with more runs' } });
  }
}
