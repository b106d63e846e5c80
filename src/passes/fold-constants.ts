import { ancestors } from '../ir/ancestors.js';
import { QuantError } from '../base/errors.js';
import { Graph, Node, Value, type Use } from '../ir/graph.js';
import { allGraphs, createModel, type Model } from '../ir/model.js';
import { cloneGraph } from '../ir/clone.js';
import { dtypeBits } from '../ir/dtype.js';
import { turnedTensor } from '../ir/rows.js';
import type { Tensor } from '../ir/tensor.js';
import { linearViews, specOf } from '../ops/index.js';
import { sizeOf } from '../ops/spec.js';
import type { Pass, PassContext, PassResult } from '../rewrite/pass.js';

/** Results above this many elements are folded only when they are no larger than what they replace. */
const LARGE_ELEMENTS = 1 << 18;
/** The same for {@link foldLargeConstants}: 64 MiB of float32. */
const HUGE_ELEMENTS = 1 << 24;

/**
 * Computes every node whose inputs are all constants, in onnxruntime, in one run, and keeps the results as
 * initializers. Left alone: ops that are not functions of their inputs, nodes with subgraphs, dequantized weights and
 * weights that are put together from fewer numbers (they are stored small on purpose), such as an embedding table that
 * a product reads turned around, and results much larger than their inputs.
 */
export const foldConstants = {
  name: 'fold-constants',
  doc: 'Computes constant subgraphs once.',
  numerics: 'close',
  run: (ctx) => foldAll(ctx, 'fold-constants', LARGE_ELEMENTS, 'shared'),
} satisfies Pass;

/**
 * What {@link foldConstants} leaves: weights of layers that are made of fewer numbers, or of the weight of another
 * layer. Integer kernels take constants alone, and codes take less than float32 does.
 */
export const foldSharedWeights = {
  name: 'fold-shared-weights',
  doc: 'Gives layers whose weights are made of fewer numbers, or of those of others, plain ones: for quantization.',
  numerics: 'close',
  run: (ctx) => foldAll(ctx, 'fold-shared-weights', HUGE_ELEMENTS, 'others'),
} satisfies Pass;

/**
 * As {@link foldConstants}, also where the results are much larger than their inputs: fewer nodes for a larger file.
 */
export const foldLargeConstants = {
  name: 'fold-large-constants',
  doc: 'Computes constant subgraphs once, also where the result makes the file much larger.',
  numerics: 'close',
  run: (ctx) => foldAll(ctx, 'fold-large-constants', HUGE_ELEMENTS, 'none'),
} satisfies Pass;

/** What stays as it is made: nothing, weights that are stored small or shared, or all others. */
type Kept = 'none' | 'shared' | 'others';

async function foldAll(ctx: PassContext, name: string, limit: number, keeps: Kept): Promise<PassResult> {
  let changes = 0;
  const tooLarge = (node: Node, elements: number): void =>
    ctx.refuse(
      name,
      node,
      `its result of ${elements} elements is more than ${limit}, and larger than what it is made of`,
    );
  for (const graph of allGraphs(ctx.model.graph)) {
    const constant = constantNodes(graph, ctx.model, { limit, keeps, refuse: tooLarge });
    const turned = turnLarge(graph, constant);
    changes += turned + (await foldGraph(graph, ctx, withoutLarge(constant)));
  }
  return { changes };
}

/** Matrices from this size are turned when they are read: a copy would take as much memory once more. */
const TURNED_BYTES = 4 * 2 ** 20;
/** Tensors from this size are not computed with: onnxruntime would hold them, and what it makes of them. */
const COMPUTED_BYTES = 128 * 2 ** 20;

