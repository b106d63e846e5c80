/** Channels that must be scaled together, with the weights that make them and the weights that read them. */
import { ChannelClasses, type Place } from './classes.js';
import { dataOf, shapeOf } from '../ir/known.js';
import type { Graph, Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { AxisOf, LinearView } from '../ops/facets.js';
import { linearView, scalingTies } from '../ops/index.js';
import { joins } from '../ops/kinds.js';
import { normalAxis } from '../ops/spec.js';

/** Elements of a constant that belong to one channel: `outer` runs of `inner` neighbours, `stride` apart. */
export interface Slab {
  readonly constant: Value;
  readonly node: Node;
  readonly start: number;
  readonly outer: number;
  readonly stride: number;
  readonly inner: number;
}

/**
 * One channel of one or more tensors: scaling it by s > 0 multiplies what makes it by s and divides what reads it by s.
 */
export interface ChannelSet {
  /** Weights whose output it is. */
  readonly producers: readonly Slab[];
  /** Biases and addends of it. */
  readonly biases: readonly Slab[];
  /** Weights that read it. */
  readonly consumers: readonly Slab[];
  /** The tensors that hold it, and where. */
  readonly places: readonly Place[];
}

interface Part {
  producers: Slab[];
  biases: Slab[];
  consumers: Slab[];
  places: Place[];
  fixed: boolean;
}

/**
 * The sets of channels of the main graph that can be scaled without changing the function: every op on the way is
 * homogeneous along the channel, every weight is a float32 constant of one node, and nobody outside sees the tensors.
 * Needs inferred shapes. Sets without a producer or a consumer are left out.
 */
export function channelSets(model: Model): ChannelSet[] {
  return new Finder(model.graph).sets();
}

class Finder {
  readonly #graph: Graph;
  readonly #inputs: ReadonlySet<Value>;
  readonly #classes = new ChannelClasses<Part>((place) => ({
    producers: [],
    biases: [],
    consumers: [],
    places: [place],
    fixed: false,
  }));

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#inputs = new Set(graph.inputs);
  }

  sets(): ChannelSet[] {
    for (const n of this.#graph.topological())
      for (const y of n.outputs) {
        const axis = madeAxis(n);
        if (axis !== undefined && y.shape) this.#classes.visit({ value: y, axis: normalAxis(axis, y.shape.length) });
      }
    for (let next = this.#classes.next(); next; next = this.#classes.next()) {
      this.#readers(next);
      this.#maker(next);
    }
    return this.#classes
      .joined((whole, part) => {
        whole.producers.push(...part.producers);
        whole.biases.push(...part.biases);
        whole.consumers.push(...part.consumers);
        whole.places.push(...part.places);
        whole.fixed ||= part.fixed;
      })
      .filter((p) => !p.fixed && p.producers.length > 0 && p.consumers.length > 0);
  }

  #fix(place: AxisOf): void {
    const base = this.#classes.visit(place);
    if (base !== undefined) for (let c = 0; c < this.#classes.size(place); c++) this.#classes.of(base + c).fixed = true;
  }

  /** Follows an axis to everybody who reads it. */
  #readers(place: AxisOf): void {
    const { value, axis } = place;
    if (value.isGraphOutput) this.#fix(place);
    for (const { node, index } of value.uses) {
      if (node.graph !== this.#graph) {
        this.#fix(place);
        continue;
      }
      const onward = scalingTies(node).filter((t) => t.a.value === value && t.a.axis === axis);
      if (onward.length) {
        for (const t of onward) this.#join(t.a, t.b, t.offset ?? 0, t.repeat ?? 1);
        continue;
      }
      const slabs =
        index === linearView(node)?.data
          ? readSlabs(node, axis, this.#classes.size(place), (v) => this.#ownConstant(v))
          : undefined;
      const base = this.#classes.visit(place);
      if (!slabs || base === undefined) this.#fix(place);
      else slabs.forEach((s, c) => this.#classes.of(base + c).consumers.push(s));
    }
  }

  /** Follows an axis to the node that makes it. */
  #maker(place: AxisOf): void {
    const { value, axis } = place;
    const base = this.#classes.visit(place)!; // it waited because it has ids
    const size = this.#classes.size(place);
    const node = value.producer;
    if (!node) {
      if (value.isInitializer && this.#ownConstant(value)) {
        const [use] = value.uses;
        this.#pushAll(base, size, 'producers', value, use!.node, axis);
        return;
      } // ownConstant: one use
      this.#fix(place);
      return;
    }
    const back = scalingTies(node).filter((t) => t.b.value === value && t.b.axis === axis);
    for (const t of back) this.#join(t.a, t.b, t.offset ?? 0, t.repeat ?? 1);
    if (back.length) {
      if (!this.#addends(node, place, base, new Set(back.map((t) => t.a.value)))) this.#fix(place);
      return;
    }
    // visited values have a shape
    const made = madeBy(node, axis, shapeOf(value).length, size, (v) => this.#ownConstant(v));
    if (!made) {
      this.#fix(place);
      return;
    }
    this.#pushAll(base, size, 'producers', made.weight, node, made.weightAxis);
    // madeBy checked that it is constant
    if (made.bias) this.#pushAll(base, size, 'biases', made.bias, node, dataOf(made.bias).dims.length - 1);
  }
  #pushAll(base: number, size: number, kind: 'producers' | 'biases', v: Value, node: Node, axis: number): void {
    for (let c = 0; c < size; c++) this.#classes.of(base + c)[kind].push(slabOf(v, node, axis, c));
  }

  /**
   * Constants beside the tensors of a sum are scaled with it. False where one cannot be, or where a tensor is
   * broadcast.
   */
  #addends(node: Node, { axis, value }: AxisOf, base: number, tied: ReadonlySet<Value>): boolean {
    const how = joins(node);
    if (!how) return true;
    for (const x of node.inputs) {
      if (!x || tied.has(x)) continue;
      const at = axis - (shapeOf(value).length - (x.shape?.length ?? 0)); // visited values have a shape
      if (how === 'beside' || !this.#ownConstant(x) || x.shape?.[at] !== shapeOf(value)[axis]) return false;
      this.#pushAll(base, this.#classes.size({ axis, value }), 'biases', x, node, at);
    }
    return true;
  }

  /** Joins channels of b with those of a that they are. */
  #join(a: AxisOf, b: AxisOf, offset: number, repeat: number): void {
    const [from, to] = [this.#classes.visit(a), this.#classes.visit(b)];
    if (from === undefined || to === undefined) {
      for (const place of [a, b]) this.#fix(place);
      return;
    }
    const size = this.#classes.size(a);
    for (let c = 0; c < this.#classes.size(b); c++) {
      const other = Math.floor((c + offset) / repeat);
      if (other >= 0 && other < size) this.#classes.join(from + other, to + c);
    }
  }

  /** A float32 constant that one node reads once and no caller can replace. */
  #ownConstant(v: Value | null | undefined): v is Value {
    return (
      v?.isInitializer === true &&
      v.data?.dtype === 'float32' &&
      v.uses.size === 1 &&
      !v.isGraphOutput &&
      !this.#inputs.has(v) &&
      this.#graph.initializers.has(v)
    );
  }
}

