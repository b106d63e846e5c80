/**
 * Calibration: streams batches through a tapped copy of the model and accumulates statistics, in memory that does not
 * grow.
 */
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { createRng } from '../base/rng.js';
import type { Batch } from '../data/batch.js';
import type { Model, Value } from '../ir/graph.js';
import { openModel } from '../runtime/open.js';
import type { Session } from '../runtime/session.js';
import { openCache, type Saved, type StatsCache } from './cache.js';
import { kernels } from './kernels.js';
import { createInspector, type Inspector } from './non-finite.js';
import { keepSamples, rowsOf, takesAnyBatch } from './rows.js';
import { drawStart, tapModel, type Tapped } from './tap.js';
import type { Reading, TapRequest } from './tap-types.js';
import type { Observer, Statistic, TensorStats } from './types.js';

export interface CalibrationPoint extends Pick<TapRequest, 'infinite'> {
  /** A float32 value of the main graph: computed by a node, or a graph input. */
  readonly value: Value;
  readonly observer: Observer;
  /** Parsed by the observer's schema. */
  readonly options: unknown;
  /** Channel axis for statistics per channel. */
  readonly axis?: number;
}

export interface CalibrateOptions {
  readonly model: Model;
  readonly points: readonly CalibrationPoint[];
  /** A fresh pass over the data, each time the same; called again for each group of tensors. */
  readonly batches: () => AsyncIterable<Batch>;
  /** For progress only. */
  readonly totalSamples?: number;
  readonly threads?: number;
  /** Bytes that may leave the runtime in one batch; more tensors are observed in several passes over the data. */
  readonly maxMemoryBytes?: number;
  readonly onNonFinite: 'fail' | 'skip';
  readonly sampling: {
    /** Most values per sample and tensor that enter a histogram. */ readonly maxValuesPerSample: number;
    readonly seed: number;
  };
  /**
   * Keeps statistics between runs. `key` is a hash of model and data; sampling, policy and statistic are added to it
   * here.
   */
  readonly cache?: { readonly dir: string; readonly key: string };
  readonly onEvent?: OnEvent;
  readonly signal?: AbortSignal;
}

/** off: no cache; miss: measured and kept; hit: taken from it; resumed: went on from a checkpoint. */
export type CacheUse = 'off' | 'miss' | 'hit' | 'resumed';

export interface Calibrated {
  /** Of each value, for the first of its points. */
  readonly stats: ReadonlyMap<Value, TensorStats>;
  /** Of one of the points that were asked for: observers that accumulate the same share it. */
  statsOf(point: CalibrationPoint): TensorStats;
  readonly facts: {
    readonly samples: number;
    readonly batches: number;
    readonly tensors: number;
    readonly cache: CacheUse;
    readonly sampling: string;
    readonly nonFinite: readonly {
      readonly tensor: string;
      readonly sample: string;
      readonly nan: number;
      readonly inf: number;
    }[];
    readonly skippedSamples: number;
  };
}

const CHECKPOINT_MS = 20_000;
/** Changes whenever the meaning of cached statistics does. */
const FORMAT = 1;

/**
 * A point with its statistics, and the id under which they are cached: not the observer, so that observers share them.
 */
interface Slot {
  readonly point: CalibrationPoint;
  readonly id: string;
  readonly statistic: Statistic<TensorStats>;
  readonly settings: Readonly<Record<string, number>>;
  stats: TensorStats | undefined;
}

interface Progress {
  batches: number;
  samples: number;
  readonly excluded: Set<string>;
  readonly nonFinite: { tensor: string; sample: string; nan: number; inf: number }[];
}

/**
 * Statistics for each point. Extremes are exact; histograms are counted from a seeded subsample of at most
 * `maxValuesPerSample` values per sample and tensor. Rows that only pad a batch do not count. A resumed calibration
 * gives the same statistics as one that was never stopped.
 *
 * Each sample in whose observed tensors NaN or infinity occurs is found: per run, the sum of every tensor is checked,
 * and a batch that looks wrong is run again sample by sample.
 *
 * Throws CALIBRATION_EMPTY without a usable sample, CALIBRATION_NON_FINITE naming tensor and sample under `fail`,
 * CALIBRATION_CHANNELS, MODEL_UNSUPPORTED for values that are not float32, MODEL_RUNTIME, OUTPUT_WRITE for the cache,
 * and what reading the data throws.
 */