/** Replaces Transposes of large constant matrices, and takes them out of `constant`. */
function turnLarge(graph: Graph, constant: ReadonlySet<Node>): number {
  let changes = 0;
  for (const node of constant) {
    const [x, y] = [node.inputs[0], node.outputs[0]];
    const perm = node.attrs.has('perm') ? node.ints('perm').join() : '1,0';
    if (node.op !== 'Transpose' || !x?.isInitializer || x.data?.dims.length !== 2 || perm !== '1,0' || !y) continue;
    if (x.data.dtype === 'string' || x.data.byteLength < TURNED_BYTES || dtypeBits(x.data.dtype) % 8) continue;
    const { name } = y;
    y.name = `${name}__folded`;
    graph.replaceUses(y, graph.addInitializer(new Value(name), turnedTensor(x.data)));
    graph.remove(node);
    changes++;
  }
  return changes;
}

/** Without nodes that read a constant that is too large to be computed with, and those after them; in order. */
function withoutLarge(constant: ReadonlySet<Node>): ReadonlySet<Node> {
  const kept = new Set<Node>();
  const isLarge = (v: Value | null): boolean =>
    v?.isInitializer
      ? v.data?.dtype !== 'string' && (v.data?.byteLength ?? 0) > COMPUTED_BYTES
      : v?.producer !== undefined && constant.has(v.producer) && !kept.has(v.producer);
  for (const n of constant) if (n.graph && !n.inputs.some(isLarge)) kept.add(n);
  return kept;
}

interface FoldLimits {
  readonly limit: number;
  readonly keeps: Kept;
  readonly refuse: (node: Node, elements: number) => void;
}
/** Nodes that depend on constants alone. */
function constantNodes(graph: Graph, model: Model, { limit, keeps, refuse }: FoldLimits): ReadonlySet<Node> {
  const constant = new Set<Node>();
  const isConstant = (v: Value): boolean =>
    v.isInitializer ? !model.graph.isInput(v) : v.producer !== undefined && constant.has(v.producer);
  for (const node of graph.topological())
    if (canFold(node) && node.inputs.every((v) => v === null || isConstant(v))) constant.add(node);
  const shared = keeps === 'none' ? undefined : storedSmall(constant);
  for (const node of [...constant]) if (shared?.has(node) === (keeps === 'shared')) constant.delete(node);
  for (const node of [...constant]) {
    const elements = resultSize(node);
    if (elements > limit && elements > node.inputs.reduce((n, v) => n + (v?.data?.size ?? sizeOf(v?.shape, 0)), 0)) {
      constant.delete(node);
      refuse(node, elements);
    }
  }
  // A node kept for its size takes its consumers out too: they have an input that is not folded.
  for (const node of graph.topological())
    if (constant.has(node) && !node.inputs.every((v) => v === null || isConstant(v))) constant.delete(node);
  return constant;
}

/**
 * Numbers of which a weight is made: fewer are a pattern, such as a kernel that blurs, of which no one wants to save.
 */
const LEAST_SOURCE = 64;

/**
 * Nodes that make weights of layers, or their codes, of fewer numbers than they have: by masks, indices or hashes, or
 * of numbers that stay, for others read them.
 */
function storedSmall(constant: ReadonlySet<Node>): ReadonlySet<Node> {
  const kept = new Set<Node>();
  const stays = (v: Value): boolean => v.isGraphOutput || [...v.uses].some((u) => !constant.has(u.node));
  for (const node of constant)
    for (const made of node.outputs) {
      if (![...made.uses].some((u) => !constant.has(u.node) && readsWeight(u))) continue;
      const cone = ancestors(made);
      const sources = new Set([...cone].flatMap((n) => n.inputs.filter((v) => v !== null && !v.producer)));
      const sizeOfSource = (v: Value | null): number => v?.data?.size ?? 0;
      const freed = [...sources].filter((v) => !v || !stays(v));
      const held = freed.reduce((sum, v) => sum + sizeOfSource(v), 0);
      if (Math.max(0, ...[...sources].map(sizeOfSource)) >= LEAST_SOURCE && held < sizeOf(made.shape, 0))
        for (const n of cone) kept.add(n);
    }
  return kept;
}
const readsWeight = ({ node, index }: Use): boolean =>
  node.op === 'DequantizeLinear'
    ? index === 0
    : linearViews(node).some((v) => v.weight === index && (v.kind === 'window' || v.kind === 'product'));

