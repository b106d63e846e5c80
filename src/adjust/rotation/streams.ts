/** Residual streams: tensors that sums tie together, with what writes to them and what reads them. */
import { dataOf, shapeOf } from '../../ir/known.js';
import type { Graph, Node, Use, Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import { linearView } from '../../ops/index.js';
import { isAddition, isView, keepsValue, normalization, readsNoData } from '../../ops/kinds.js';
import { behindViews, normSites, usesOf, type ConstantAt, type NormSite } from './norms.js';

/** A constant that holds the channels of a stream along an axis. */
export interface Side {
  readonly constant: Value;
  readonly axis: number;
}
export interface Norm {
  /** Where its factors and addends are read. */
  readonly scale: ConstantAt;
  readonly bias: ConstantAt | undefined;
  readonly readers: readonly Side[];
}

export interface Stream {
  readonly size: number;
  /** Weights, biases, tables and addends that write to it. */
  readonly writes: readonly Side[];
  /** Weights that read it. */
  readonly reads: readonly Side[];
  /** Normalisations that read it and are read by weights alone. */
  readonly norms: readonly Norm[];
  /** Tensors of it that are made by anything else, and where they enter. */
  readonly entries: readonly { readonly value: Value; readonly uses: readonly Use[] }[];
  /** A node that adds to it and normalises, of which something else than weights of its own reads the result. */
  readonly stuck: string | undefined;
  /** Tensors of it, but those, that anything else reads. */
  readonly exits: readonly { readonly value: Value; readonly nodes: readonly Node[] }[];
}

/** The streams of the main graph with a sum of two tensors and a normalisation in them. Needs inferred shapes. */
export function residualStreams(model: Model): Stream[] {
  const { graph } = model;
  const root = new Map<Value, Value>();
  const find = (v: Value): Value => {
    const up = root.get(v);
    return up && up !== v ? find(up) : v;
  };
  const join = (a: Value, b: Value): void => {
    for (const v of [a, b]) if (!root.has(v)) root.set(v, v);
    root.set(find(a), find(b));
  };
  const callers = new Set(graph.inputs);
  const own = (v: Value | null | undefined): v is Value =>
    v?.isInitializer === true &&
    v.data?.dtype === 'float32' &&
    v.uses.size === 1 &&
    !v.isGraphOutput &&
    !callers.has(v);
  const inner = new Set<Node>();
  const sums = new Set<Value>();
  const addends: { to: Value; side: Side | undefined }[] = [];
  for (const n of graph.topological()) {
    const [y] = n.outputs;
    const size = widthOf(y);
    if (!y || size === undefined) continue;
    if (keepsValue(n)) {
      if (n.inputs[0]) {
        join(n.inputs[0], y);
        inner.add(n);
      }
      continue;
    }
    const sum = normalization(n)?.sum;
    if (sum !== undefined) {
      const [a, b] = n.inputs as readonly [Value, Value]; // both are required
      if (widthOf(a) !== size || widthOf(b) !== size || shapeOf(a).length !== shapeOf(b).length) continue;
      join(a, b);
      sums.add(a);
      inner.add(n);
      const kept = n.outputs[sum];
      if (kept) join(kept, a);
      continue;
    }
    if (!isAddition(n)) continue;
    const [a, b] = n.inputs as readonly [Value, Value]; // Add has two
    const constant = [a, b].find((v) => v.isInitializer);
    const tensors = [a, b].filter((v) => v !== constant);
    // a width needs a shape
    if (tensors.some((v) => widthOf(v) !== size || shapeOf(v).length !== shapeOf(y).length)) continue;
    // A single number shifts all channels alike, which the rotation leaves as it is.
    const uniform = constant?.data?.size === 1;
    if (constant && !uniform && !(own(constant) && dataOf(constant).dims[dataOf(constant).dims.length - 1] === size))
      continue; // own: constant
    tensors.forEach((v) => {
      join(v, y);
    });
    inner.add(n);
    if (!constant) sums.add(y);
    else if (!uniform) addends.push({ to: y, side: { constant, axis: dataOf(constant).dims.length - 1 } });
  }
  const members = new Map<Value, Set<Value>>();
  const rootOfSums = new Set([...sums].map(find));
  for (const n of inner)
    for (const v of [...n.inputs, ...n.outputs])
      if (v && !v.isInitializer && root.has(v) && rootOfSums.has(find(v)))
        members.set(find(v), (members.get(find(v)) ?? new Set()).add(v));
  const sites = normSites(graph);
  return [...members.values()]
    .map((m) => describe(graph, m, { inner, addends, own, sites }))
    .filter((s) => s.norms.length > 0);
}

const widthOf = (v: Value | undefined): number | undefined => {
  const size = v?.shape?.[v.shape.length - 1];
  return typeof size === 'number' && size > 1 && v?.dtype === 'float32' ? size : undefined;
};

type Own = (v: Value | null | undefined) => v is Value;
interface Known {
  readonly inner: ReadonlySet<Node>;
  readonly addends: readonly { to: Value; side: Side | undefined }[];
  readonly own: Own;
  readonly sites: ReadonlyMap<Node, NormSite>;
}
function describe(graph: Graph, values: ReadonlySet<Value>, { inner, addends, own, sites }: Known): Stream {
  const size = widthOf([...values][0])!; // members have a width
  const writes: Side[] = addends.flatMap(({ to, side }) => (side && values.has(to) ? [side] : []));
  const norms = new Map<NormSite, Norm>();
  const [reads, entries, exits] = [
    [] as Side[],
    [] as { value: Value; uses: Use[] }[],
    [] as { value: Value; nodes: Node[] }[],
  ];
  let stuck: string | undefined;
  for (const v of values) {
    const maker = behindViews(v, size).producer;
    const made = !v.producer ? undefined : inner.has(v.producer) ? [] : maker && written(maker, size, own);
    if (made) writes.push(...made);
    const others: Node[] = [];
    const uses: Use[] = [];
    for (const use of v.uses) {
      const { node } = use;
      const site = node.graph === graph ? sites.get(node) : undefined;
      const known = site && (norms.get(site) ?? normOf(site, size, own));
      if (site && known) norms.set(site, known);
      const passesOn = inner.has(node) && node.outputs.some((y) => values.has(y));
      if (passesOn && !known && normalization(node)) stuck = node.name || node.op;
      if (known || passesOn) {
        uses.push(use);
        continue;
      }
      const behind = node.graph === graph ? readersOf(use, size, own) : undefined;
      if (!behind) {
        others.push(node);
        continue;
      }
      reads.push(...behind);
      uses.push(use);
    }
    if (!made) entries.push({ value: v, uses });
    else if (others.length || v.isGraphOutput) exits.push({ value: v, nodes: others });
  }
  return { size, writes, reads, norms: [...norms.values()], entries, exits, stuck };
}

/** The constants that make the last axis of a node's output. */
function written(n: Node, size: number, own: Own): Side[] | undefined {
  const view = linearView(n);
  if ((view?.kind !== 'product' && view?.kind !== 'lookup') || view.resultAxis !== -1) return undefined;
  const weight = n.inputs[view.weight];
  const bias = view.bias === undefined ? undefined : n.inputs[view.bias];
  if (!own(weight) || weight.data?.dims.length !== 2 || weight.data.dims[view.outputAxis] !== size) return undefined;
  if (!bias) return [{ constant: weight, axis: view.outputAxis }];
  if (!own(bias) || bias.data?.dims.at(-1) !== size) return undefined;
  return [
    { constant: weight, axis: view.outputAxis },
    { constant: bias, axis: bias.data.dims.length - 1 },
  ];
}

/** The weight of a product that reads the last axis of its first input. */
function readSide(n: Node, size: number, own: Own): Side | undefined {
  const view = linearView(n);
  if (view?.kind !== 'product' || view.dataAxis !== -1) return undefined;
  const weight = n.inputs[view.weight];
  return own(weight) && weight.data?.dims.length === 2 && weight.data.dims[view.inputAxis] === size
    ? { constant: weight, axis: view.inputAxis }
    : undefined;
}

/** The weights that read what a use takes, itself or in another shape; undefined where anything else does. */
function readersOf(use: Use, size: number, own: Own): Side[] | undefined {
  const all = [...throughView(use, size)].map((u) => weightAt(u, size, own));
  return all.every((side) => side !== undefined) ? all : undefined;
}
function* throughView(use: Use, size: number): Generator<Use> {
  const [y] = use.node.outputs;
  if (y && use.index === 0 && isView(use.node) && !y.isGraphOutput && y.shape?.at(-1) === size) yield* usesOf(y, size);
  else if (!readsNoData(use.node)) yield use;
}
const weightAt = ({ node, index }: Use, size: number, own: Own): Side | undefined =>
  index === linearView(node)?.data ? readSide(node, size, own) : undefined;

/** A normalisation whose affine part can go into the weights that read it. */
function normOf({ scale, bias, output }: NormSite, size: number, own: Own): Norm | undefined {
  const [gamma, beta] = [scale, bias].map((at) => at && at.node.inputs[at.index]);
  if (output.isGraphOutput || !gamma?.isInitializer || gamma.data?.size !== size || gamma.data.f64().includes(0))
    return undefined;
  if (bias && beta?.data?.size !== size) return undefined;
  const readers = [...usesOf(output, size)].map((u) => weightAt(u, size, own));
  return readers.length && readers.every((r) => r !== undefined) ? { scale, bias, readers } : undefined;
}
