/** What a model loses without shares of each family of channels: which families are sensitive. */
import { item } from '../base/lists.js';
import { familiesOf } from '../channels/families.js';
import type { ChannelUnit } from '../channels/removal.js';
import { cloneModel } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import { without } from './amount.js';
import { outputChanges, type OutputChanges } from './output-changes.js';
import { countOf } from './prices.js';
import type { CompressContext, PruneScan } from './types.js';

/**
 * What the outputs change without shares of each list of channels, from its start on: for each list, in the order of
 * the shares.
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