/**
 * Folds nodes in one run; where onnxruntime does not take them all, those that it takes one by one: the next round goes
 * on from there.
 */
async function foldGraph(graph: Graph, ctx: PassContext, constant: ReadonlySet<Node>): Promise<number> {
  if (!constant.size) return 0;
  const wanted = [...constant]
    .flatMap((n) => n.outputs)
    .filter((o) => o.name && (o.isGraphOutput || [...o.uses].some((u) => !constant.has(u.node))));
  // Constant nodes that nobody uses need no run, and a model without outputs would not load.
  const results = wanted.length
    ? await evaluated(ctx, subgraphModel(ctx.model, constant, wanted))
    : new Map<string, Tensor>();
  if (typeof results === 'string') {
    const ready = [...constant].filter((n) => n.inputs.every((v) => v === null || v.isInitializer));
    if (constant.size === 1) {
      for (const n of ready) ctx.refuse('fold-constants', n, results);
      return 0;
    }
    let removed = 0;
    for (const n of ready) removed += await foldGraph(graph, ctx, new Set([n]));
    return removed;
  }
  for (const o of wanted) {
    const tensor = results.get(o.name);
    if (!tensor || o.isGraphOutput) continue;
    const name = o.name;
    o.name = `${name}__folded`;
    graph.replaceUses(o, graph.addInitializer(new Value(name), tensor));
  }
  let removed = 0;
  for (const n of [...constant].reverse())
    if (n.outputs.every((o) => o.uses.size === 0 && !o.isGraphOutput)) {
      graph.remove(n);
      removed++;
    }
  return removed;
}

/** The values of a constant model, or why the runtime does not compute them: an element type or opset it lacks. */
async function evaluated({ evaluate }: PassContext, model: Model): Promise<ReadonlyMap<string, Tensor> | string> {
  try {
    return await evaluate(model);
  } catch (e) {
    if (e instanceof QuantError && e.code === 'MODEL_RUNTIME') return e.message;
    throw e;
  }
}

function canFold(node: Node): boolean {
  const spec = specOf(node);
  return (
    spec !== undefined &&
    spec.foldable &&
    node.subgraphs().length === 0 &&
    node.op !== 'DequantizeLinear' &&
    node.op !== 'QuantizeLinear' &&
    !node.outputs.some((o) => o.isGraphOutput)
  );
}

const resultSize = (node: Node): number => node.outputs.reduce((n, o) => n + sizeOf(o.shape, 0), 0);

/** A model of its own that computes the wanted values from constants. */
function subgraphModel(model: Model, nodes: ReadonlySet<Node>, wanted: readonly Value[]): Model {
  const graph = new Graph();
  const values = new Map<Value, Value>();
  const take = (v: Value): Value => {
    const known = values.get(v);
    if (known) return known;
    const made = new Value(v.name);
    if (v.data) graph.addInitializer(made, v.data);
    values.set(v, made);
    return made;
  };
  for (const n of nodes) {
    const copy = new Node(
      n.op,
      n.inputs.map((v) => v && take(v)),
      n.outputs.map((o) => o.name),
      n.domain,
      n.overload,
    );
    copy.name = n.name;
    for (const [k, a] of n.attrs)
      copy.attrs.set(k, a.type === 'graph' ? { ...a, value: cloneGraph(a.value, values) } : a);
    n.outputs.forEach((o, i) => {
      const c = copy.outputs[i];
      if (c) {
        c.dtype = o.dtype;
        c.shape = o.shape;
        values.set(o, c);
      }
    });
    graph.add(copy);
  }
  for (const v of wanted) graph.addOutput(take(v));
  const made = createModel(graph, model.opsets.get('') ?? 1, Math.max(model.irVersion, 4));
  for (const [domain, version] of model.opsets) made.opsets.set(domain, version);
  return made;
}
