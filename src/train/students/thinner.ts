/** A student with fewer channels. */
import { fail } from '../../base/errors.js';
import { familiesOf, lineOf, sumAlong } from '../../channels/families.js';
import { channelUnits, removeChannels, type ChannelUnit } from '../../channels/removal.js';
import type { Value } from '../../ir/graph.js';
import { dataOf } from '../../ir/known.js';
import type { Model } from '../../ir/model.js';
import { forgetInferred, inferShapes } from '../../ops/infer.js';

/**
 * Leaves a share of the channels of each layer, in place: those whose weights are largest. Channels that a sum or a
 * border ties together stay or go together, and of each kind of tie the share stays, at least one. What enters and
 * leaves the model keeps its size. Gives how many of how many went.
 *
 * Throws MODEL_UNSUPPORTED for a model without channels that could go.
 */
export function thinner(model: Model, share: number): { readonly removed: number; readonly of: number } {
  inferShapes(model);
  const units = channelUnits(model);
  if (!units.length)
    fail(
      'MODEL_UNSUPPORTED',
      'the model has no channels that could be taken out',
      {},
      'a thinner student is made of layers with constant weights; give a student of your own',
    );
  const norms = normsOf(units);
  const gone = familiesOf(units).flatMap(({ units: own }) => {
    const keep = Math.max(1, Math.round(share * own.length));
    return [...own].sort((a, b) => (norms.get(b) ?? 0) - (norms.get(a) ?? 0)).slice(keep);
  });
  removeChannels(model, gone);
  forgetInferred(model);
  inferShapes(model);
  return { removed: gone.length, of: units.length };
}

/** Σ over the weights that make a channel: its share of the weight's squares. */
function normsOf(units: readonly ChannelUnit[]): Map<ChannelUnit, number> {
  const values = new Map<Value, Float64Array>();
  const total = new Map<Value, number>();
  const found = new Map<ChannelUnit, number>();
  for (const unit of units) {
    let norm = 0;
    for (const { constant, axis, index, makes } of unit.cuts) {
      if (!makes) continue;
      const data = values.get(constant) ?? dataOf(constant).f64();
      values.set(constant, data);
      const all = total.get(constant) ?? data.reduce((n, v) => n + v * v, 0);
      total.set(constant, all);
      norm += sumAlong(lineOf(constant, axis, index), data, (v) => v ** 2 / (all || 1));
    }
    found.set(unit, norm);
  }
  return found;
}
