/** Which channels go: the least important ones, until so much of the work is left. */
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { familiesOf, type Family } from '../channels/families.js';
import { kindsOf } from '../channels/kinds.js';
import type { ChannelUnit } from '../channels/removal.js';
import type { Model } from '../ir/model.js';
import type { Price } from './prices.js';
import { Work, type Quantity } from './work.js';

export interface Selection {
  readonly quantity: Quantity;
  /** What is left of it, as a share of what there was. */
  readonly left: number;
  /**
   * global: channels of all layers compete; uniform: each family gives the same share; isomorphic: each kind of
   * families gives the same share, and those of a kind compete; sensitivity: those go that lose least for what they
   * save.
   */
  readonly scope: Scope;
  /** For `sensitivity`, of the families of the units, in their order. */
  readonly prices?: readonly (readonly Price[])[] | undefined;
  /** Families keep a multiple of so many channels, or all. */
  readonly roundTo: number;
  /** Share of a family that stays at least. */
  readonly least: number;
}

export type Scope = 'global' | 'uniform' | 'isomorphic' | 'sensitivity';

interface Ranked {
  readonly family: Family;
  /** Its units, least important first, with their scores as shares of the family's mean. */
  readonly order: readonly { readonly unit: ChannelUnit; readonly score: number }[];
  /** So many of them may go. */
  readonly most: number;
}

/**
 * Units to take out so that at most `left` of the quantity stays; as few as do. Throws MODEL_UNSUPPORTED where all that
 * may go is too little.
 */
export function selectUnits(
  model: Model,
  units: readonly ChannelUnit[],
  scores: Float64Array,
  o: Selection,
): ChannelUnit[] {
  const ladder = ladderOf(model, units, scores, o);
  const { steps, whole, leftAfter } = ladder;
  const limit = o.left * whole;
  if (leftAfter(steps) > limit)
    fail(
      'MODEL_UNSUPPORTED',
      `taking out all channels that may go leaves ${percent(leftAfter(steps) / whole)} of the ${NAMES[o.quantity]}, ` +
        `and ${percent(o.left)} are asked for`,
      {},
      'ask for less, or let more channels go: least, families',
    );
  let [enough, few] = [steps, -1];
  while (enough - few > 1) {
    const middle = (enough + few) >> 1;
    if (leftAfter(middle) <= limit) enough = middle;
    else few = middle;
  }
  return ladder.chosen(enough);
}
const NAMES = { macs: 'multiply-accumulates', parameters: 'parameters', bytes: 'bytes of constants' } as const;

/** The share of the quantity that stays where all goes that may. */
export function leastLeft(model: Model, units: readonly ChannelUnit[], scores: Float64Array, o: Selection): number {
  const { steps, whole, leftAfter } = ladderOf(model, units, scores, o);
  return leftAfter(steps) / Math.max(1, whole);
}

interface Ladder {
  readonly steps: number;
  /** Of the quantity, in the model as it is. */
  readonly whole: number;
  readonly chosen: (step: number) => ChannelUnit[];
  readonly leftAfter: (step: number) => number;
}
/** From nothing taken out to all that may go, step by step. */
function ladderOf(model: Model, units: readonly ChannelUnit[], scores: Float64Array, o: Selection): Ladder {
  const place = new Map(units.map((u, i) => [u, i]));
  const families = familiesOf(units).map((family) =>
    ranked(
      family,
      family.units.map((u) => item(scores, place.get(u) ?? -1)),
      o,
    ),
  );
  const work = new Work(model);
  const whole = work.left[o.quantity];
  const { steps, counts } = countsOf(model, families, work, o);
  const chosen = (step: number): ChannelUnit[] => {
    const taken = counts(step);
    return families.flatMap((f, i) => lowest(f, item(taken, i), o));
  };
  const leftAfter = (step: number): number => {
    const gone = chosen(step);
    work.take(gone);
    const found = work.left[o.quantity];
    work.giveBack(gone);
    return found;
  };
  return { steps, whole, chosen, leftAfter };
}

