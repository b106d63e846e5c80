/** Where the channels of units are read: one gate for each tensor that layers with weights read them from. */
import type { ChannelUnit } from '../channels/removal.js';
import { cloneModel } from '../ir/clone.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { linearView } from '../ops/index.js';
import { normalAxis } from '../ops/spec.js';
import { GraphBuilder } from '../rewrite/builder.js';

/** A tensor of a copy of the model, between what makes channels and the layers that sum over them. */
export interface Gate {
  readonly name: string;
  readonly axis: number;
  /** The unit of each channel; -1 for channels that belong to none. */
  readonly units: Int32Array;
}

/**
 * A copy of the model with a gate, an Identity, on each tensor from which layers read channels of units. What does not
 * sum over channels, such as the shortcut of a residual block, passes by it, so that every reading is counted once.
 */
export function withGates(given: Model, units: readonly ChannelUnit[]): { model: Model; gates: Gate[] } {
  const { model, nodes } = cloneModel(given);
  const owners = ownersOf(units);
  const b = new GraphBuilder(model);
  const made = new Map<string, Value>();
  const gates: Gate[] = [];
  for (const node of given.graph.topological()) {
    const view = linearView(node);
    const x = view && node.inputs[view.data];
    const axes = x && owners.get(x);
    if (!view || !axes || !x.shape || view.kind === 'scale' || view.kind === 'lookup' || view.kind === 'cell') continue;
    // Depthwise: its channels go on, to be counted where they are read.
    if (view.groups > 1 && view.groups === x.shape[normalAxis(view.dataAxis, x.shape.length)]) continue;
    const axis = normalAxis(view.dataAxis, x.shape.length);
    const own = axes.get(axis);
    const copy = nodes.get(node);
    if (!own || !copy) continue;
    const key = `${axis} ${x.name}`;
    let gate = made.get(key);
    if (!gate) {
      gate = b.op('Identity', [copy.inputs[view.data] ?? null], { name: 'gate' });
      [gate.shape, gate.dtype] = [x.shape, x.dtype];
      made.set(key, gate);
      gates.push({ name: gate.name, axis, units: own });
    }
    copy.setInput(view.data, gate);
  }
  return { model, gates };
}

/** The unit of each channel, by tensor and axis. */
function ownersOf(units: readonly ChannelUnit[]): ReadonlyMap<Value, ReadonlyMap<number, Int32Array>> {
  const found = new Map<Value, Map<number, Int32Array>>();
  units.forEach((unit, index) => {
    for (const { value, axis, channel } of unit.places) {
      const axes = found.get(value) ?? new Map<number, Int32Array>();
      found.set(value, axes);
      const own = axes.get(axis) ?? new Int32Array(Number(value.shape?.[axis])).fill(-1);
      axes.set(axis, own);
      own[channel] = index;
    }
  });
  return found;
}
