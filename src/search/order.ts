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
 * Best first by the objective, and among those that are the same by loss; where the fastest are no faster than float,
 * by size, for that is all that they gain.
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
    if (objective === 'latency' && least * SAME.latency >= 1)
      same.sort((a, b) => (a.sizeRatio ?? Infinity) - (b.sizeRatio ?? Infinity)); // stable
    const next = same[0] ?? rest[0]!; // rest is not empty
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
