/**
 * Calibration: streams batches through a tapped copy of the model and accumulates statistics, in memory that does not
 * grow.
 */
import { item, named } from '../base/lists.js';
import { fail, type Diagnostic } from '../base/errors.js';
import { createRng } from '../base/rng.js';
import type { Batch } from '../data/batch.js';
import type { Value } from '../ir/graph.js';
import { openModel } from '../runtime/open.js';
import type { Session } from '../runtime/session.js';
import { openCache, type Saved, type StatsCache } from './cache.js';
import { createInspector, type Inspector } from './non-finite.js';
import { keepSamples, rowsOf, takesAnyBatch } from './rows.js';
import { drawStart, tapModel, type Tapped } from './tap.js';
import type { Reading } from './tap-types.js';
import type { TensorStats } from './types.js';
import {
  add,
  channelsOf,
  exclude,
  groupsOf,
  inGraphOrder,
  refuse,
  requestsOf,
  restore,
  slotOf,
  usable,
  type CalibrateOptions,
  type CalibrationPoint,
  type Progress,
  type Slot,
} from './slots.js';

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
            `'${item(progress.nonFinite, 0).tensor}'`
        : 'the calibration data hold no sample',
      {},
      left ? 'check the preprocessing' : 'check the path and the split of the data',
    );
  }
  if (slots.length && slots.every((s) => s.stats!.count === 0))
    fail(
      'CALIBRATION_EMPTY',
      `none of the ${progress.samples} samples holds a value: every observed tensor is empty`,
      { tensor: item(slots, 0).point.value.name },
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
    const group = item(stale, 0);
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
        if (used.samples.length)
          for (const tensors of readings) group.forEach((slot, i) => add(slot, item(tensors, i)));
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
    const feed = item(batch.feeds, k);
    const rows = rowsOf(batch, k);
    const outputs = session ? await session.run({ ...feed, ...tapped.inputs(start, rows) }) : {};
    // The extremes of an empty tensor are infinite; that says nothing about the sample.
    const read = new Map(
      [...new Set(tapped.taps)].map((t) => {
        const r = t.read(outputs, feed, rows, start);
        return [t, r.count === 0 ? { ...r, finite: true } : r];
      }),
    );
    readings.push(tapped.taps.map((t) => named(read, t))); // every tap was read
  }
  return readings;
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
    const sample = item(used.samples, position);
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