export async function calibrate(o: CalibrateOptions): Promise<Calibrated> {
  const report = (diagnostic: Diagnostic): void => o.onEvent?.({ type: 'diagnostic', diagnostic });
  const slots = [
    ...new Map(
      inGraphOrder(o.model, o.points).map((p) => {
        const slot = slotOf(p);
        return [slot.id, slot];
      }),
    ).values(),
  ];
  const sampling =
    `exact minimum and maximum of all values; histograms from at most ${o.sampling.maxValuesPerSample} values ` +
    `per sample and tensor, seed ${o.sampling.seed}`;
  const cacheKey = JSON.stringify([FORMAT, o.cache?.key, o.sampling, o.onNonFinite]);
  const cache = o.cache ? openCache(o.cache.dir, cacheKey, report) : undefined;
  const saved = cache?.load();
  const progress: Progress = {
    batches: 0,
    samples: 0,
    excluded: new Set(saved?.excluded),
    nonFinite: [...(saved?.nonFinite ?? [])],
  };
  let mode: CacheUse = cache ? 'miss' : 'off';
  restore(slots, saved, report);
  const known = (): boolean => slots.every((s) => s.stats);
  if (saved?.complete && slots.length && known()) {
    mode = 'hit';
    progress.batches = saved.batches;
    progress.samples = saved.samples;
  } else {
    const resumable = saved && !saved.complete && known() && saved.entries.size === slots.length;
    if (resumable) {
      mode = 'resumed';
      progress.batches = saved.batches;
      progress.samples = saved.samples;
    } else if (!saved?.complete) for (const s of slots) s.stats = undefined;
    await measure(o, slots, progress, saved, cache, resumable === true);
  }
  if (progress.samples === 0) {
    const left = progress.nonFinite.length;
    fail(
      'CALIBRATION_EMPTY',
      left
        ? `calibration has no sample left: all ${left} gave NaN or infinity, the first in ` +
            `'${progress.nonFinite[0]!.tensor}'`
        : 'the calibration data hold no sample',
      {},
      left ? 'check the preprocessing' : 'check the path and the split of the data',
    );
  }
  if (slots.length && slots.every((s) => s.stats!.count === 0))
    fail(
      'CALIBRATION_EMPTY',
      `none of the ${progress.samples} samples holds a value: every observed tensor is empty`,
      { tensor: slots[0]!.point.value.name },
      'check the shapes of the samples',
    );
  return {
    stats: new Map([...slots].reverse().map((s) => [s.point.value, s.stats!])), // measured or restored above
    statsOf: (point) =>
      slots.find((s) => s.id === slotOf(point).id)?.stats ??
      fail('INTERNAL', `bug in quantbench: '${point.value.name}' was not observed`),
    facts: {
      samples: progress.samples,
      batches: progress.batches,
      tensors: new Set(slots.map((s) => s.point.value)).size,
      cache: mode,
      sampling,
      nonFinite: progress.nonFinite,
      skippedSamples: progress.excluded.size,
    },
  };
}

/** Fills the slots that are not known, group by group, and saves. Sets `progress` to what one whole pass counted. */
async function measure(
  o: CalibrateOptions,
  slots: readonly Slot[],
  progress: Progress,
  saved: Saved | undefined,
  cache: StatsCache | undefined,
  resume: boolean,
): Promise<void> {
  const missing = resume ? slots : slots.filter((s) => !s.stats);
  const groups = await groupsOf(o, missing);
  /** How many samples were excluded when each group was measured: a group that missed a later one is measured again. */
  const excludedAt = new Map<readonly Slot[], number>();
  const before = progress.excluded.size;
  const save = (complete: boolean): void => {
    if (!cache) return;
    const entries = new Map(complete && saved?.complete && progress.excluded.size === before ? saved.entries : []);
    for (const s of slots) if (s.stats) entries.set(s.id, s.statistic.serialize(s.stats));
    cache.save({
      complete,
      batches: progress.batches,
      samples: progress.samples,
      excluded: [...progress.excluded].sort(),
      nonFinite: progress.nonFinite,
      entries,
    });
  };
  // With several groups only finished statistics are saved: a checkpoint holds one point in the data for all of its
  // tensors.
  const checkpoint = groups.length === 1 && missing.length === slots.length ? (): void => save(false) : undefined;
  for (;;) {
    const stale = groups.filter((g) => excludedAt.get(g) !== progress.excluded.size);
    if (!stale.length) break;
    const group = stale[0]!;
    const fresh = !resume;
    if (fresh) {
      progress.batches = 0;
      progress.samples = 0;
      for (const s of group) s.stats = undefined;
    }
    resume = false;
    await onePass(o, group, progress, checkpoint, `tensors ${groups.indexOf(group) + 1} of ${groups.length}`);
    if (progress.samples === 0) return;
    // Within its own pass a group leaves out what it finds, so it is up to date with all that is known after it.
    excludedAt.set(group, progress.excluded.size);
  }
  // Statistics from the cache know nothing of samples that were excluded only now.
  const restored = slots.filter((s) => !missing.includes(s));
  if (progress.excluded.size !== before && restored.length) {
    for (const s of restored) s.stats = undefined;
    return measure(o, slots, progress, undefined, cache, false);
  }
  for (const s of slots) s.stats ??= s.statistic.empty(channelsOf(s.point), s.settings); // empty for every sample
  save(true);
}

