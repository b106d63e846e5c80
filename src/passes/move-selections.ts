import { label, type Attr, type Graph, type Node, type Value } from '../ir/graph.js';
import { allGraphs, nameMaker } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { elementwiseOps } from '../ops/elementwise.js';
import { specOf } from '../ops/index.js';
import { without } from '../ops/permutation.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { constantInts, fromStart, listOf, permutationOf, sameShape } from '../rewrite/facts.js';
import { removeUnused, replaceOutputs, type Pass } from '../rewrite/pass.js';

/**
 * f(x)[part] = f(x[part]) where f treats each place on the cut axes by itself: elementwise ops, Softmax and
 * normalisations of other axes, rows of products with constant matrices, Transpose. f then computes only what is used.
 * Moves a Slice, or a Gather of one or of fewer entries, up a chain of values with one user, as far as it goes. Refuses
 * to end right behind a Conv or a product: onnxruntime and quantization fuse what follows those.
 */
export const moveSelections = {
  name: 'move-selections',
  doc: 'Moves Slice and Gather before what would compute elements that they drop.',
  numerics: 'close',
  run(ctx) {
    let changes = 0;
    let names: ((base: string) => string) | undefined; // collecting all names is dear, and most graphs select nothing
    const freeName = (base: string): string => (names ??= nameMaker(ctx.model.graph))(base);
    for (const graph of allGraphs(ctx.model.graph)) {
      if (!graph.hasOp('Slice') && !graph.hasOp('Gather')) continue;
      for (const node of graph.topological()) {
        const cut = node.graph === graph && node.domain === '' ? selectionOf(node) : undefined;
        const x = node.inputs[0];
        if (!cut || !x) continue;
        const steps: Step[] = [];
        let [v, axes, reason] = [x, cut.axes, ''];
        for (;;) {
          const step = through(v, axes, cut.drops, graph, ctx.model.opsets.get('') ?? 1);
          if (typeof step === 'string') {
            reason = step;
            break;
          }
          steps.push(step);
          [v, axes] = [step.x, step.axes];
        }
        if (!steps.length) {
          if (reason) ctx.refuse('move-selections', node, reason);
          continue;
        }
        const before = v.producer?.graph === graph ? v.producer : undefined;
        if (before && v.uses.size === 1 && specOf(before)?.quant.role === 'compute') {
          ctx.refuse('move-selections', node, `it would come between '${label(before)}' and what fuses with it`);
          continue;
        }
        apply(node, v, axes, steps, new GraphBuilder(ctx.model, graph, freeName));
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

/** What a node takes: from which axes, and whether those go (Gather of one entry). */
interface Selection {
  readonly axes: readonly number[];
  readonly drops: boolean;
}
function selectionOf(n: Node): Selection | undefined {
  const [x, y] = [n.inputs[0]?.shape, n.outputs[0]?.shape];
  if (!x || !y || n.outputs.length !== 1 || n.inputs[0]?.isInitializer || sameShape(x, y)) return undefined;
  if (n.op === 'Slice') {
    const starts = n.attrs.has('starts') ? n.ints('starts').length : n.inputs[1]?.shape?.[0];
    const axes =
      listOf(n, 'axes', 3) ??
      (n.inputs[3] || typeof starts !== 'number' ? undefined : Array.from({ length: starts }, (_, i) => i));
    return axes && { axes: axes.map((a) => fromStart(a, x.length)), drops: false };
  }
  if (n.op !== 'Gather') return undefined;
  const axis = fromStart(n.int('axis', 0), x.length);
  const [indices, length] = [constantInts(n.inputs[1])?.length, x[axis]];
  const rank = n.inputs[1]?.shape?.length;
  if (indices === undefined || (rank !== 0 && rank !== 1) || typeof length !== 'number' || indices >= length)
    return undefined;
  return { axes: [axis], drops: rank === 0 };
}

/**
 * How a selection passes one node: to its input `index`, along `axes` of it, and to the constants that vary along them.
 */
interface Step {
  readonly node: Node;
  readonly x: Value;
  readonly index: number;
  readonly axes: readonly number[];
  readonly constants: readonly number[];
  readonly attrs?: Readonly<Record<string, Attr>>;
}

const elementwise = new Set(elementwiseOps.map((o) => o.op));
const FIRST_ONLY = new Set(['Clip', 'Dropout', 'Cast', 'Identity']);
const ALONG_AXIS = new Set(['Softmax', 'LogSoftmax', 'LpNormalization']);
/** Before, Softmax takes every axis from its own on. */
const SOFTMAX_OF_ONE_AXIS = 13;
const FROM_AXIS = new Set(['LayerNormalization', 'RMSNormalization']);

/** The step through the producer of `v`; a reason where it is of a kind that could be passed, '' where not. */
function through(v: Value, axes: readonly number[], drops: boolean, graph: Graph, opset: number): Step | string {
  const node = v.producer;
  const rank = v.shape?.length;
  const x = node?.inputs[0];
  if (node?.graph !== graph || node.domain !== '' || rank === undefined || !x) return '';
  const known =
    elementwise.has(node.op) ||
    ALONG_AXIS.has(node.op) ||
    FROM_AXIS.has(node.op) ||
    node.op === 'Transpose' ||
    (node.op === 'MatMul' && node.inputs[1]?.isInitializer === true);
  if (!known) return '';
  if (v.uses.size !== 1 || v.isGraphOutput || node.outputs.slice(1).some((o) => o.uses.size || o.isGraphOutput))
    return `'${v.name}' has other uses`;
  const lowest = Math.min(...axes);
  if (elementwise.has(node.op)) return throughElementwise(node, rank, axes, drops);
  if (x.shape?.length !== rank) return '';
  const step = { node, x, index: 0, axes, constants: [] };
  if (node.op === 'MatMul')
    return node.inputs[1]?.shape?.length === 2 && !axes.includes(rank - 1) && (!drops || rank > 2)
      ? step
      : 'it does not select rows of the product';
  if (node.op === 'Transpose') {
    const p = permutationOf(node);
    if (!p) return '';
    const from = axes.map((a) => p[a] ?? 0);
    return {
      ...step,
      axes: from,
      ...(drops ? { attrs: { perm: { type: 'ints', value: without(p, new Set(from)).map(BigInt) } } } : {}),
    };
  }
  const flattens = opset < SOFTMAX_OF_ONE_AXIS && node.op !== 'LpNormalization';
  const axis = fromStart(node.int('axis', flattens && !FROM_AXIS.has(node.op) ? 1 : -1), rank);
  if (FROM_AXIS.has(node.op) || flattens ? axes.some((a) => a >= axis) : axes.includes(axis))
    return `'${label(node)}' needs all of an axis that it cuts`;
  return {
    ...step,
    ...(drops ? { attrs: { axis: { type: 'int', value: BigInt(axis > lowest ? axis - 1 : axis) } } } : {}),
  };
}

function throughElementwise(node: Node, rank: number, axes: readonly number[], drops: boolean): Step | string {
  const operands = FIRST_ONLY.has(node.op) ? node.inputs.slice(0, 1) : node.inputs;
  const data = operands.flatMap((o, i) => (o && !o.isInitializer ? [i] : []));
  const index = data[0];
  const x = index === undefined ? undefined : node.inputs[index];
  if (data.length !== 1 || index === undefined || !x) return `'${label(node)}' combines several values`;
  const sizes = node.outputs[0]?.shape;
  if (x.shape?.length !== rank || axes.some((a) => x.shape?.[a] !== sizes?.[a] || x.shape?.[a] === null))
    return `'${label(node)}' may broadcast the axis that it cuts`;
  const constants: number[] = [];
  for (const [i, c] of operands.entries()) {
    if (!c || i === index) continue;
    const own = c.shape?.length ?? 0;
    const covered = axes.map((a) => a - (rank - own)).filter((a) => a >= 0);
    if (drops && covered.length) return `'${c.name}' has the axis that goes`;
    if (!covered.some((a) => c.shape?.[a] !== 1)) continue;
    if (covered.length !== axes.length || covered.some((a) => c.shape?.[a] === 1))
      return `'${c.name}' varies along some of the axes that it cuts`;
    constants.push(i);
  }
  return { node, x, index, axes, constants };
}

function apply(node: Node, x: Value, axes: readonly number[], steps: readonly Step[], b: GraphBuilder): void {
  const select = (v: Value, along: readonly number[], name: string): Value => {
    if (node.op === 'Gather')
      return b.op('Gather', [v, node.inputs[1] ?? null], { attrs: { axis: along[0] ?? 0 }, name });
    if (node.attrs.has('starts'))
      return b.op('Slice', [v], { attrs: { starts: node.ints('starts'), ends: node.ints('ends'), axes: along }, name });
    const given = constantInts(node.inputs[3]);
    const same = given ? given.every((a, i) => a === along[i]) : !node.inputs[3] && along.every((a, i) => a === i);
    return b.op(
      'Slice',
      [
        v,
        node.inputs[1] ?? null,
        node.inputs[2] ?? null,
        same
          ? (node.inputs[3] ?? null)
          : b.constant(node.inputs[1]?.dtype === 'int32' ? Tensor.i32(along) : Tensor.i64(along), `${name}_axes`),
        ...(node.inputs[4] ? [node.inputs[4]] : []),
      ],
      { name },
    );
  };
  let y = select(x, axes, node.name);
  const pairs: [Node, Node][] = [];
  for (const s of [...steps].reverse()) {
    const inputs = s.node.inputs.map((c, i) => {
      if (i === s.index) return y;
      return c && s.constants.includes(i)
        ? select(
            c,
            s.axes.map((a) => a - ((s.x.shape?.length ?? 0) - (c.shape?.length ?? 0))),
            c.name,
          )
        : c;
    });
    const made = b.node(s.node.op, inputs, s.node.outputs.length, {
      attrs: { ...Object.fromEntries(s.node.attrs), ...s.attrs },
      name: s.node.name,
    });
    made.outputs.forEach((o, i) => {
      if (i && !s.node.outputs[i]?.name) o.name = '';
    });
    pairs.push([made, s.node]);
    y = made.outputs[0] ?? y;
  }
  const wanted = node.outputs[0];
  const name = wanted?.isGraphOutput ? undefined : wanted?.name;
  replaceOutputs(b.graph, node, [y]);
  removeUnused(b.graph, [node, ...steps.map((s) => s.node)]);
  for (const [made, old] of pairs) {
    made.name = old.name;
    const o = made.outputs[0];
    if (o && !o.isGraphOutput) o.name = old.outputs[0]?.name ?? o.name;
  }
  if (name && !y.isGraphOutput && !wanted?.producer?.graph) y.name = name;
}
