/** Channels that can be taken out of a model, one by one: which of all tensors and constants belong together. */
import { isFloat } from '../ir/dtype.js';
import type { Node, Value } from '../ir/graph.js';
import { dataOf, shapeOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { tiedTo, type AxisOf, type LinearView, type Tie } from '../ops/facets.js';
import { isBroadcast, linearView, refitOf, removalTies } from '../ops/index.js';
import { isGroupNormalization, isView, joins } from '../ops/kinds.js';
import { tellsSize } from '../ops/sizes.js';
import { normalAxis } from '../ops/spec.js';
import { ChannelClasses, type Place } from './classes.js';
import { learnSizes } from './sizes.js';

/** One index along an axis of a constant. */
export interface Cut {
  readonly constant: Value;
  readonly axis: number;
  readonly index: number;
  /** Whether it is the part of a weight that makes the channel; its size tells how much the channel matters. */
  readonly makes: boolean;
}
/** One channel, or channels that only go together: of all tensors that hold it, and of all constants. */
export interface ChannelUnit {
  readonly places: readonly Place[];
  readonly cuts: readonly Cut[];
}

/**
 * The units of channels that can be taken out one by one. Where an axis can be cut in several ways, as whole heads or
 * the same places of all heads, the outermost one that nothing holds is taken. Needs inferred shapes.
 */
export function channelUnits(model: Model): ChannelUnit[] {
  learnSizes(model);
  // First without any way: which axes does something else hold?
  const before = new Units(model, undefined).found();
  const chosen = new Map<string, number>();
  const open = [...before.ways].map(([key, list]) => ({ key, list: list.filter((t) => !before.held(t.a)), at: 0 }));
  for (let round = 0; ; round++) {
    for (const { key, list, at } of open) chosen.set(key, list[at]?.way ?? -1);
    const found = new Units(model, chosen).found();
    const next = open.filter(({ list, at }) => {
      const tie = list[at];
      return tie && list[at + 1] && found.held(tie.a);
    });
    if (!next.length || round === ROUNDS) return found.units;
    for (const o of next) o.at++;
  }
}
/** Further ways that are tried where a first one turns out to be held. */
const ROUNDS = 3;

interface Part {
  readonly places: Place[];
  readonly cuts: Cut[];
  fixed: boolean;
}
interface Found {
  readonly units: ChannelUnit[];
  /** Ties that name ways, by what they have in common. */
  readonly ways: ReadonlyMap<string, Tie[]>;
  /** Whether something holds channels of an axis that was reached. */
  held(place: AxisOf): boolean;
}

class Units {
  readonly #model: Model;
  readonly #chosen: ReadonlyMap<string, number> | undefined;
  readonly #classes = new ChannelClasses<Part>((place) => ({ places: [place], cuts: [], fixed: false }));
  readonly #ways = new Map<string, Tie[]>();

  /** Without a choice of ways, axes end where there are several. */
  constructor(model: Model, chosen: ReadonlyMap<string, number> | undefined) {
    this.#model = model;
    this.#chosen = chosen;
  }

  found(): Found {
    for (const node of this.#model.graph.topological()) {
      const view = channelView(node) ?? tableView(node);
      const y = node.outputs[0];
      if (view && y?.shape) this.#classes.visit({ value: y, axis: normalAxis(view.resultAxis, y.shape.length) });
    }
    for (let next = this.#classes.next(); next; next = this.#classes.next()) this.#follow(next);
    const all = this.#classes.joined((whole, part) => {
      whole.places.push(...part.places);
      whole.cuts.push(...part.cuts);
      whole.fixed ||= part.fixed;
    });
    const fixed = new Map<Value, Set<number>>();
    for (const part of all)
      if (part.fixed)
        for (const { value, axis } of part.places) fixed.set(value, (fixed.get(value) ?? new Set<number>()).add(axis));
    return {
      units: all.filter((u) => !u.fixed && u.cuts.some((c) => c.makes)),
      ways: this.#ways,
      held: ({ value, axis }) => fixed.get(value)?.has(axis) === true,
    };
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
    v.isInitializer && v.data !== undefined && v.uses.size === 1 && !v.isGraphOutput && !this.#model.graph.isInput(v);

  #follow(place: AxisOf): void {
    const { value } = place;
    if (value.isGraphOutput || value.isInitializer || !value.producer) this.#fix(place);
    for (const { node, index } of value.uses)
      if (node.graph !== this.#model.graph || !this.#through(node, place, index)) this.#fix(place);
    if (value.producer && !this.#through(value.producer, place, undefined)) this.#fix(place);
  }

  /** Follows an axis through a node that reads it as an input, or makes it. False where it must stay as it is. */
  #through(node: Node, place: AxisOf, input: number | undefined): boolean {
    if (input === 0 && tellsSize(node, place.axis) === false) return true;
    const view = channelView(node);
    if (view && input !== undefined && input !== view.data) return false;
    if (view && isChannel(node, view, place, input === undefined))
      return view.kind === 'scale'
        ? this.#scaled(node, place, node.inputs[view.data])
        : this.#layer(node, view, place, input === undefined);
    if (isGroupNormalization(node) && place.axis === 1) return this.#grouped(node, place);
    const table = input === undefined ? tableView(node) : undefined;
    if (table && place.axis === shapeOf(place.value).length - 1) {
      const weight = node.inputs[table.weight];
      return !!weight?.data && weight.data.dims.length === 2 && this.#cut(place, weight, 1, true);
    }
    return this.#tied(node, place, input);
  }

  #tied(node: Node, place: AxisOf, input: number | undefined): boolean {
    const all = removalTies(node).filter((t) => isSame(t.a, place) || isSame(t.b, place));
    const refit = refitOf(node);
    if (!all.length || refit?.can(node, place) === false) return false;
    let through = false;
    for (const t of all) {
      const [from, to] = [this.#classes.visit(t.a), this.#classes.visit(t.b)];
      if (from === undefined || to === undefined) return false;
      if (t.way !== undefined) {
        const key = `${node.outputs[0]?.name ?? ''} ${t.b.value.name} ${t.b.axis}`;
        this.#note(key, t);
        const chosen = this.#chosen ? (this.#chosen.get(key) ?? -1) : t.way;
        // The axis that is cut is held where no way is left; of the others, each that is not taken.
        if (chosen !== t.way) continue;
      }
      const plain = !t.map && (t.offset ?? 0) === 0 && (t.repeat ?? 1) === 1;
      const alike = plain && this.#classes.size(t.a) === this.#classes.size(t.b);
      if (!alike && !refit && !isView(node) && joins(node) !== 'beside') return false;
      through = true;
      if (t.way !== undefined && !this.#chosen) continue;
      for (let c = 0; c < this.#classes.size(t.b); c++) {
        const other = tiedTo(t, c);
        if (other >= 0 && other < this.#classes.size(t.a)) this.#classes.join(from + other, to + c);
      }
    }
    if (!through || !this.#aligned(node, place)) return false;
    return input !== undefined || this.#operands(node, place);
  }
  #note(key: string, tie: Tie): void {
    const own = this.#ways.get(key) ?? [];
    this.#ways.set(key, own);
    if (!own.some((t) => t.way === tie.way)) own.push(tie);
    own.sort((a, b) => (a.way ?? 0) - (b.way ?? 0));
  }

  /** Whether every operand is known to have the channel, or to be the same for all. */
  #aligned(node: Node, place: AxisOf): boolean {
    if (!isBroadcast(node)) return true;
    const rank = node.outputs[0]?.shape?.length;
    if (rank === undefined) return false;
    const axis = place.axis + (rank - shapeOf(place.value).length);
    return node.inputs.every((x) => {
      if (!x) return true;
      if (!x.shape) return false;
      const d = axis - (rank - x.shape.length) < 0 ? 1 : x.shape[axis - (rank - x.shape.length)];
      return d === 1 || d === this.#classes.size(place);
    });
  }

  /** Constants beside the tensors of an operator that works element by element. */
  #operands(node: Node, place: AxisOf): boolean {
    if (refitOf(node)) return true; // they are numbers of sizes
    const rank = shapeOf(place.value).length;
    return node.inputs.every((x) => {
      if (!x?.data || !(isFloat(x.data.dtype) || isBroadcast(node))) return true;
      if (joins(node) === 'beside') return false;
      const at = place.axis - (rank - x.data.dims.length);
      const size = at < 0 ? 1 : x.data.dims[at];
      return size === 1 || this.#cut(place, x, at);
    });
  }

  /** A normalisation with factors for each channel. */
  #scaled(node: Node, place: AxisOf, x: Value | null | undefined): boolean {
    const y = node.outputs[0];
    if (!x || !y || node.outputs.length > 1) return false;
    const [from, to] = [
      this.#classes.visit({ value: x, axis: place.axis }),
      this.#classes.visit({ value: y, axis: place.axis }),
    ];
    if (from === undefined || to === undefined) return false;
    for (let c = 0; c < this.#classes.size(place); c++) this.#classes.join(from + c, to + c);
    if (place.value !== y) return true;
    return node.inputs.every((v) => !v || v === x || this.#cut(place, v, 0));
  }
  /** GroupNormalization: whole groups. */
  #grouped(node: Node, place: AxisOf): boolean {
    const [x, ...factors] = node.inputs;
    const y = node.outputs[0];
    if (!x || !y) return false;
    const [from, to] = [this.#classes.visit({ value: x, axis: 1 }), this.#classes.visit({ value: y, axis: 1 })];
    const [size, groups] = [this.#classes.size(place), node.int('num_groups', 1)];
    if (from === undefined || to === undefined || size % groups !== 0) return false;
    const each = size / groups;
    for (let c = 0; c < size; c++) {
      this.#classes.join(from + c, to + c);
      this.#classes.join(from + Math.floor(c / each) * each, from + c);
    }
    if (place.value !== y) return true;
    return factors.every((v) => {
      if (!v || v.data?.dims[0] === size) return !v || this.#cut(place, v, 0);
      if (!this.#isOwn(v) || v.data?.dims[0] !== groups) return false;
      for (let g = 0; g < groups; g++)
        this.#classes.of(to + g * each).cuts.push({ constant: v, axis: 0, index: g, makes: false });
      return true;
    });
  }

  /** A layer with a weight: what it makes, or what it reads. */
  #layer(node: Node, view: LinearView, place: AxisOf, makes: boolean): boolean {
    const [x, y, weight] = [node.inputs[view.data], node.outputs[0], node.inputs[view.weight]];
    if (!x?.shape || !y?.shape || !weight?.data || view.batchAxes > 0) return false;
    const [reads, gives] = [normalAxis(view.dataAxis, x.shape.length), normalAxis(view.resultAxis, y.shape.length)];
    if (view.groups > 1 && !this.#parts(view, { value: x, axis: reads }, { value: y, axis: gives })) return false;
    if (!makes) {
      if (view.groups === 1) return this.#cut(place, weight, view.inputAxis);
      // Grouped, a transposed convolution has its groups along the axis that it sums over.
      return view.kind !== 'transposed' || this.#cut(place, weight, view.inputAxis, true);
    }
    const bias = view.bias === undefined ? undefined : node.inputs[view.bias];
    const ends = bias ? this.#biased(place, bias) : true;
    return ends && ((view.groups > 1 && view.kind === 'transposed') || this.#cut(place, weight, view.outputAxis, true));
  }
  /** One number for all channels stays; else each has its own. */
  #biased = (place: AxisOf, bias: Value): boolean =>
    bias.data?.dims.at(-1) === 1 || bias.data?.size === 1 || this.#cut(place, bias, (bias.data?.dims.length ?? 0) - 1);

  /** A grouped convolution: what a group makes is of what it reads, and goes as a whole. */
  #parts({ groups, kind }: LinearView, x: AxisOf, y: AxisOf): boolean {
    const [from, to] = [this.#classes.visit(x), this.#classes.visit(y)];
    if ((kind !== 'window' && kind !== 'transposed') || from === undefined || to === undefined) return false;
    const [read, made] = [this.#classes.size(x) / groups, this.#classes.size(y) / groups];
    if (!Number.isInteger(read) || !Number.isInteger(made)) return false;
    for (let g = 0; g < groups; g++) {
      for (let c = 0; c < read; c++) this.#classes.join(from + g * read, from + g * read + c);
      for (let c = 0; c < made; c++) this.#classes.join(from + g * read, to + g * made + c);
    }
    return true;
  }
}

const isSame = (a: AxisOf, b: AxisOf): boolean => a.value === b.value && a.axis === b.axis;
/** Whether a place is the axis that a node's weight sums over, or makes. */
function isChannel(node: Node, view: LinearView, { value, axis }: AxisOf, made: boolean): boolean {
  const rank = shapeOf(value).length;
  if (made && value !== node.outputs[0]) return false;
  return axis === normalAxis(made ? view.resultAxis : view.dataAxis, rank);
}
/** The view of a node's only weight, a constant; undefined for tables and cells, whose axes are others. */
export function channelView(n: Node): LinearView | undefined {
  const view = linearView(n);
  const weight = view && n.inputs[view.weight];
  return view && weight?.data && view.kind !== 'lookup' && view.kind !== 'cell' ? view : undefined;
}
/** A constant table of which rows are looked up: each column makes a channel. */
function tableView(n: Node): LinearView | undefined {
  const view = linearView(n);
  return view?.kind === 'lookup' && n.inputs[view.weight]?.data ? view : undefined;
}
