/** The parts of a RunRecord that are read off models, plans and parameters. */
import { filled, item, named } from '../base/lists.js';
import type { HistogramStats } from '../calibrate/statistics/histogram.js';
import type { TensorStats } from '../calibrate/types.js';
import { constantsOf } from '../cost/constants.js';
import { cloneModel } from '../ir/clone.js';
import type { Feed } from '../ir/feed.js';
import { countNodes } from '../ir/count.js';
import type { Graph, Node, Use, Value } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { uniqueLabels } from '../ir/labels.js';
import { specOf } from '../ops/index.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import { bringsWeight, isConstantNode } from '../ops/kinds.js';
import type { Known } from '../ops/spec.js';
import type { Assigned } from '../quantize/assign.js';
import { pointName } from '../quantize/planners/static.js';
import type { Planned } from '../scheme/quantized.js';
import { codeRange } from '../scheme/params.js';
import type { Granularity, QuantParams } from '../scheme/types.js';
import type { Tensor } from '../ir/tensor.js';
import type { GraphFacts, ModelFacts, NodeFacts, PointFacts, StoredTensor } from '../record/index.js';
import { histogramOfStats, histogramOfWeight } from './histograms.js';
import { reasonOf } from './reasons.js';

const known = (v: Value | null): Known | undefined => (v ? { dtype: v.dtype, shape: v.shape } : undefined);

/** Multiply-accumulates of a node for one sample (unknown sizes count as 1). */
export function macsOf(n: Node): number {
  const spec = specOf(n);
  if (!spec || spec.cost === 'free') return 0;
  return spec.cost(
    n.inputs.map(known),
    n.outputs.map((o) => ({ dtype: o.dtype, shape: o.shape })),
    n,
  ).macs;
}

export function modelFacts(
  model: Model,
  name: string,
  bytes: number,
  sha256: string,
  macs: number | undefined,
): ModelFacts {
  let parameters = 0;
  for (const t of constantsOf(model)) parameters += t.size;
  const port = (v: Value) => ({ name: v.name, dtype: v.dtype ?? v.other?.kind ?? 'unknown', shape: v.shape ?? [] });
  return {
    name,
    bytes,
    sha256,
    parameters,
    nodes: countNodes(model),
    opset: model.opsets.get('') ?? 0,
    irVersion: model.irVersion,
    macs,
    inputs: model.graph.inputs.filter((v) => !v.data).map(port),
    outputs: model.graph.outputs.map(port),
    ...storedTensors(model),
  };
}

/** Tensors of a model that a record names: more would weigh it down. */
const MOST_STORED = 100;

/**
 * What fills the file: every tensor once, by the op that reads it in the end; what is dequantized first counts as of
 * who reads that.
 */
function storedTensors(model: Model): Required<Pick<ModelFacts, 'largest' | 'tensorBytes'>> {
  const found: StoredTensor[] = [];
  let tensorBytes = 0;
  const add = (name: string, data: Tensor, value: Value | undefined): void => {
    tensorBytes += data.byteLength;
    found.push({ name, dtype: data.dtype, bytes: data.byteLength, op: readerOf(value) });
  };
  for (const root of [model.graph, ...model.functions.map((f) => f.graph)]) {
    for (const g of allGraphs(root)) {
      for (const v of g.initializers) if (v.data) add(v.name, v.data, v);
      for (const n of g.nodes)
        if (isConstantNode(n))
          n.attrs.forEach((a) => {
            if (a.type === 'tensor') add(n.outputs[0]?.name ?? n.name, a.value, n.outputs[0]);
          });
    }
  }
  return {
    largest: found.sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1)).slice(0, MOST_STORED),
    tensorBytes,
  };
}

function readerOf(value: Value | undefined): string {
  let at = value;
  for (let steps = 0; at && steps < 8; steps++) {
    const [use] = at.uses;
    if (!use) return '';
    if (!bringsWeight(use.node)) return use.node.op;
    at = use.node.outputs[0];
  }
  return '';
}

/**
 * Multiply-accumulates by node name, for inputs of the shapes of one sample: a copy of the model is inferred with them.
 */
export function macsByNode(model: Model, example: Feed | undefined): ReadonlyMap<string, number> {
  const { model: copy, nodes } = cloneModel(model);
  if (example) {
    forgetInferred(copy);
    for (const o of copy.graph.outputs) o.shape = undefined;
    inferShapes(copy, new Map(Object.entries(example).map(([name, t]) => [name, t.dims])));
  }
  // every node has a copy
  return new Map([...uniqueLabels(model.graph.topological())].map(([n, name]) => [name, macsOf(named(nodes, n))]));
}

