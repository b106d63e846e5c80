/** Residual streams: tensors that sums tie together, with what writes to them and what reads them. */
import { dataOf, shapeOf } from '../../ir/known.js';
import type { Graph, Node, Use, Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import { linearView } from '../../ops/index.js';
import { isAddition, isIdentityNode, isLayerNormalization } from '../../ops/kinds.js';
import { normalAxis } from '../../ops/spec.js';

/** A constant that holds the channels of a stream along an axis. */
export interface Side {
  readonly constant: Value;
  readonly axis: number;
}
export interface Norm {
  readonly node: Node;
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
    if (isIdentityNode(n)) {
      if (n.inputs[0]) {
        join(n.inputs[0], y);
        inner.add(n);
      }
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
      if (v && !v.isInitializer && rootOfSums.has(find(v)))
        members.set(find(v), (members.get(find(v)) ?? new Set()).add(v));
  return [...members.values()].map((m) => describe(graph, m, inner, addends, own)).filter((s) => s.norms.length > 0);
}

const widthOf = (v: Value | undefined): number | undefined => {
  const size = v?.shape?.[v.shape.length - 1];
  return typeof size === 'number' && size > 1 && v?.dtype === 'float32' ? size : undefined;
};

type Own = (v: Value | null | undefined) => v is Value;
function describe(
  graph: Graph,
  values: ReadonlySet<Value>,
  inner: ReadonlySet<Node>,
  addends: readonly { to: Value; side: Side | undefined }[],
  own: Own,
): Stream {
  const size = widthOf([...values][0])!; // members have a width
  const writes: Side[] = addends.flatMap(({ to, side }) => (side && values.has(to) ? [side] : []));
  const [reads, norms, entries, exits] = [
    [] as Side[],
    [] as Norm[],
    [] as { value: Value; uses: Use[] }[],
    [] as { value: Value; nodes: Node[] }[],
  ];
  for (const v of values) {
    const made = !v.producer ? undefined : inner.has(v.producer) ? [] : written(v.producer, size, own);
    if (made) writes.push(...made);
    const others: Node[] = [];
    const uses: Use[] = [];
    for (const use of v.uses) {
      const { node, index } = use;
      if (inner.has(node) && node.outputs.some((y) => values.has(y))) {
        uses.push(use);
        continue;
      }
      const side = node.graph === graph && index === linearView(node)?.data ? readSide(node, size, own) : undefined;
      const norm = node.graph === graph && index === 0 ? normOf(node, size, own) : undefined;
      if (side) reads.push(side);
      else if (norm) norms.push(norm);
      else {
        others.push(node);
        continue;
      }
      uses.push(use);
    }
    if (!made) entries.push({ value: v, uses });
    else if (others.length || v.isGraphOutput) exits.push({ value: v, nodes: others });
  }
  return { size, writes, reads, norms, entries, exits };
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

/** A LayerNormalization of the last axis whose affine part can go into the weights that read it. */
function normOf(n: Node, size: number, own: Own): Norm | undefined {
  const [x, scale, bias] = n.inputs;
  const [y, ...rest] = n.outputs;
  if (
    !isLayerNormalization(n) ||
    !x?.shape ||
    !y ||
    y.isGraphOutput ||
    rest.some((o) => o.uses.size > 0) ||
    normalAxis(n.int('axis', -1), x.shape.length) !== x.shape.length - 1
  )
    return undefined;
  if (
    !scale?.isInitializer ||
    scale.data?.size !== size ||
    scale.data.f64().some((g) => g === 0) ||
    (bias && bias.data?.size !== size)
  )
    return undefined;
  const readers = [...y.uses].map(({ node, index }) => (index === 0 ? readSide(node, size, own) : undefined));
  return readers.length && readers.every((r) => r !== undefined) ? { node: n, readers } : undefined;
}
