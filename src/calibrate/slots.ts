/** The state of a calibration: what is collected for each point, and what is left out. */
import { item } from '../base/lists.js';
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { Batch } from '../data/batch.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { type Saved } from './cache.js';
import { kernels } from './kernels.js';
import { keepSamples, rowsOf } from './rows.js';
import { tapModel } from './tap.js';
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

/**
 * A point with its statistics, and the id under which they are cached: not the observer, so that observers share them.
 */
export interface Slot {
  readonly point: CalibrationPoint;
  readonly id: string;
  readonly statistic: Statistic<TensorStats>;
  readonly settings: Readonly<Record<string, number>>;
  stats: TensorStats | undefined;
}

export interface Progress {
  batches: number;
  samples: number;
  readonly excluded: Set<string>;
  readonly nonFinite: { tensor: string; sample: string; nan: number; inf: number }[];
}

/** Channels of a tensor that was never seen: those it is declared to have. */
export function channelsOf({ value, axis }: CalibrationPoint): number {
  const size = axis === undefined ? 1 : value.shape?.[axis < 0 ? axis + value.shape.length : axis];
  return typeof size === 'number' ? size : 1;
}

export function add(slot: Slot, reading: Reading): void {
  if (reading.count === 0) return;
  slot.stats ??= slot.statistic.empty(reading.max.length, slot.settings);
  slot.statistic.update(slot.stats, reading);
}

export function exclude(
  progress: Progress,
  batch: Batch,
  id: string,
  at: number,
  fact: Progress['nonFinite'][number],
): void {
  const place = batch.samples.findIndex((s, i) => s.id === id && !progress.excluded.has(`${at}:${i}`));
  progress.excluded.add(`${at}:${place}`);
  progress.nonFinite.push(fact);
}

/** A sum may overflow although every value is finite: then extremes and values are good. */
export const usable = (tensors: readonly Reading[]): boolean =>
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
export function refuse(
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
  const tensor = item(
    group,
    tensors.findIndex((r) => !usable([r])),
  ).point.value.name;
  const ids = used.samples.map((s) => s.id);
  if (o.onNonFinite === 'fail')
    fail(
      'CALIBRATION_NON_FINITE',
      `'${tensor}' holds NaN or infinity for the batch of samples ${ids.slice(0, 4).join(', ')}, but for none ` +
        'of them alone',
      { tensor, sample: item(ids, 0) },
      'leave such samples out (onNonFinite: skip), or calibrate with batch size 1',
    );
  for (const sample of ids) exclude(progress, batch, sample, at, { tensor, sample, nan: 0, inf: 0 });
  return keepSamples(batch, [], shrink);
}

export function slotOf(point: CalibrationPoint): Slot {
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

export const requestsOf = (slots: readonly Slot[]): TapRequest[] =>
  slots.map((s) => ({ axis: undefined, ...s.point, needsValues: s.statistic.needsValues }));

/** Inputs first, then as the model computes them: the first tensor with NaN is then the one to name. */
export function inGraphOrder(model: Model, points: readonly CalibrationPoint[]): CalibrationPoint[] {
  const place = new Map<Value, number>();
  for (const v of model.graph.inputs) place.set(v, place.size);
  for (const n of model.graph.topological()) for (const v of n.outputs) place.set(v, place.size);
  return [...points].sort((a, b) => (place.get(a.value) ?? Infinity) - (place.get(b.value) ?? Infinity));
}

/** Puts cached statistics into their slots. */
export function restore(slots: readonly Slot[], saved: Saved | undefined, report: (d: Diagnostic) => void): void {
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
export async function groupsOf(o: CalibrateOptions, slots: readonly Slot[]): Promise<Slot[][]> {
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
    const size = 2 * rows * item(taps, i).bytesPerRow;
    if (bytes + size > o.maxMemoryBytes) {
      groups.push([]);
      bytes = 0;
    }
    item(groups, groups.length - 1).push(slot);
    bytes += size;
  }
  return groups;
}
