import { fail } from '../base/errors.js';
import { label, MAX_RANK, type Dim, type Graph, type Node, type Shape, type Value } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { elementCount, type Tensor } from '../ir/tensor.js';
import { specOf } from './index.js';
import { wholeSize, type InferContext, type Known } from './spec.js';

/** What inference found: small integer contents of shape tensors, beside the dtype and shape set on the values. */
export interface Inference {
  readonly ints: ReadonlyMap<Value, readonly Dim[]>;
}

/**
 * Infers dtypes and shapes through the whole model, subgraphs included, and sets them on the values. What the file
 * declares is kept where inference knows less. `inputShapes` overrides the declared shapes of inputs by name.
 */
export function inferShapes(model: Model, inputShapes: ReadonlyMap<string, Shape> = new Map()): Inference {
  const ints = new Map<Value, readonly Dim[]>();
  for (const v of model.graph.inputs) {
    const s = inputShapes.get(v.name);
    if (s) v.shape = s;
  }
  inferGraph(model.graph, model, ints);
  return { ints };
}

/**
 * Forgets types and shapes of everything but inputs, initializers and outputs: before inferring anew, or to save bytes
 * in the file.
 */
export function forgetInferred(model: Model): void {
  for (const g of allGraphs(model.graph))
    for (const n of g.nodes)
      for (const o of n.outputs)
        if (!o.isGraphOutput && !o.other) {
          o.shape = undefined;
          o.dtype = undefined;
          o.extra = undefined;
        }
}

function inferGraph(graph: Graph, model: Model, ints: Map<Value, readonly Dim[]>): void {
  for (const v of graph.initializers)
    if (v.data) {
      v.dtype = v.data.dtype;
      v.shape = v.data.dims;
    }
  for (const node of graph.topological()) {
    for (const [, g] of node.subgraphs()) inferGraph(g, model, ints);
    inferNode(node, model, ints);
  }
}

/** Infers one node's outputs from what is known of its inputs. */
export function inferNode(node: Node, model: Model, ints: Map<Value, readonly Dim[]> = new Map()): void {
  const outputs = specOf(node)?.infer(contextOf(node, model, ints)) ?? [];
  node.outputs.forEach((o, i) => {
    const k = outputs[i];
    if (!k) return;
    if (k.shape && k.shape.length > MAX_RANK) {
      fail(
        'MODEL_LIMIT',
        `'${label(node)}' (${node.op}) gives a tensor of ${k.shape.length} axes`,
        { node: label(node) },
        `tensors have at most ${MAX_RANK}`,
      );
    }
    // Sizes of damaged models may be fractions, negative or NaN; and computed lists may have holes.
    learn(
      o,
      {
        dtype: k.dtype,
        shape: k.shape && each(k.shape, wholeSize),
        ints: k.ints && k.ints.length <= MAX_INTS ? each(k.ints, wholeNumber) : undefined,
      },
      ints,
    );
  });
}

/** Longer integer constants are data, not shapes. */
const MAX_INTS = 4096;
/** Of so many values, only lists that can be shapes are remembered: memory must not grow far beyond the file. */
const MANY = 512;
/** The list as it is where `of` changes nothing: values whose shapes are equal share one. */
function each(list: readonly Dim[], of: (d: Dim | undefined) => Dim): readonly Dim[] {
  for (let i = 0; i < list.length; i++) if (of(list[i]) !== list[i]) return Array.from(list, of);
  return list;
}
/** An element of shape arithmetic; unknown where a double cannot hold it. */
const wholeNumber = (d: Dim | undefined): Dim =>
  typeof d === 'number' && !Number.isSafeInteger(d) ? null : (d ?? null);

const knownOf = (v: Value, ints: ReadonlyMap<Value, readonly Dim[]>): Known => ({
  dtype: v.dtype,
  shape: v.shape,
  ints: ints.get(v),
});

function contextOf(node: Node, model: Model, ints: Map<Value, readonly Dim[]>): InferContext {
  return {
    node,
    opset: model.opsets.get(node.domain) ?? 1,
    input: (i) => {
      const v = node.inputs[i];
      return v ? knownOf(v, ints) : undefined;
    },
    constant: (i) => constantAt(node.inputs[i]),
    subgraph: (name) =>
      node
        .subgraphs()
        .filter(([n]) => n === name)
        .flatMap(([, g]) => g.outputs.map((o) => knownOf(o, ints))),
  };
}

/** These give the elements of their first input, in order, under other dims. */
const VIEWS: ReadonlySet<string> = new Set(['Identity', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

/** The constant that a value is: an initializer, what a Constant gives, or a view of one. */
function constantAt(v: Value | null | undefined): Tensor | undefined {
  let at = v;
  for (let steps = 0; at && !at.data && steps < 100; steps++) {
    const node: Node | undefined = at.producer;
    if (node?.domain !== '') return undefined;
    if (node.op === 'Constant') {
      const attr = node.attrs.get('value');
      return attr?.type === 'tensor' ? shapedAs(v, attr.value) : undefined;
    }
    if (!VIEWS.has(node.op)) return undefined;
    at = node.inputs[0];
  }
  return at?.data && shapedAs(v, at.data);
}
function shapedAs(v: Value | null | undefined, data: Tensor): Tensor | undefined {
  if (!v || v.data === data) return data;
  const dims = v.shape?.filter((d) => typeof d === 'number');
  return dims && dims.length === v.shape?.length && elementCount(dims) === data.size ? data.reshaped(dims) : undefined;
}

/** Joins what is inferred with what was known; a number beats a symbol beats nothing. */
function learn(v: Value, k: Known, ints: Map<Value, readonly Dim[]>): void {
  if (k.dtype) v.dtype = k.dtype;
  if (k.ints && (k.ints.length <= MAX_RANK || ints.size < MANY)) ints.set(v, k.ints);
  if (!k.shape) return;
  v.shape = joined(k.shape, v.shape);
}

function joined(found: Shape, old: Shape | undefined): Shape {
  if (!old || old.length !== found.length) return found;
  const better = (i: number): Dim => {
    const [d = null, o = null] = [found[i], old[i]];
    return typeof d === 'number' ? d : typeof o === 'number' ? o : (d ?? o);
  };
  let [isFound, isOld] = [true, true];
  for (let i = 0; i < found.length; i++) {
    isFound &&= better(i) === found[i];
    isOld &&= better(i) === old[i];
  }
  return isFound ? found : isOld ? old : found.map((_, i) => better(i));
}