type PlannedNode = NodeFacts & Readonly<Record<'outputs' | 'constants' | 'followers', readonly string[]>>;

/** Without what only finds its kernel. */
export const asRecorded = ({ outputs: _o, constants: _c, followers: _f, ...node }: PlannedNode): NodeFacts => node;

/** Where each node with work of its own was planned to run. Taken before the rewrite, while the float nodes stand. */
export function nodeFacts(model: Model, planned: Planned, macs: ReadonlyMap<string, number>): PlannedNode[] {
  const names = uniqueLabels(model.graph.topological());
  // n is one of the keys
  return factsOf(names.keys(), names, planned, (n) => ({ macs: macs.get(named(names, n)) ?? 0 }));
}

/**
 * The same of nodes in branches of If and bodies of Loop and Scan, with names that no other node of the model has. How
 * often they run is not known, so they count no multiply-accumulates.
 */
export function bodyFacts(model: Model, planned: Planned): NodeFacts[] {
  const names = uniqueLabels([...allGraphs(model.graph)].flatMap((g) => g.topological()));
  const within = (graph: Graph, inside: string): NodeFacts[] =>
    graph.topological().flatMap((holder) =>
      holder.subgraphs().flatMap(([attribute, body]) => {
        const at = `${inside}${attribute} of ${named(names, holder)}`; // every node has a name
        const here = factsOf(body.topological(), names, planned, () => ({ macs: 0, body: at }));
        return [...here.map(asRecorded), ...within(body, `${at}, `)];
      }),
    );
  return within(model.graph, '');
}

function factsOf(
  nodes: Iterable<Node>,
  names: ReadonlyMap<Node, string>,
  planned: Planned,
  more: (n: Node) => { readonly macs: number; readonly body?: string },
): PlannedNode[] {
  const edges = [...planned.plan.keys()].flatMap((p) => ('uses' in p ? [] : [p]));
  return [...nodes]
    .filter((n) => {
      const r = specOf(n)?.quant.role;
      return r === 'compute' || r === 'arithmetic' || planned.floatNodes.has(n);
    })
    .map((n) => {
      const because = planned.floatNodes.get(n);
      return {
        name: named(names, n), // callers have names of all
        op: n.op,
        ...more(n),
        outputs: n.outputs.map((o) => o.name),
        constants: n.inputs.filter((v) => v?.data).map((v) => v!.name),
        followers: followersOf(n),
        planned: planned.integerNodes.has(n) ? 'integer' : 'float',
        ...(because !== undefined ? { because } : {}),
        ...pointsOf(n, planned, edges),
      };
    });
}

/** More nodes than this are not fused into one. */
const MOST_FOLLOWERS = 8;

/** What is made of a node's output alone before the next node with a weight: a kernel fused of them has one's name. */
function followersOf(n: Node): string[] {
  const names: string[] = [];
  let at = n.outputs[0];
  while (at && !at.isGraphOutput && at.uses.size === 1 && names.length < MOST_FOLLOWERS) {
    const [use] = at.uses;
    if (!use || specOf(use.node)?.quant.role === 'compute') break;
    at = use.node.outputs[0];
    if (at) names.push(at.name);
  }
  return names;
}

/** Which points a node reads and makes; what a clamp fused into it makes is its own. */
function pointsOf(
  n: Node,
  { plan, fusedClamps }: Planned,
  edges: readonly Use[],
): { readonly reads: readonly string[]; readonly makes: readonly string[] } {
  const clamp = fusedClamps.get(n);
  const reads = [...n.inputs.filter((v) => v !== null && plan.has(v)), ...edges.filter((e) => e.node === n)].map((p) =>
    pointName(p!),
  ); // null is filtered
  return {
    reads,
    makes: [n, ...(clamp ? [clamp] : [])]
      .flatMap((x) => x.outputs)
      .filter((v) => plan.has(v))
      .map(pointName),
  };
}

const granularityText = (g: Granularity): string =>
  g.kind === 'tensor'
    ? 'tensor'
    : g.kind === 'axis'
      ? `channel (axis ${g.axis})`
      : `block of ${g.size} (axis ${g.axis})`;
const finite = (xs: ArrayLike<number>): number[] => Array.from(xs, (x) => (Number.isFinite(x) ? x : 0));

