/** In which order trials of a search are good. */
import { groupBy } from '../base/group.js';
import type { Objective } from './candidates.js';
import type { RunRecord } from '../record/index.js';
import type { Tried } from './trials.js';

/** Latencies closer than this are the same; so are sizes. */
export const SAME: Readonly<Record<Objective, number>> = { latency: 1.05, size: 1.02 };
/** A trial is at the speed of float where its time is within this: it is measured with few runs. */
export const FLOAT_SPEED = 1.03;

/**
 * Best first by the objective. Among those that are equally fast the smallest comes first; among those that are equally
 * good in all that, the one nearest to float.
 */
export function bestFirst(trials: readonly Tried[], objective: Objective): Tried[] {
  const rest = [...trials];
  const ratios = groupBy(rest, kernelsOf);
  // Recipes that run the same kernels have the same latency: their median is told from noise.
  const latency = (t: Tried): number => {
    const all = (ratios.get(kernelsOf(t)) ?? []).flatMap((x) => x.latencyRatio ?? []).sort((a, b) => a - b);
    return all[Math.floor((all.length - 1) / 2)] ?? Infinity;
  };
  const value = (t: Tried): number => (objective === 'size' ? (t.sizeRatio ?? Infinity) : latency(t));
  const out: Tried[] = [];
  while (rest.length) {
    const least = Math.min(...rest.map(value));
    const first = rest.find((t) => value(t) === least);
    const same = byLoss(
      rest.filter(
        (t) => !(value(t) > least * SAME[objective]) || (objective === 'latency' && !!first && sameSpeed(t, first)),
      ),
    );
    const smallest = Math.min(...same.map((t) => t.sizeRatio ?? Infinity));
    const next = same.find((t) => !((t.sizeRatio ?? Infinity) > smallest * SAME.size)) ?? rest[0]!; // rest is not empty
    out.push(next);
    rest.splice(rest.indexOf(next), 1);
  }
  return out;
}

/** Whether the interval of each speed-up holds that of the other: the measurement cannot tell them apart. */
export function sameSpeed({ record: a }: Pick<Tried, 'record'>, { record: b }: Pick<Tried, 'record'>): boolean {
  const holds = (x: RunRecord | undefined, y: RunRecord | undefined): boolean => {
    const [interval, speed] = [x?.latency?.speedupInterval, y?.latency?.speedup];
    return interval !== undefined && speed !== undefined && interval[0] <= speed && speed <= interval[1];
  };
  return holds(a, b) && holds(b, a);
}

/** Trials that are as fast as one within the noise, and larger. */
export const largerTies = (one: Tried, all: readonly Tried[]): Tried[] =>
  all.filter((t) => {
    const [a, b] = [one.latencyRatio, t.latencyRatio];
    const close = a !== undefined && b !== undefined && Math.max(a, b) <= Math.min(a, b) * SAME.latency;
    return (close || sameSpeed(t, one)) && (t.sizeRatio ?? 0) > (one.sizeRatio ?? Infinity) * SAME.size;
  });

/** Whether a trial made a smaller file than another; one that did not run may have. */
export const isLighter = (a: Tried, b: Tried): boolean =>
  !((a.sizeRatio ?? 0) * SAME.size >= (b.sizeRatio ?? Infinity));

/** Those that ran, by how near they stay to float. */
export const byLoss = (list: readonly Tried[]): Tried[] =>
  list.filter((t) => t.outcome === 'ok').sort((a, b) => (a.loss ?? Infinity) - (b.loss ?? Infinity));

/** What decides which kernels run: all but how ranges and codes are chosen. */
function kernelsOf({ candidate: { quantize: q } }: Tried): string {
  const { format, activations, weights, layers, exclude, coding, weightOnly, accuracyLevel, embeddings } = q;
  return JSON.stringify([
    format ?? 'qdq',
    activations?.dtype,
    activations?.granularity ?? 'tensor',
    weights?.dtype,
    weights?.granularity,
    layers ?? [],
    exclude ?? [],
    weightOnly ?? [],
    format === 'coded' ? coding : undefined,
    accuracyLevel,
    embeddings,
  ]);
}
