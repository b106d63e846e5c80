/**
 * Runs of several models timed so that neither the order nor a moment of the machine favours one of them.
 *
 * A round visits the models in a random order and then in the reverse of it, so that each comes equally early and late.
 * A visit begins with a run that is not counted: the model that runs first after another, or after a pause, finds
 * caches that are not its own. Time that the thread waited for a processor is taken off; it belongs to other programs.
 */
import { item } from '../base/lists.js';
import type { OnEvent } from '../base/events.js';
import type { Feed } from '../ir/feed.js';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail } from '../base/errors.js';
import { createRng, type Rng } from '../base/rng.js';
import { Session } from '../runtime/session.js';
import { openWaitClock, type WaitClock } from '../runtime/wait-clock.js';
import { medianInterval } from './statistics.js';

/** A session as it is, or a model file or its bytes, opened with `threads` and closed again. */
export type TimedModel = Session | string | Uint8Array;

export interface TimeOptions {
  /** What to run; its first axis is the batch. */
  readonly feed: Feed;
  /** Counted runs of each model; up to four times as many where the machine is busy. */
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

/** Counted runs of a model in one round, half of them in each visit: few, so that a ratio is of one moment … */
const RUNS_PER_ROUND = { least: 2, most: 8 };
/** … and of few runs so few that there are rounds for an interval. */
const ROUNDS = 12;
/** Further rounds follow while the interval of a ratio is wider than this to either side … */
const SURE = 0.01;
/** … unless so few runs were asked for that a rough answer is wanted, */
const ROUGH = 40;
/** up to so many times the runs that were asked for, */
const MOST_TIMES = 4;
/** and for no longer than this share of the time so far, or one second. */
const MORE_TIME = 0.5;
/**
 * Two sessions of one file differ by so much, by where their weights lie in memory. Measured with 20 pairs of
 * sessions of four models (bench/latency-self.mjs): rms 0.3 to 0.9 %.
 */
const PLACEMENT = 0.01;
/** Of the times of a round, the share that is compared: what slows a run down comes from elsewhere. */
const UNDISTURBED = 1 / 3;

/** Milliseconds of the counted runs of one model, round by round. */
export type Rounds = readonly Float64Array[];

/** The counted runs of each model. Throws MODEL_RUNTIME. */
export async function timeModels(models: readonly TimedModel[], o: TimeOptions): Promise<Rounds[]> {
  if (o.runs < 1) fail('RECIPE_INVALID', `latency needs at least 1 run, not ${o.runs}`);
  const opened: Session[] = [];
  const clock = openWaitClock();
  try {
    const sessions: Session[] = [];
    for (const source of models) {
      if (source instanceof Session) {
        sessions.push(source);
        continue;
      }
      const session = await Session.open(source, { threads: o.threads });
      opened.push(session);
      sessions.push(session);
    }
    for (let i = 0; i < o.warmup; i++) {
      o.signal?.throwIfAborted();
      for (const s of sessions) await s.run(o.feed);
    }
    return await timeRounds(sessions, clock, o);
  } finally {
    clock.close();
    for (const session of opened) await session.close();
  }
}

async function timeRounds(sessions: readonly Session[], clock: WaitClock, o: TimeOptions): Promise<Float64Array[][]> {
  const rng = createRng(0, 'order of timed models');
  const rounds = sessions.map((): Float64Array[] => []);
  const perRound = Math.min(RUNS_PER_ROUND.most, Math.max(RUNS_PER_ROUND.least, Math.floor(o.runs / ROUNDS)));
  const least = Math.max(1, Math.round(o.runs / perRound));
  const most = o.runs < ROUGH || sessions.length < 2 ? least : MOST_TIMES * least;
  const start = performance.now();
  let enough = 0;
  for (let r = 0, counted = 0; r < most; r++) {
    if (r >= least && (performance.now() >= enough || isSure(rounds))) break;
    const runs = Math.floor(((r + 1) * o.runs) / least) - Math.floor((r * o.runs) / least);
    const times = sessions.map((): number[] => []);
    const there = shuffled(sessions.length, rng);
    for (const [visits, n] of [
      [there, Math.ceil(runs / 2)],
      [[...there].reverse(), Math.floor(runs / 2)],
    ] as const) {
      // places in both lists
      for (const k of n ? visits : []) await visit(item(sessions, k), n, item(times, k), clock, o);
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
    }
    times.forEach((t, k) => item(rounds, k).push(Float64Array.from(t))); // one for each
    counted += runs;
    o.onEvent?.({ type: 'progress', stage: 'latency', done: counted, total: Math.max(o.runs, counted) });
    const now = performance.now();
    if (r + 1 === least) enough = now + Math.max(1000, MORE_TIME * (now - start));
  }
  return rounds;
}

async function visit(session: Session, runs: number, into: number[], clock: WaitClock, o: TimeOptions): Promise<void> {
  o.signal?.throwIfAborted();
  await session.run(o.feed);
  for (let i = 0; i < runs; i++) {
    // The wait clock is read inside: a wait between the two clocks must count in both or in the time alone.
    const start = performance.now();
    const waited = clock.ms();
    await session.run(o.feed);
    const wait = clock.ms() - waited;
    const wall = performance.now() - start;
    into.push(wait < wall ? wall - wait : wall);
  }
}

function shuffled(n: number, rng: Rng): number[] {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!]; // both below n
  }
  return order;
}

const isSure = ([first, ...others]: readonly Rounds[]): boolean =>
  others.every((rounds) => {
    const { median, own } = ratioOf(first!, rounds); // there are at least two
    return own !== undefined && own[1] - own[0] <= 2 * SURE * median;
  });

export interface Ratio {
  readonly median: number;
  /** 95 % interval over the rounds. */
  readonly own?: readonly [number, number];
  /** The same with what two sessions of one file differ by. */
  readonly interval?: readonly [number, number];
}

/** a ÷ b, as the median over the rounds of the ratio of their undisturbed runs. */
export function ratioOf(a: Rounds, b: Rounds): Ratio {
  // equal lengths
  const ratios = Float64Array.from(a, (times, r) => undisturbed(times) / undisturbed(item(b, r))).sort();
  const own = medianInterval(ratios);
  const median = medianOf(ratios);
  return own ? { median, own, interval: [own[0] * (1 - PLACEMENT), own[1] * (1 + PLACEMENT)] } : { median };
}

/** Mean of the quickest third. */
function undisturbed(times: Float64Array): number {
  const quickest = times
    .slice()
    .sort()
    .subarray(0, Math.max(1, Math.ceil(UNDISTURBED * times.length)));
  return quickest.reduce((sum, t) => sum + t, 0) / quickest.length;
}

/** The mean of the middle two for an even count: of ratios, the nearest rank would favour one model. */
export function medianOf(values: Float64Array): number {
  const sorted = values.slice().sort();
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2; // not empty
}

/** The counted runs in one list. */
export function timesOf(rounds: Rounds): Float64Array {
  return Float64Array.from(rounds.flatMap((r) => [...r]));
}