/** Channels of a tensor that was never seen: those it is declared to have. */
function channelsOf({ value, axis }: CalibrationPoint): number {
  const size = axis === undefined ? 1 : value.shape?.[axis < 0 ? axis + value.shape.length : axis];
  return typeof size === 'number' ? size : 1;
}

/** One pass over the data for a group of tensors, from batch `progress.batches` on. */
async function onePass(
  o: CalibrateOptions,
  group: readonly Slot[],
  progress: Progress,
  checkpoint: (() => void) | undefined,
  note: string,
): Promise<void> {
  const threads = o.threads ?? 1;
  const shrink = takesAnyBatch(o.model);
  const tapped = tapModel(o.model, requestsOf(group), o.sampling.maxValuesPerSample);
  const inspector = createInspector(
    o.model,
    group.flatMap((s) => (s.point.infinite ? [] : s.point.value)),
    shrink,
    threads,
  );
  let session: Session | undefined;
  let savedAt = performance.now();
  let index = 0;
  const resumeAt = progress.batches;
  try {
    if (tapped.taps.some((t) => t.fetches.length)) session = await openModel(tapped.model, { threads });
    for await (const batch of o.batches()) {
      o.signal?.throwIfAborted();
      const at = index++;
      if (at < resumeAt) continue;
      // Drawn from the batch's number, so that a resumed run and each group take the same start.
      const start = drawStart(createRng(o.sampling.seed, `calibration batch ${at}`));
      const run = (b: Batch): Promise<Reading[][]> => runBatch(session, tapped, b, start);
      let used = keepSamples(
        batch,
        batch.samples.map((_, i) => i).filter((i) => !progress.excluded.has(`${at}:${i}`)),
        shrink,
      );
      if (used.samples.length) {
        let readings = await run(used);
        if (!readings.every((tensors) => tensors.every((r) => r.finite))) {
          used = await withoutNonFinite(o, used, batch, at, progress, inspector, shrink);
          readings = used.samples.length ? await run(used) : [];
          if (!readings.every(usable)) used = refuse(o, group, readings, used, batch, at, progress, shrink);
        }
        if (used.samples.length) for (const tensors of readings) group.forEach((slot, i) => add(slot, tensors[i]!));
        progress.samples += used.samples.length;
      }
      progress.batches = at + 1;
      o.onEvent?.({
        type: 'progress',
        stage: 'calibrate',
        done: progress.samples + progress.excluded.size,
        total: o.totalSamples,
        note,
      });
      if (checkpoint && performance.now() - savedAt > CHECKPOINT_MS) {
        checkpoint();
        savedAt = performance.now();
      }
    }
  } catch (error) {
    if (checkpoint && progress.batches > resumeAt && o.signal?.aborted) checkpoint();
    throw error;
  } finally {
    await session?.close();
    await inspector.close();
  }
}

/** Readings of each feed of the batch: [feed][tensor]. */
async function runBatch(
  session: Session | undefined,
  tapped: Tapped,
  batch: Batch,
  start: number,
): Promise<Reading[][]> {
  const readings: Reading[][] = [];
  for (let k = 0; k < batch.feeds.length; k++) {
    const feed = batch.feeds[k]!;
    const rows = rowsOf(batch, k);
    const outputs = session ? await session.run({ ...feed, ...tapped.inputs(start, rows) }) : {};
    // The extremes of an empty tensor are infinite; that says nothing about the sample.
    const read = new Map(
      [...new Set(tapped.taps)].map((t) => {
        const r = t.read(outputs, feed, rows, start);
        return [t, r.count === 0 ? { ...r, finite: true } : r];
      }),
    );
    readings.push(tapped.taps.map((t) => read.get(t)!)); // every tap was read
  }
  return readings;
}

function add(slot: Slot, reading: Reading): void {
  if (reading.count === 0) return;
  slot.stats ??= slot.statistic.empty(reading.max.length, slot.settings);
  slot.statistic.update(slot.stats, reading);
}

/** Finds the samples that hold NaN or infinity: throws, or excludes them and gives what is left of the batch. */
async function withoutNonFinite(
  o: CalibrateOptions,
  used: Batch,
  batch: Batch,
  at: number,
  progress: Progress,
  inspector: Inspector,
  shrink: boolean,
): Promise<Batch> {
  for (const { position, tensor, nan, inf } of await inspector.inspect(used)) {
    const sample = used.samples[position]!;
    if (o.onNonFinite === 'fail')
      fail(
        'CALIBRATION_NON_FINITE',
        `'${tensor}' holds ${nan} NaN and ${inf} infinite values for sample '${sample.id}'`,
        { tensor, sample: sample.id },
        'check the sample and the preprocessing, or leave such samples out (onNonFinite: skip)',
      );
    exclude(progress, batch, sample.id, at, { tensor, sample: sample.id, nan, inf });
  }
  return keepSamples(
    batch,
    batch.samples.map((_, i) => i).filter((i) => !progress.excluded.has(`${at}:${i}`)),
    shrink,
  );
}

