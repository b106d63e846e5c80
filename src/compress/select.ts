/** Which channels go: the least important ones, until so much of the work is left. */
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { familiesOf, type Family } from '../channels/families.js';
import type { ChannelUnit } from '../channels/removal.js';
import type { Model } from '../ir/model.js';
import { Work, type Quantity } from './work.js';

export interface Selection {
  readonly quantity: Quantity;
  /** What is left of it, as a share of what there was. */
  readonly left: number;
  /** global: channels of all layers compete; uniform: each family gives the same share. */
  readonly scope: 'global' | 'uniform';
  /** Families keep a multiple of so many channels, or all. */
  readonly roundTo: number;
  /** Share of a family that stays at least. */
  readonly least: number;
}

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
  const competing = families
    .flatMap((f, family) => f.order.slice(0, f.most).map(({ score }) => ({ family, score })))
    .sort((a, b) => a.score - b.score);
  const longest = Math.max(0, ...families.map((f) => f.family.units.length));
  const counts = (step: number): number[] => {
    if (o.scope === 'uniform') return families.map((f) => Math.round((step / Math.max(1, longest)) * f.order.length));
    const made = families.map(() => 0);
    for (const { family } of competing.slice(0, step)) made[family] = item(made, family) + 1;
    return made;
  };
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
  return { steps: o.scope === 'global' ? competing.length : longest, whole, chosen, leftAfter };
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
