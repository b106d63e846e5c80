/** Channels that can be taken out of a model, with all that holds a part of them. */
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { isFloat } from '../ir/dtype.js';
import { Value as ValueClass, type Node, type Value } from '../ir/graph.js';
import { ChannelClasses, type Place } from './classes.js';
import { dataOf, shapeOf } from '../ir/known.js';
import { nameMaker, type Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import type { AxisOf, LinearView } from '../ops/facets.js';
import { linearView, ties } from '../ops/index.js';
import { addsBorder, isView, joins } from '../ops/kinds.js';
import { normalAxis } from '../ops/spec.js';

/** One index along an axis of a constant. */
export interface Cut {
  readonly constant: Value;
  readonly axis: number;
  readonly index: number;
  /** Whether it is the part of a weight that makes the channel; its size tells how much the channel matters. */
  readonly makes: boolean;
}
/** One channel: of all tensors that hold it, and of all constants. */
export interface ChannelUnit {
  readonly places: readonly Place[];
  readonly cuts: readonly Cut[];
}

/** The units of channels that can be taken out one by one. Needs inferred shapes. */
export function channelUnits(model: Model): ChannelUnit[] {
  return new Units(model).found();
}

interface Part {
  readonly places: Place[];
  readonly cuts: Cut[];
  fixed: boolean;
}

class Units {
  readonly #model: Model;
  readonly #classes = new ChannelClasses<Part>((place) => ({ places: [place], cuts: [], fixed: false }));
  constructor(model: Model) {
    this.#model = model;
  }

  found(): ChannelUnit[] {
    for (const node of this.#model.graph.topological()) {
      const view = channelView(node);
      const y = node.outputs[0];
      if (view && y?.shape) this.#classes.visit({ value: y, axis: normalAxis(view.resultAxis, y.shape.length) });
    }
    for (let next = this.#classes.next(); next; next = this.#classes.next()) this.#follow(next);
    return this.#classes
      .joined((whole, part) => {
        whole.places.push(...part.places);
        whole.cuts.push(...part.cuts);
        whole.fixed ||= part.fixed;
      })
      .filter((u) => !u.fixed && u.cuts.some((c) => c.makes));
  }

  #fix(place: AxisOf): void {
    const base = this.#classes.visit(place);
    if (base !== undefined) for (let c = 0; c < this.#classes.size(place); c++) this.#classes.of(base + c).fixed = true;
  }
  #cut(place: AxisOf, constant: Value, axis: number, makes = false): boolean {
    const base = this.#classes.visit(place);
    const size = this.#classes.size(place);
    if (base === undefined || !this.#isOwn(constant) || dataOf(constant).dims[axis] !== size) return false;
    for (let index = 0; index < size; index++)
      this.#classes.of(base + index).cuts.push({ constant, axis, index, makes });
    return true;
  }
  /** A constant of this graph that no caller can replace, and one node reads. */
  #isOwn = (v: Value): boolean =>
    v.isInitializer && v.uses.size === 1 && !v.isGraphOutput && !this.#model.graph.isInput(v);

  #follow(place: AxisOf): void {
    const { value } = place;
    if (value.isGraphOutput || value.isInitializer || !value.producer) this.#fix(place);
    for (const { node, index } of value.uses)
      if (node.graph !== this.#model.graph || !this.#through(node, place, index)) this.#fix(place);
    if (value.producer && !this.#through(value.producer, place, undefined)) this.#fix(place);
  }

  /** Follows an axis through a node that reads it as an input, or makes it. False where it must stay as it is. */
  #through(node: Node, place: AxisOf, input: number | undefined): boolean {
    const view = channelView(node);
    if (view && input !== undefined && input !== view.data) return false;
    const tied = ties(node).filter((t) => isSame(input === undefined ? t.b : t.a, place));
    if (view?.kind === 'scale') return this.#scaled(node, view, place);
    if (view) return tied.length === 0 && this.#layer(node, view, place, input === undefined);
    if (!tied.length) return false;
    for (const t of tied) {
      const moves =
        (t.offset ?? 0) !== 0 || (t.repeat ?? 1) !== 1 || this.#classes.size(t.a) !== this.#classes.size(t.b);
      if (moves && !addsBorder(node) && !isView(node) && joins(node) !== 'beside') return false;
      const [from, to] = [this.#classes.visit(t.a), this.#classes.visit(t.b)];
      if (from === undefined || to === undefined) return false;
      for (let c = 0; c < this.#classes.size(t.b); c++) {
        const other = Math.floor((c + (t.offset ?? 0)) / (t.repeat ?? 1));
        if (other >= 0 && other < this.#classes.size(t.a)) this.#classes.join(from + other, to + c);
      }
    }
    return input !== undefined || this.#operands(node, place);
  }

  /** Constants beside the tensors of an operator that works element by element. */
  #operands(node: Node, place: AxisOf): boolean {
    const rank = shapeOf(place.value).length;
    return node.inputs.every((x) => {
      if (!x?.data || !isFloat(x.data.dtype)) return true;
      if (joins(node) === 'beside') return false;
      const at = place.axis - (rank - x.data.dims.length);
      const size = at < 0 ? 1 : x.data.dims[at];
      return size === 1 || this.#cut(place, x, at);
    });
  }

  /** A normalisation with factors for each channel. */
  #scaled(node: Node, view: LinearView, place: AxisOf): boolean {
    const [x, y] = [node.inputs[view.data], node.outputs[0]];
    const rank = shapeOf(place.value).length;
    if (!x || !y || view.resultAxis !== 1 || node.attrs.has('num_groups') || place.axis !== normalAxis(1, rank))
      return false;
    const [from, to] = [this.#classes.visit({ value: x, axis: 1 }), this.#classes.visit({ value: y, axis: 1 })];
    if (from === undefined || to === undefined) return false;
    for (let c = 0; c < this.#classes.size(place); c++) this.#classes.join(from + c, to + c);
    if (place.value !== y) return true;
    return node.inputs.every((v, i) => !v || i === view.data || this.#cut(place, v, 0));
  }

  /** A layer with a weight: what it makes, or what it reads. */
  #layer(node: Node, view: LinearView, place: AxisOf, makes: boolean): boolean {
    const [x, y, weight] = [node.inputs[view.data], node.outputs[0], node.inputs[view.weight]];
    if (!x?.shape || !y?.shape || !weight?.data || view.batchAxes > 0) return false;
    const [reads, gives] = [normalAxis(view.dataAxis, x.shape.length), normalAxis(view.resultAxis, y.shape.length)];
    if (place.axis !== (makes ? gives : reads)) return false;
    if (view.groups > 1 && !this.#depthwise(view, { value: x, axis: reads }, { value: y, axis: gives })) return false;
    if (!makes) return view.groups > 1 || this.#cut(place, weight, view.inputAxis);
    const bias = view.bias === undefined ? undefined : node.inputs[view.bias];
    const ends = bias ? this.#cut(place, bias, dataOf(bias).dims.length - 1) : true;
    return ends && this.#cut(place, weight, view.outputAxis, true);
  }
  /** A convolution of single channels: each that it makes is of the one that it reads. */
  #depthwise(view: LinearView, x: AxisOf, y: AxisOf): boolean {
    const [from, to] = [this.#classes.visit(x), this.#classes.visit(y)];
    if (view.kind !== 'window' || from === undefined || to === undefined) return false;
    if (view.groups !== this.#classes.size(x) || view.groups !== this.#classes.size(y)) return false;
    for (let c = 0; c < view.groups; c++) this.#classes.join(from + c, to + c);
    return true;
  }
}

const isSame = (a: AxisOf, b: AxisOf): boolean => a.value === b.value && a.axis === b.axis;
/** The view of a node's only weight; undefined for tables and cells, whose axes are others. */
function channelView(n: Node): LinearView | undefined {
  const view = linearView(n);
  return view && view.kind !== 'lookup' && view.kind !== 'cell' ? view : undefined;
}

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
  for (const node of model.graph.topological()) follow(model, node, places);
  for (const [constant, axes] of gone)
    for (const [axis, indices] of axes) constant.data = without(dataOf(constant), axis, indices);
}

/** What a node says of sizes in numbers. */
function follow(model: Model, node: Node, places: ReadonlyMap<Value, ReadonlyMap<number, ReadonlySet<number>>>): void {
  const y = node.outputs[0];
  const axes = y && places.get(y);
  if (!axes) return;
  const view = channelView(node);
  for (const [axis, indices] of axes) {
    const before = Number(shapeOf(y)[axis]);
    if (view && view.groups > 1) node.setInt('group', before - indices.size);
    if (addsBorder(node)) lessBorder(model, node, axis, indices);
    if (isView(node)) otherShape(model, node, axis, before - indices.size);
  }
}

/** A border loses the channels that only it has. */
function lessBorder(model: Model, node: Node, axis: number, indices: ReadonlySet<number>): void {
  const rank = shapeOf(item(node.outputs, 0)).length;
  const [pads, inside] = [node.inputs[1], Number(node.inputs[0]?.shape?.[axis])];
  const amounts = [...(node.attrs.has('pads') ? node.ints('pads') : (pads?.data?.numbersOrUndefined() ?? []))];
  const [before, after] = [item(amounts, axis), item(amounts, axis + rank)];
  const all = [...indices];
  amounts[axis] = before - all.filter((i) => i < before).length;
  amounts[axis + rank] = after - all.filter((i) => i >= before + inside).length;
  if (node.attrs.has('pads')) node.setInts('pads', amounts);
  else setInput(model, node, 1, amounts);
}
function otherShape(model: Model, node: Node, axis: number, size: number): void {
  const shape = node.inputs[1]?.data?.numbersOrUndefined();
  if (!shape || shape.length !== shapeOf(item(node.outputs, 0)).length || item(shape, axis) <= 0) return;
  setInput(model, node, 1, shape.with(axis, size));
}
function setInput(model: Model, node: Node, index: number, values: readonly number[]): void {
  const made = new ValueClass(nameMaker(model.graph)(`${node.inputs[index]?.name ?? node.op}_fewer`));
  node.setInput(index, model.graph.addInitializer(made, Tensor.i64(values)));
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