function exclude(progress: Progress, batch: Batch, id: string, at: number, fact: Progress['nonFinite'][number]): void {
  const place = batch.samples.findIndex((s, i) => s.id === id && !progress.excluded.has(`${at}:${i}`));
  progress.excluded.add(`${at}:${place}`);
  progress.nonFinite.push(fact);
}

/** A sum may overflow although every value is finite: then extremes and values are good. */
const usable = (tensors: readonly Reading[]): boolean =>
  tensors.every(
    (r) =>
      r.finite ||
      (r.min.every(Number.isFinite) &&
        r.max.every(Number.isFinite) &&
        (!r.values || kernels().extent(r.values, 0, r.values.length).finite)),
  );

/**
 * NaN that whole tensors, sample by sample, do not show: kernels differ between batch sizes. The batch cannot be used.
 */
function refuse(
  o: CalibrateOptions,
  group: readonly Slot[],
  readings: readonly Reading[][],
  used: Batch,
  batch: Batch,
  at: number,
  progress: Progress,
  shrink: boolean,
): Batch {
  const tensors = readings.find((r) => !usable(r))!; // the caller saw one
  const tensor = group[tensors.findIndex((r) => !usable([r]))]!.point.value.name;
  const ids = used.samples.map((s) => s.id);
  if (o.onNonFinite === 'fail')
    fail(
      'CALIBRATION_NON_FINITE',
      `'${tensor}' holds NaN or infinity for the batch of samples ${ids.slice(0, 4).join(', ')}, but for none ` +
        'of them alone',
      { tensor, sample: ids[0]! },
      'leave such samples out (onNonFinite: skip), or calibrate with batch size 1',
    );
  for (const sample of ids) exclude(progress, batch, sample, at, { tensor, sample, nan: 0, inf: 0 });
  return keepSamples(batch, [], shrink);
}

function slotOf(point: CalibrationPoint): Slot {
  const { statistic } = point.observer;
  const settings = statistic.settings(point.options);
  return {
    point,
    statistic,
    settings,
    id: JSON.stringify([point.value.name, statistic.name, settings, point.axis ?? null]),
    stats: undefined,
  };
}

const requestsOf = (slots: readonly Slot[]): TapRequest[] =>
  slots.map((s) => ({ axis: undefined, ...s.point, needsValues: s.statistic.needsValues }));

/** Inputs first, then as the model computes them: the first tensor with NaN is then the one to name. */
function inGraphOrder(model: Model, points: readonly CalibrationPoint[]): CalibrationPoint[] {
  const place = new Map<Value, number>();
  for (const v of model.graph.inputs) place.set(v, place.size);
  for (const n of model.graph.topological()) for (const v of n.outputs) place.set(v, place.size);
  return [...points].sort((a, b) => (place.get(a.value) ?? Infinity) - (place.get(b.value) ?? Infinity));
}

/** Puts cached statistics into their slots. */
function restore(slots: readonly Slot[], saved: Saved | undefined, report: (d: Diagnostic) => void): void {
  for (const slot of slots) {
    const bytes = saved?.entries.get(slot.id);
    if (!bytes) continue;
    try {
      slot.stats = slot.statistic.deserialize(bytes);
    } catch {
      report({
        severity: 'warning',
        code: 'CALIBRATION_CACHE',
        message: `cached statistics of '${slot.point.value.name}' are not readable and are measured again`,
      });
    }
  }
}

/**
 * Splits tensors so that what leaves the runtime for one batch stays below the limit, copies on both sides included.
 */
async function groupsOf(o: CalibrateOptions, slots: readonly Slot[]): Promise<Slot[][]> {
  if (!slots.length) return [];
  if (o.maxMemoryBytes === undefined) return [[...slots]];
  let rows = 1;
  for await (const batch of o.batches()) {
    rows = Math.max(...batch.feeds.map((_, k) => rowsOf(batch, k).total));
    break;
  }
  const groups: Slot[][] = [];
  let bytes = Infinity;
  const { taps } = tapModel(o.model, requestsOf(slots), o.sampling.maxValuesPerSample);
  for (const [i, slot] of slots.entries()) {
    const size = 2 * rows * taps[i]!.bytesPerRow;
    if (bytes + size > o.maxMemoryBytes) {
      groups.push([]);
      bytes = 0;
    }
    groups[groups.length - 1]!.push(slot);
    bytes += size;
  }
  return groups;
}
