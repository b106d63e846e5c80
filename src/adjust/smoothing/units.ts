/** Tensors whose channels can be scaled against the weights that read them. */
import { shapeOf } from '../../ir/known.js';
import { item, named } from '../../base/lists.js';
import type { Graph, Node, Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import { dataInputs, specOf } from '../../ops/index.js';
import { normalAxis } from '../../ops/spec.js';
import { channelSets, readSlabs, type ChannelSet, type Slab } from '../../channels/groups.js';
import { layerShape } from '../../channels/layer.js';
import { directSets } from './direct.js';

/** A tensor that layers with constant weights read. */
export interface SmoothInput {
  readonly value: Value;
  readonly axis: number;
  readonly layers: readonly Node[];
  /** By channel: what of the layers' weights reads it. */
  readonly slabs: readonly (readonly Slab[])[];
  /** By channel: which factor of the unit it has. */
  readonly factor: Int32Array;
}

/** Tensors that share their factors, and how a factor is made up for. */
export interface SmoothUnit {
  readonly inputs: readonly SmoothInput[];
  readonly factors: number;
  /** One for each factor where the weights before can take it; undefined where a Mul must be inserted. */
  readonly sets: readonly ChannelSet[] | undefined;
}

/**
 * The units of the main graph, in its order. Behind norms with factors and gated products what makes a tensor takes
 * the division. Tensors that a weight before cannot be scaled for stand alone with `sets`
 * undefined; those that come in codes already (behind a product and ops that pass codes on) are left out, for a Mul
 * after their quantization would come too late. Needs inferred shapes.
 */
export function smoothUnits(model: Model): SmoothUnit[] {
  const sets = channelSets(model);
  const places = new Map<Value, Map<number, Map<number, ChannelSet>>>();
  for (const set of sets) {
    for (const { value, axis, channel } of set.places) {
      const axes = places.get(value) ?? new Map<number, Map<number, ChannelSet>>();
      places.set(value, axes);
      axes.set(axis, (axes.get(axis) ?? new Map<number, ChannelSet>()).set(channel, set));
    }
  }
  const units: SmoothUnit[] = [];
  const groups = new Map<ChannelSet, Group>();
  for (const found of readTensors(model.graph)) {
    const at = places.get(found.value)?.get(found.axis);
    const own = Array.from({ length: found.channels }, (_, c) => at?.get(c));
    if (own.every((s) => s !== undefined)) {
      join(groups, found, own);
      continue;
    }
    const last = found.axis === shapeOf(found.value).length - 1;
    const direct = last ? directSets(found.value, found.layers, found.slabs, ownConstant(model.graph)) : undefined;
    if (direct) {
      const factor = Int32Array.from(own, (_, c) => c);
      units.push({ inputs: [{ ...found, factor }], factors: found.channels, sets: direct });
      continue;
    }
    if (!comesInCodes(found.value))
      units.push({
        inputs: [{ ...found, factor: Int32Array.from(own, (_, c) => c) }],
        factors: found.channels,
        sets: undefined,
      });
  }
  for (const { inputs, sets: joined } of new Set(groups.values())) {
    const index = new Map([...joined].map((s, i) => [s, i]));
    units.push({
      inputs: inputs.map(({ own, ...rest }) => ({ ...rest, factor: Int32Array.from(own, (s) => named(index, s)) })),
      factors: index.size,
      sets: [...index.keys()],
    }); // joined holds the sets of all inputs
  }
  const order = new Map(model.graph.topological().map((n, i) => [n, i]));
  // no unit is without a layer
  const place = (u: SmoothUnit): number => named(order, item(item(u.inputs, 0).layers, 0));
  return units.sort((a, b) => place(a) - place(b));
}

interface Read {
  readonly value: Value;
  readonly axis: number;
  readonly channels: number;
  readonly layers: readonly Node[];
  readonly slabs: readonly (readonly Slab[])[];
}
interface Group {
  readonly inputs: (Read & { readonly own: readonly ChannelSet[] })[];
  readonly sets: Set<ChannelSet>;
}

/** Puts a tensor into the group of its sets, which become one. */
function join(groups: Map<ChannelSet, Group>, found: Read, own: readonly ChannelSet[]): void {
  const whole: Group = { inputs: [], sets: new Set() };
  for (const group of new Set(own.map((s) => groups.get(s)))) {
    whole.inputs.push(...(group?.inputs ?? []));
    group?.sets.forEach((s) => whole.sets.add(s));
  }
  whole.inputs.push({ ...found, own });
  own.forEach((s) => whole.sets.add(s));
  for (const s of whole.sets) groups.set(s, whole);
}

/** Whether a value is a float32 constant that one node reads and no caller replaces. */
function ownConstant(graph: Graph): (v: Value | null | undefined) => v is Value {
  const callers = new Set(graph.inputs);
  return (v): v is Value =>
    v?.isInitializer === true &&
    v.data?.dtype === 'float32' &&
    v.uses.size === 1 &&
    !v.isGraphOutput &&
    !callers.has(v);
}

/** Tensors that layers read, with the axis that the layers sum over. */
function readTensors(graph: Graph): Read[] {
  const own = ownConstant(graph);
  const found = new Map<Value, { axis: number; channels: number; layers: Node[]; slabs: Slab[][] }>();
  for (const node of graph.topological()) {
    const shape = layerShape(node);
    const rank = shape?.input.shape?.length ?? 0;
    if (!shape || rank < 2) continue;
    const axis = normalAxis(shape.view.dataAxis, rank);
    const channels = shapeOf(shape.input)[axis]; // the rank is known
    const slabs = typeof channels === 'number' ? readSlabs(node, axis, channels, own) : undefined;
    if (!slabs || typeof channels !== 'number') continue;
    const known = found.get(shape.input);
    if (!known) found.set(shape.input, { axis, channels, layers: [node], slabs: slabs.map((s) => [s]) });
    else if (known.axis === axis) {
      known.layers.push(node);
      slabs.forEach((s, c) => item(known.slabs, c).push(s));
    } // both have a slab for each channel
  }
  return [...found].map(([value, rest]) => ({ value, ...rest }));
}

/** Whether quantization may have put the tensor into codes before it gets here. */
function comesInCodes(v: Value): boolean {
  const node = v.producer;
  const role = node && specOf(node)?.quant.role;
  if (!node || role === undefined || role === 'float') return false;
  if (role === 'compute') return true;
  const data = dataInputs(node)
    .map((i) => node.inputs[i])
    .filter((x): x is Value => x !== null && x !== undefined && !x.isInitializer);
  return data.length > 0 && data.every(comesInCodes);
}