/** Elements of index c along an axis; for grouped weights only those of rows `from` to `to` of axis 0. */
function slabOf(constant: Value, node: Node, axis: number, c: number, from = 0, to = Infinity): Slab {
  const { dims } = dataOf(constant); // callers checked that it is constant
  const inner = dims.slice(axis + 1).reduce((n, d) => n * d, 1);
  const stride = dims[axis]! * inner; // the axis is one of the dims
  const outer = dims.slice(0, axis).reduce((n, d) => n * d, 1);
  return { constant, node, start: from * stride + c * inner, outer: Math.min(outer, to) - from, stride, inner };
}

/** The view of a node's weight that scales what it reads and makes; undefined for tables and cells. */
function scalable(n: Node): LinearView | undefined {
  const view = linearView(n);
  return view && view.kind !== 'lookup' && view.kind !== 'cell' ? view : undefined;
}
/** Axis of the output that a node's weight makes. */
const madeAxis = (n: Node): number | undefined => scalable(n)?.resultAxis;

interface Made {
  readonly weight: Value;
  readonly weightAxis: number;
  readonly bias: Value | undefined;
}
/** The constants that scale an axis of a node's output; undefined where there are none. */
function madeBy(
  n: Node,
  axis: number,
  rank: number,
  size: number,
  own: (v: Value | null | undefined) => v is Value,
): Made | undefined {
  const view = scalable(n);
  if (!view || normalAxis(view.resultAxis, rank) !== axis) return undefined;
  const weight = n.inputs[view.weight];
  const bias = view.bias === undefined ? undefined : n.inputs[view.bias];
  if (!own(weight)) return undefined;
  if (bias && !(own(bias) && bias.data?.dims.at(-1) === size && bias.data.size === size)) return undefined;
  if (view.batchAxes > 0 || (view.kind === 'transposed' && view.groups !== 1)) return undefined;
  return weight.data?.dims[view.outputAxis] === size
    ? { weight, weightAxis: view.outputAxis, bias: bias ?? undefined }
    : undefined;
}

/**
 * For each channel of the data input, the elements of the weight that read it; undefined where no weight that is `own`
 * does.
 */
export function readSlabs(
  n: Node,
  axis: number,
  size: number,
  own: (v: Value | null | undefined) => v is Value,
): Slab[] | undefined {
  const view = scalable(n);
  const weight = view && n.inputs[view.weight];
  if (!view || !own(weight) || view.batchAxes > 0 || view.kind === 'scale') return undefined;
  const { dims } = dataOf(weight); // own: constant
  const rank = n.inputs[view.data]?.shape?.length ?? 0;
  if (normalAxis(view.dataAxis, rank) !== axis) return undefined;
  const each = dims[view.inputAxis]!; // an axis of the weight
  const groups = view.kind === 'window' ? view.groups : 1;
  if (each * groups !== size) return undefined;
  const rows = dims[view.outputAxis]! / groups;
  return Array.from({ length: size }, (_, c) => {
    const g = Math.floor(c / each);
    return groups === 1
      ? slabOf(weight, n, view.inputAxis, c)
      : slabOf(weight, n, view.inputAxis, c % each, g * rows, (g + 1) * rows);
  });
}
