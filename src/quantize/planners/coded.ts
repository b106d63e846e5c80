/** Planning of weights that are stored in another number format and computed with in float32. */
import { byName } from '../../base/lists.js';
import type { Node, Value } from '../../ir/graph.js';
import { ancestors } from '../../ir/ancestors.js';
import { dataOf } from '../../ir/known.js';
import { allGraphs, type Model } from '../../ir/model.js';
import { linearViews, specOf } from '../../ops/index.js';
import { sizeOf } from '../../ops/spec.js';
import { codings } from '../../scheme/codings/index.js';
import { matrixOf } from '../../scheme/codings/matrix.js';
import type { QuantPoint, QuantSpec } from '../../scheme/types.js';
import { selectNodes, type NodeFilter } from '../filter.js';
import { overridesOf, type LayerOverride, type NamedOptions } from '../overrides.js';
import type { Planned } from '../../scheme/quantized.js';
import { keptBecause } from '../stored-weight.js';

export interface CodedOptions {
  readonly coding: string;
  readonly options: unknown;
  readonly include: readonly NodeFilter[];
  readonly exclude: readonly NodeFilter[];
  /** Other codings for single layers; later ones win. */
  readonly layers?: readonly LayerOverride[];
  /** Nodes whose weights stay. */
  readonly kept?: ReadonlySet<Node>;
  /** Smaller weights stay. */
  readonly least?: number;
}

/**
 * Weights of products, convolutions, recurrent cells and embedding tables, in subgraphs too, float32 constants of at
 * least 512 elements. Throws RECIPE_UNKNOWN_NAME for filters that name nothing.
 */
export function planCoded(model: Model, o: CodedOptions): Planned {
  const order = [...allGraphs(model.graph)].flatMap((g) => g.topological());
  const compute = model.graph.topological().filter((n) => specOf(n)?.quant.role === 'compute');
  const included = o.include.length ? selectNodes(model.graph, o.include, compute) : undefined;
  const excluded = selectNodes(model.graph, o.exclude, compute);
  const layers = overridesOf(model.graph, o.layers ?? [], compute);
  const inputs = new Set<Value>(model.graph.inputs);
  const plan = new Map<QuantPoint, QuantSpec>();
  const weightOnlyNodes = new Set<Node>();
  const floatNodes = new Map<Node, string>();
  for (const n of order) {
    const own = (layers.get(n) ?? []).reduce((now, i) => o.layers?.[i]?.coding ?? now, {
      name: o.coding,
      options: o.options,
    });
    for (const { index, axis: ofNode } of weightsOf(n)) {
      const read = n.inputs[index];
      const made = read && !read.isInitializer ? valuesOf(read, plan) : undefined;
      const w = made ?? read;
      // Values that are picked from have no channels: one scale does for all.
      const axis = made?.data?.dims.length === 1 ? -1 : made ? 0 : ofNode;
      if (!w || o.kept?.has(n) || (w.data?.size ?? 0) < (o.least ?? 0)) continue;
      const reason = keptBecause(n, w, { inputs, included, excluded }) ?? refusal(w, axis, own);
      if (reason !== undefined) {
        if (specOf(n)?.quant.role === 'compute') floatNodes.set(n, reason);
        continue;
      }
      if (!plan.has(w) || layers.has(n)) plan.set(w, { kind: 'coded', coding: own.name, options: own.options, axis });
      weightOnlyNodes.add(n);
      floatNodes.set(n, `computes in float32 from ${own.name} weights`);
    }
  }
  return { plan, integerNodes: new Set(), weightOnlyNodes, fusedClamps: new Map(), floatNodes };

  function refusal({ data }: Value, axis: number, { name, options }: NamedOptions): string | undefined {
    const coding = byName(codings, name);
    return coding.refusal?.(matrixOf(data!.f32(), data!.dims, axis), options); // the caller checked that it is constant
  }
}

/**
 * The largest constant of those that a weight is made of, where it holds fewer numbers, as with a hash, or is stored
 * already as the weight of another.
 */
function valuesOf(weight: Value, planned: ReadonlyMap<QuantPoint, QuantSpec>): Value | undefined {
  const read = [...ancestors(weight)].flatMap((n) => n.inputs.flatMap((v) => (v && !v.producer ? v : [])));
  const floats = read.filter((v) => v.data?.dtype === 'float32');
  if (!floats.length || !read.every((v) => v.isInitializer)) return undefined;
  const largest = floats.reduce((a, b) => (dataOf(b).size > dataOf(a).size ? b : a));
  return dataOf(largest).size < sizeOf(weight.shape, 0) || planned.has(largest) ? largest : undefined;
}

/** The coding for all layers, and those of single ones. */
export const overridesCodings = (o: {
  readonly coding: NamedOptions;
  readonly layers?: readonly LayerOverride[];
}): NamedOptions[] => [o.coding, ...(o.layers ?? []).flatMap((l) => l.coding ?? [])];

/** Inputs of a node that are weights, and the axis of their output channels. */
function weightsOf(n: Node): readonly { readonly index: number; readonly axis: number }[] {
  const stored = linearViews(n).filter((v) => v.kind === 'lookup' || v.kind === 'cell');
  if (stored.length) return stored.map((v) => ({ index: v.weight, axis: v.scaleAxis }));
  const role = specOf(n)?.quant;
  if (role?.role !== 'compute') return [];
  const rank = n.inputs[role.weight]?.data?.dims.length ?? 0;
  const axis = role.channelAxis(n, rank);
  return [{ index: role.weight, axis: typeof axis === 'number' && (axis === 0 || axis === rank - 1) ? axis : 0 }];
}
