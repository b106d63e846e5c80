/** Takes channels out of a model, with all that holds a part of them. */
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { encodeTensor } from '../ir/encode.js';
import { Node as NodeClass, Value as ValueClass, type Node, type Value } from '../ir/graph.js';
import { dataOf, shapeOf } from '../ir/known.js';
import { nameMaker, type Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import type { Lost, RefitHands } from '../ops/facets.js';
import { refitOf } from '../ops/index.js';
import { isGroupNormalization } from '../ops/kinds.js';
import { sourceOf } from '../ops/refits.js';
import { channelView, type ChannelUnit } from './units.js';

export { channelUnits, type ChannelUnit, type Cut } from './units.js';

/** Takes channels out of the model, in place; shapes must be inferred again. */
export function removeChannels(model: Model, units: readonly ChannelUnit[]): void {
  const gone = new Map<Value, Map<number, Set<number>>>();
  const places = new Map<Value, Map<number, Set<number>>>();
  const mark = (to: typeof gone, value: Value, axis: number, index: number): void => {
    const axes = to.get(value) ?? new Map<number, Set<number>>();
    to.set(value, axes);
    axes.set(axis, (axes.get(axis) ?? new Set<number>()).add(index));
  };
  for (const unit of units) {
    for (const c of unit.cuts) mark(gone, c.constant, c.axis, c.index);
    for (const p of unit.places) mark(places, p.value, p.axis, p.channel);
  }
  const none: ReadonlySet<number> = new Set();
  const lost: Lost = (value, axis) => (value ? places.get(value)?.get(axis) : undefined) ?? none;
  for (const node of model.graph.topological()) {
    follow(node, lost);
    const refit = refitOf(node);
    const touched = [...node.inputs, ...node.outputs].some((v) => v && places.has(v));
    if (refit && touched) refit.apply(node, lost, handsOf(model, node));
  }
  for (const [constant, axes] of gone)
    for (const [axis, indices] of axes) constant.data = without(dataOf(constant), axis, indices);
}

/** Groups that go as a whole. */
function follow(node: Node, lost: Lost): void {
  const y = node.outputs[0];
  const view = channelView(node);
  if (y && view && view.groups > 1 && view.kind !== 'scale') {
    const gone = lost(y, 1).size;
    if (gone) node.setInt('group', view.groups - gone / (Number(shapeOf(y)[1]) / view.groups));
  }
  if (y && isGroupNormalization(node)) {
    const groups = node.int('num_groups', 1);
    const gone = lost(y, 1).size;
    if (gone) node.setInt('num_groups', groups - gone / (Number(shapeOf(y)[1]) / groups));
  }
}

/** Other nodes may read the constant, or the Concat: they keep theirs. */
function handsOf(model: Model, node: Node): RefitHands {
  const { graph } = model;
  const named = (base: string): string => nameMaker(graph)(base);
  const constant = (like: Value | null | undefined, values: readonly number[]): Value => {
    const made = new ValueClass(named(`${like?.name ?? node.op}_fewer`));
    return graph.addInitializer(made, encodeTensor(like?.data?.dtype ?? 'int64', [values.length], values));
  };
  const setInts = (input: number, values: readonly number[]): void => {
    node.setInput(input, constant(node.inputs[input], values));
  };
  return {
    opset: model.opsets.get('') ?? 1,
    setInts,
    setElements(input, elements) {
      const old = node.inputs[input];
      const given = old?.data?.numbersOrUndefined();
      if (given) {
        setInts(
          input,
          given.map((v, k) => elements.get(k) ?? v),
        );
        return;
      }
      const joined = old?.producer;
      if (!joined) return;
      const parts = [...joined.inputs];
      for (const [k, value] of elements) {
        const source = sourceOf(old, k);
        if (source?.part === undefined) continue;
        const part = parts[source.part];
        const values = part?.data?.numbersOrUndefined() ?? [];
        parts[source.part] = constant(part, values.with(source.element, value));
      }
      const copy = new NodeClass(joined.op, parts, [named(`${old.name}_fewer`)], joined.domain);
      copy.name = item(copy.outputs, 0).name;
      for (const [key, attr] of joined.attrs) copy.attrs.set(key, attr);
      graph.add(copy);
      node.setInput(input, item(copy.outputs, 0));
    },
  };
}

/** A tensor without some indices along an axis. */
function without(t: Tensor, axis: number, indices: ReadonlySet<number>): Tensor {
  const size = item(t.dims, axis);
  if (indices.size >= size) fail('MODEL_UNSUPPORTED', `no channel would be left of ${size}`);
  const kept = Array.from({ length: size }, (_, i) => i).filter((i) => !indices.has(i));
  return selected(t, axis, kept);
}
/** A tensor with some indices of an axis, in that order. */
export function selected(t: Tensor, axis: number, kept: readonly number[]): Tensor {
  const size = item(t.dims, axis);
  const inner = t.dims.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = t.dims.slice(0, axis).reduce((n, d) => n * d, 1);
  const bytes = t.byteLength / Math.max(1, t.size);
  const [from, each] = [t.bytes(), inner * bytes];
  const out = new Uint8Array(outer * kept.length * each);
  for (let o = 0, at = 0; o < outer; o++)
    for (const i of kept) {
      out.set(from.subarray((o * size + i) * each, (o * size + i + 1) * each), at);
      at += each;
    }
  return new Tensor(t.dtype, t.dims.with(axis, kept.length), out);
}
