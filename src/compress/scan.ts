/** What a model loses without shares of each family of channels: which families are sensitive. */
import { item } from '../base/lists.js';
import { familiesOf } from '../channels/families.js';
import type { ChannelUnit } from '../channels/removal.js';
import { cloneModel } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import { without } from './amount.js';
import { outputChanges, type OutputChanges } from './output-changes.js';
import type { CompressContext, PruneScan } from './types.js';

export type ScanPoint = PruneScan['families'][number]['points'][number];

/** So many units of a family are its share; one stays at least. */
const countOf = (units: number, share: number): number => Math.min(units - 1, Math.round(share * units));

/**
 * What the outputs change without shares of each list of channels, from its start on: for each list, in the order of the
 * shares.
 */
export async function scanChanges(
  about: Omit<OutputChanges, 'count' | 'made'>,
  orders: readonly (readonly ChannelUnit[])[],
  shares: readonly number[],
): Promise<number[][]> {
  const all = modelsOf(about.model, orders, shares);
  const changes = await outputChanges({ ...about, count: all.length, made: (i) => item(all, i)() });
  return orders.map((_, f) => shares.map((_s, k) => item(changes, f * shares.length + k)));
}

function modelsOf(
  model: Model,
  orders: readonly (readonly ChannelUnit[])[],
  shares: readonly number[],
): (() => Model)[] {
  return orders.flatMap((order) =>
    shares.map((share) => () => without(model, order.slice(0, countOf(order.length, share)))),
  );
}

/** Every family, least important channels first; with labels, what the metric of the recipe scores, too. */
export async function scanFamilies(
  context: CompressContext,
  units: readonly ChannelUnit[],
  scores: Float64Array,
  { shares, samples }: { readonly shares: readonly number[]; readonly samples: number },
): Promise<PruneScan> {
  const { model, feeds, batches, threads, signal, onEvent } = context;
  const place = new Map(units.map((u, i) => [u, i]));
  const scoreOf = (u: ChannelUnit): number => item(scores, place.get(u) ?? -1);
  const families = familiesOf(units);
  const orders = families.map((f) => [...f.units].sort((a, b) => scoreOf(a) - scoreOf(b)));
  const total = orders.length * shares.length;
  const onModel = (done: number): void => {
    onEvent({ type: 'progress', stage: 'prune', done, total, note: 'scanning families' });
  };
  const changes = await scanChanges({ model, feeds, batches, threads, signal, samples, onModel }, orders, shares);
  const whole = (): Model => cloneModel(model).model;
  const scored = await context.score?.([whole, ...modelsOf(model, orders, shares)], samples);
  return {
    samples,
    ...(scored ? { metric: { ...scored.metric, whole: item(scored.values, 0) } } : {}),
    families: families.map(({ makers, units: own }, f) => ({
      makers: makers.map((v) => v.name),
      units: own.length,
      points: shares.map((share, k) => ({
        share,
        change: item(item(changes, f), k),
        ...(scored ? { value: item(scored.values, 1 + f * shares.length + k) } : {}),
      })),
    })),
  };
}

/** The next channel of a family: what is lost with it, first by the metric, then by the change of outputs. */
export interface Price {
  /** Whether it goes beyond the shares that were looked at. */
  readonly beyond: boolean;
  readonly loss: number;
  readonly change: number;
}

/**
 * For each family of a scan, the price of its channels one after the other, least important first: the slopes of the
 * lower convex hulls of what was measured, which starts at nothing lost. They do not fall, so that those that are taken
 * first are the start of the list.
 */
export function pricesOf({ metric, families }: PruneScan): Price[][] {
  const lost = ({ value }: ScanPoint): number =>
    metric && value !== undefined ? Math.max(0, (metric.whole - value) * (metric.higherIsBetter ? 1 : -1)) : 0;
  return families.map(({ units, points }) => {
    const at = (p: ScanPoint): number => countOf(units, p.share);
    const losses = slopes(points.map((p) => [at(p), lost(p)]));
    const changes = slopes(points.map((p) => [at(p), p.change]));
    return Array.from({ length: units }, (_, i) => ({
      beyond: i >= losses.length,
      loss: losses[i] ?? losses.at(-1) ?? 0,
      change: changes[i] ?? changes.at(-1) ?? 0,
    }));
  });
}

/** The slope of the lower convex hull over each step from 0 to the last place; (0, 0) belongs to it. */
function slopes(points: readonly (readonly [number, number])[]): number[] {
  const made: number[] = [];
  const sorted = points.filter(([x]) => x > 0).sort((a, b) => a[0] - b[0]);
  let [x, y] = [0, 0];
  for (;;) {
    const ahead = sorted.filter((p) => p[0] > x);
    if (!ahead.length) return made;
    const slope = ([px, py]: readonly [number, number]): number => (py - y) / (px - x);
    const least = Math.min(...ahead.map(slope));
    const next = ahead.findLast((p) => slope(p) === least) ?? item(ahead, 0);
    while (made.length < next[0]) made.push(least);
    [x, y] = next;
  }
}
