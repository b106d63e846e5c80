import { cloneGraph } from '../ir/clone.js';
import type { Graph, Node, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { specOf } from '../ops/index.js';
import { inferNode } from '../ops/infer.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { fromStart, isStatic } from '../rewrite/facts.js';
import { moveInto, replaceByResults } from '../rewrite/subgraph.js';
import type { Pass } from '../rewrite/pass.js';

/** More copies of a body than this are not made, however few nodes are left of it. */
const MOST_TRIPS = 64;

/**
 * A Loop with a known number of trips becomes as many copies of its body: none gives back what came in, one always
 * pays, more only where fewer nodes are left, not counting what depends on constants and the iteration number alone and
 * so is folded. The number is known where the limit is constant, the condition constant true, and the body leaves it
 * so. A Scan over one element becomes its body. Scan outputs are joined by Concat.
 * https://onnx.ai/onnx/operators/onnx__Loop.html
 */
export const foldLoop = {
  name: 'fold-loop',
  doc: 'Replaces a Loop of known trips, or a Scan of one, by its body.',
  numerics: 'exact',
  run(ctx) {
    let changes = 0;
    const constant = (v: Value | null | undefined): Tensor | undefined =>
      v?.isInitializer && !ctx.model.graph.isInput(v) ? v.data : undefined;
    for (const graph of allGraphs(ctx.model.graph)) {
      for (const node of [...graph.nodes]) {
        const body =
          node.graph === graph && node.domain === '' && (node.op === 'Loop' || node.op === 'Scan')
            ? bodyOf(node)
            : undefined;
        if (!body) continue;
        const done =
          node.op === 'Loop'
            ? unrollLoop(node, body, new GraphBuilder(ctx.model, graph), constant)
            : inlineScan(node, body, new GraphBuilder(ctx.model, graph));
        if (done === true) changes++;
        else ctx.refuse('fold-loop', node, done);
      }
    }
    return { changes };
  },
} satisfies Pass;

type Constant = (v: Value | null | undefined) => Tensor | undefined;
function bodyOf(node: Node): Graph | undefined {
  const a = node.attrs.get('body');
  return a?.type === 'graph' ? a.value : undefined;
}

function unrollLoop(node: Node, body: Graph, b: GraphBuilder, constant: Constant): true | string {
  const trips = tripsOf(node, body, constant);
  if (typeof trips === 'string') return trips;
  const states = node.inputs.slice(2);
  const scans = body.outputs.length - 1 - states.length;
  if (scans < 0 || node.outputs.length > body.outputs.length - 1) return 'its outputs are not those of its body';
  if (states.includes(null) || body.inputs.length !== states.length + 2) return 'a state is omitted';
  if (trips > 1 && (trips > MOST_TRIPS || leftOf(node, body, constant) * trips + scans * (trips + 1) > nodesIn(body)))
    return `${trips} copies of its body would not be fewer nodes`;
  let values = states.filter((v) => v !== null);
  const collected: Value[][] = Array.from({ length: scans }, () => []);
  if (trips === 0 && scans) {
    const shapes = body.outputs.slice(1 + states.length).map((v) => ({ dtype: v.dtype, dims: v.shape }));
    if (!shapes.every((s) => s.dtype && s.dtype !== 'string' && isStatic(s.dims)))
      return 'it makes no trip, and the shape of what it collects is not known';
    const empty = shapes.map(({ dtype, dims }) =>
      b.constant(
        new Tensor(dtype ?? 'float32', [0, ...(isStatic(dims) ? dims : [])], new Uint8Array(0)),
        `${node.outputs[0]?.name ?? 'Loop'}_empty`,
      ),
    );
    replaceByResults(b.model, b.graph, node, [...values, ...empty]);
    return true;
  }
  for (let trip = 0; trip < trips; trip++) {
    const number = b.constant(Tensor.i64([trip], body.inputs[0]?.shape?.length === 1 ? [1] : []), 'trip');
    const go = b.constant(Tensor.codes('bool', [1], body.inputs[1]?.shape?.length === 1 ? [1] : []), 'go');
    const results = copyOf(body, [number, go, ...values], b);
    values = results.slice(1, 1 + values.length);
    results.slice(1 + values.length).forEach((v, i) => collected[i]?.push(unsqueezed(v, 0, b)));
  }
  replaceByResults(b.model, b.graph, node, [
    ...values,
    ...collected.map((parts) =>
      parts.length === 1
        ? parts[0]
        : b.op('Concat', parts, { attrs: { axis: 0 }, name: `${node.name || 'Loop'}_collected` }),
    ),
  ]);
  return true;
}

function inlineScan(node: Node, body: Graph, b: GraphBuilder): true | string {
  if ((b.model.opsets.get('') ?? 1) < 9) return 'before opset 9 it runs over a batch';
  const scanned = node.int('num_scan_inputs');
  const first = node.inputs.length - scanned;
  if (
    scanned < 0 ||
    first < 0 ||
    body.inputs.length !== node.inputs.length ||
    node.outputs.length > body.outputs.length ||
    body.outputs.length < first
  )
    return 'its inputs or outputs are not those of its body';
  const states = node.inputs.slice(0, first);
  const axes = node.ints('scan_input_axes', []);
  const given: { readonly x: Value; readonly axis: number }[] = [];
  for (const [i, x] of node.inputs.slice(first).entries()) {
    const axis = fromStart(axes[i] ?? 0, x?.shape?.length ?? 0);
    if (x?.shape?.[axis] !== 1) return 'the length that it runs over is not known to be 1';
    given.push({ x, axis });
  }
  if (states.includes(null)) return 'a state is omitted';
  const elements = given.map(({ x, axis }) => b.op('Squeeze', ...axesArguments(x, axis, b)));
  const results = copyOf(body, [...states.filter((v) => v !== null), ...elements], b);
  const out = node.ints(
    'scan_output_axes',
    results.slice(first).map(() => 0),
  );
  replaceByResults(b.model, b.graph, node, [
    ...results.slice(0, first),
    ...results.slice(first).map((v, i) => unsqueezed(v, out[i] ?? 0, b)),
  ]);
  return true;
}

/** A copy of the body in the builder's graph, its inputs being `given`; its results. */
function copyOf(body: Graph, given: readonly Value[], b: GraphBuilder): readonly Value[] {
  const values = new Map<Value, Value>();
  body.inputs.forEach((v, i) => {
    const to = given[i];
    if (to) values.set(v, to);
  });
  const copy = cloneGraph(body, values);
  for (const n of copy.topological()) inferNode(n, b.model);
  return moveInto(b.model, b.graph, copy);
}

/** Inputs and options of a Squeeze or Unsqueeze of one axis, which opset 13 made an input. */
function axesArguments(
  x: Value,
  axis: number,
  b: GraphBuilder,
): [inputs: Value[], options: { attrs?: { axes: readonly number[] } }] {
  return (b.model.opsets.get('') ?? 1) < 13
    ? [[x], { attrs: { axes: [axis] } }]
    : [[x, b.constant(Tensor.i64([axis]), 'axes')], {}];
}
const unsqueezed = (x: Value, axis: number, b: GraphBuilder): Value => b.op('Unsqueeze', ...axesArguments(x, axis, b));

/** How often the body runs, or why that is not known. */
function tripsOf(node: Node, body: Graph, constant: Constant): number | string {
  const [limit, go] = [node.inputs[0], node.inputs[1]];
  const most = limit ? constant(limit)?.numbersOrUndefined()?.[0] : Infinity;
  const starts = go ? flag(constant(go)) : true;
  if (starts === false || (most !== undefined && most <= 0)) return 0;
  if (most === undefined) return 'its number of trips is computed';
  if (starts === undefined) return 'its condition is computed';
  const stays = stateOf(body.outputs[0], body, constant);
  if (most === 1 || stays === false) return 1;
  if (stays !== true) return 'its body computes the condition';
  return Number.isFinite(most) ? most : 'it has no limit';
}
const flag = (t: Tensor | undefined): boolean | undefined =>
  t?.dtype === 'bool' && t.size === 1 ? t.bytes()[0] !== 0 : undefined;
/** What the condition is after a trip that began with a true one; undefined where computed. */
function stateOf(v: Value | undefined, body: Graph, constant: Constant): boolean | undefined {
  if (v === body.inputs[1]) return true;
  const p = v?.producer;
  if (p?.domain === '' && p.op === 'Identity') return stateOf(p.inputs[0] ?? undefined, body, constant);
  const written = p?.domain === '' && p.op === 'Constant' ? p.attrs.get('value') : undefined;
  return flag(written?.type === 'tensor' ? written.value : constant(v));
}

function nodesIn(graph: Graph): number {
  let count = 0;
  for (const g of allGraphs(graph)) for (const n of g.nodes) if (n.op !== 'Constant') count++;
  return count;
}

/** Nodes of one copy that are not computed beforehand: states count as constant while they begin and go on so. */
function leftOf(node: Node, body: Graph, constant: Constant): number {
  const states = body.inputs.slice(2);
  let fixed = new Set<Value>();
  for (let known = states.map((_, i) => constant(node.inputs[i + 2]) !== undefined); ;) {
    fixed = new Set([...body.inputs.slice(0, 2), ...states.filter((_, i) => known[i])]);
    const isFixed = (v: Value | null): boolean => !v || fixed.has(v) || constant(v) !== undefined;
    for (const n of body.topological())
      if (specOf(n)?.foldable && [...n.inputs, ...n.captures()].every(isFixed)) for (const o of n.outputs) fixed.add(o);
    const next = known.map((k, i) => k && isFixed(body.outputs[i + 1] ?? null));
    if (next.every((k, i) => k === known[i])) break;
    known = next;
  }
  return [...body.nodes].reduce(
    (count, n) =>
      count +
      (n.op === 'Identity' || n.op === 'Constant' || n.outputs.every((o) => fixed.has(o))
        ? 0
        : 1 + n.subgraphs().reduce((c, [, g]) => c + nodesIn(g), 0)),
    0,
  );
}