/** What each point of the plan got, and why. */
export function pointFacts(
  planned: Planned,
  stats: ReadonlyMap<Value, TensorStats>,
  assigned: Assigned | undefined,
): PointFacts[] {
  const many = scalesOf(assigned) > MOST_SCALES;
  return [...planned.plan].map(([point, spec]) => {
    const params = assigned?.params.get(point);
    const brief = params !== undefined && (params.later !== undefined || (many && params.scale.length > FEW_SCALES));
    const value = 'uses' in point ? point : filled(point.node.inputs, point.index); // an edge in a plan has a value
    const seen = stats.get(value);
    const role = value.data ? (spec.kind === 'derived' ? 'bias' : 'weight') : 'activation';
    const measured = {
      ...(params ? (brief ? schemeFacts(params) : paramFacts(params)) : {}),
      ...(seen ? { observedMin: finite(seen.min), observedMax: finite(seen.max), count: seen.count } : {}),
      ...(seen && params && isHistogram(seen) ? histogramOfStats(seen, params) : {}),
      ...(value.data && params && !brief && role === 'weight' ? histogramOfWeight(value.data, params) : {}),
    };
    return {
      name: pointName(point),
      role,
      kind: spec.kind,
      because: reasonOf(spec, role, measured),
      ...(spec.kind === 'observed' ? { observer: spec.observer } : {}),
      ...measured,
    } satisfies PointFacts;
  });
}

/**
 * Scales of a whole model that a record holds: where there are more, those of weights with more than a few are left
 * out.
 */
const MOST_SCALES = 1 << 20;
const FEW_SCALES = 4096;
function scalesOf(assigned: Assigned | undefined): number {
  let n = 0;
  for (const { scale } of assigned?.params.values() ?? []) n += scale.length;
  return n;
}

/** Of weights of large models: the file holds the rest, more than a record should. */
const schemeFacts = ({ scheme }: QuantParams): Partial<PointFacts> => ({
  dtype: scheme.dtype,
  symmetric: scheme.symmetric,
  granularity: granularityText(scheme.granularity),
});

function paramFacts(p: QuantParams): Partial<PointFacts> {
  const [low, high] = codeRange(p.scheme);
  return {
    ...schemeFacts(p),
    scale: finite(p.scale),
    zeroPoint: Array.from(p.zeroPoint),
    // the lowest code of a negative scale is the largest value
    min: finite(p.scale.map((s, i) => ((s < 0 ? high : low) - item(p.zeroPoint, i)) * s)),
    max: finite(p.scale.map((s, i) => ((s < 0 ? low : high) - item(p.zeroPoint, i)) * s)),
  };
}

const isHistogram = (s: TensorStats): s is HistogramStats => s.kind === 'histogram';

/** A drawing of more nodes than this shows nothing, and weighs down the record. */
const MOST_NODES = 5000;

/**
 * The main graph by where its nodes run, in order; undefined beyond 5,000 nodes. Values that a subgraph captures are
 * edges to its node. Taken before the rewrite.
 */
export function graphFacts(model: Model, planned: Planned): GraphFacts | undefined {
  if (model.graph.nodes.size > MOST_NODES) return undefined;
  const order = model.graph.topological();
  const names = uniqueLabels(order);
  const at = new Map(order.map((n, i) => [n, i]));
  const edges: [number, number][] = [];
  const shapes: string[] = [];
  order.forEach((n, to) => {
    const from = new Map<number, Value>();
    for (const v of [...n.inputs, ...n.captures()]) {
      const i = v?.producer && at.get(v.producer);
      if (v && i !== undefined && !from.has(i)) from.set(i, v);
    }
    for (const [i, v] of from) {
      edges.push([i, to]);
      shapes.push(v.shape?.map((d) => d ?? '?').join('×') ?? '');
    }
  });
  // names are of these nodes
  return {
    nodes: order.map((n) => ({ name: named(names, n), op: n.op, region: regionOf(n, planned) })),
    edges,
    shapes,
  };
}

function regionOf(n: Node, planned: Planned): GraphFacts['nodes'][number]['region'] {
  const spec = specOf(n);
  const integer = planned.integerNodes.has(n);
  // joining integers rescales them
  if (spec?.cost === 'free' && !n.subgraphs().length && !(integer && spec.quant.role === 'arithmetic')) return 'moves';
  return integer ? 'integer' : 'float';
}