interface Counts {
  readonly steps: number;
  /** How many of each family go. */
  readonly counts: (step: number) => number[];
}
function countsOf(model: Model, families: readonly Ranked[], work: Work, o: Selection): Counts {
  const all = families.map((_, i) => i);
  if (o.scope === 'uniform')
    return byShare(
      families,
      all.map((i) => [i]),
    );
  if (o.scope === 'isomorphic') {
    const kinds = kindsOf(
      model,
      families.map((f) => f.family),
    );
    return byShare(
      families,
      [...new Set(kinds)].map((kind) => all.filter((i) => kinds[i] === kind)),
    );
  }
  const queue = o.scope === 'global' ? byScore(families, all) : byPrice(families, work, o);
  return { steps: queue.length, counts: (step) => countIn(queue.slice(0, step), families.length) };
}
function countIn(queue: readonly number[], families: number): number[] {
  const made = Array<number>(families).fill(0);
  for (const family of queue) made[family] = item(made, family) + 1;
  return made;
}

/** The families of those that go, the least important first. */
const byScore = (families: readonly Ranked[], of: readonly number[]): number[] =>
  of
    .flatMap((family) => {
      const { order, most } = item(families, family);
      return order.slice(0, most).map(({ score }) => ({ family, score }));
    })
    .sort((a, b) => a.score - b.score)
    .map(({ family }) => family);

/** Every group gives the same share of all of its channels; inside of a group, they compete. */
function byShare(families: readonly Ranked[], groups: readonly (readonly number[])[]): Counts {
  const own = groups.map((of) => ({
    queue: byScore(families, of),
    units: of.reduce((n, i) => n + item(families, i).order.length, 0),
  }));
  const steps = Math.max(0, ...own.map((g) => g.units));
  const counts = (step: number): number[] =>
    countIn(
      own.flatMap(({ queue, units }) => queue.slice(0, Math.round((step / Math.max(1, steps)) * units))),
      families.length,
    );
  return { steps, counts };
}

/** What is lost, as measured, for what one channel of the family saves; what was not looked at goes last. */
function byPrice(families: readonly Ranked[], work: Work, { prices = [], quantity }: Selection): number[] {
  const before = work.left[quantity];
  return families
    .flatMap(({ order, most }, family) => {
      const one = order.slice(0, 1).map(({ unit }) => unit);
      work.take(one);
      const saved = Math.max(1, before - work.left[quantity]);
      work.giveBack(one);
      return item(prices, family)
        .slice(0, most)
        .map((p) => ({ family, beyond: Number(p.beyond), loss: p.loss / saved, change: p.change / saved }));
    })
    .sort((a, b) => a.beyond - b.beyond || a.loss - b.loss || a.change - b.change)
    .map(({ family }) => family);
}

const percent = (share: number): string => `${Number((100 * share).toFixed(1))} %`;

function ranked(family: Family, scores: readonly number[], { least, roundTo }: Selection): Ranked {
  const finite = scores.filter((s) => Number.isFinite(s)); // others stay
  const mean = finite.reduce((n, s) => n + s, 0) / Math.max(1, finite.length) || 1;
  const order = family.units
    .map((unit, i) => ({ unit, score: item(scores, i) / mean }))
    .sort((a, b) => a.score - b.score);
  const stay = Math.max(1, Math.min(order.length, roundTo), Math.ceil(least * order.length));
  return { family, order, most: Math.min(finite.length, order.length - stay) };
}

/** The least important of a family: about so many, such that what stays is a multiple. */
function lowest({ order, most }: Ranked, count: number, { roundTo }: Selection): ChannelUnit[] {
  const wanted = order.length - Math.min(count, most);
  const stay = Math.min(order.length, Math.ceil(wanted / roundTo) * roundTo);
  return order.slice(0, order.length - stay).map(({ unit }) => unit);
}
