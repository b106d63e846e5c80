/** The parts of a RunRecord that are read off models, plans and parameters. */
import type { HistogramStats } from '../calibrate/statistics/histogram.js';
import type { TensorStats } from '../calibrate/types.js';
import { cloneModel } from '../ir/clone.js';
import type { Feed } from '../ir/feed.js';
import { allGraphs, label, type Model, type Node, type Use, type Value } from '../ir/graph.js';
import { specOf } from '../ops/index.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import type { Known } from '../ops/spec.js';
import type { Assigned } from '../quantize/assign.js';
import { pointName, type Planned } from '../quantize/plan.js';
import { codeRange } from '../scheme/params.js';
import type { Granularity, QuantParams, QuantSpec } from '../scheme/types.js';
import type { ModelFacts, NodeFacts, PointFacts } from '../record/index.js';

const known = (v: Value | null): Known | undefined => v ? { dtype: v.dtype, shape: v.shape } : undefined;

/** Multiply-accumulates of a node for one sample (unknown sizes count as 1). */
export function macsOf(n: Node): number {
  const spec = specOf(n);
  if (!spec || spec.cost === 'free') return 0;
  return spec.cost(n.inputs.map(known), n.outputs.map((o) => ({ dtype: o.dtype, shape: o.shape })), n).macs;
}

export function modelFacts(model: Model, name: string, bytes: number, sha256: string, macs: number | undefined): ModelFacts {
  let parameters = 0;
  let nodes = 0;
  for (const g of allGraphs(model.graph)) { nodes += g.nodes.size; for (const v of g.initializers) parameters += v.data?.size ?? 0; }
  const port = (v: Value) => ({ name: v.name, dtype: v.dtype ?? v.other?.kind ?? 'unknown', shape: v.shape ?? [] });
  return {
    name, bytes, sha256, parameters, nodes, opset: model.opsets.get('') ?? 0, irVersion: model.irVersion,
    macs,
    inputs: model.graph.inputs.filter((v) => !v.data).map(port), outputs: model.graph.outputs.map(port),
  };
}

/** Multiply-accumulates by node name, for inputs of the shapes of one sample: a copy of the model is inferred with them. */
export function macsByNode(model: Model, example: Feed | undefined): ReadonlyMap<string, number> {
  const { model: copy } = cloneModel(model);
  if (example) {
    forgetInferred(copy);
    for (const o of copy.graph.outputs) o.shape = undefined;
    inferShapes(copy, new Map(Object.entries(example).map(([name, t]) => [name, t.dims])));
  }
  return new Map([...copy.graph.nodes].map((n) => [label(n), macsOf(n)]));
}

/** Where each node with work of its own was planned to run. Taken before the rewrite, while the float nodes stand. */
export function nodeFacts(model: Model, planned: Planned, macs: ReadonlyMap<string, number>): (NodeFacts & { readonly outputs: readonly string[]; readonly constants: readonly string[] })[] {
  const edges = [...planned.plan.keys()].flatMap((p) => ('uses' in p ? [] : [p]));
  return model.graph.topological().filter((n) => { const r = specOf(n)?.quant.role; return r === 'compute' || r === 'arithmetic' || planned.floatNodes.has(n); }).map((n) => {
    const because = planned.floatNodes.get(n);
    return {
      name: label(n), op: n.op, macs: macs.get(label(n)) ?? 0, outputs: n.outputs.map((o) => o.name), constants: n.inputs.filter((v) => v?.data).map((v) => v!.name),
      planned: planned.integerNodes.has(n) ? 'integer' : 'float', ...(because !== undefined ? { because } : {}), ...pointsOf(n, planned, edges),
    };
  });
}

/** Which points a node reads and makes; what a clamp fused into it makes is its own. */
function pointsOf(n: Node, { plan, fusedClamps }: Planned, edges: readonly Use[]): { readonly reads: readonly string[]; readonly makes: readonly string[] } {
  const clamp = fusedClamps.get(n);
  const reads = [...n.inputs.filter((v) => v !== null && plan.has(v)), ...edges.filter((e) => e.node === n)].map((p) => pointName(p!)); // null is filtered
  return { reads, makes: [n, ...(clamp ? [clamp] : [])].flatMap((x) => x.outputs).filter((v) => plan.has(v)).map(pointName) };
}

const granularityText = (g: Granularity): string => (g.kind === 'tensor' ? 'tensor' : g.kind === 'axis' ? `channel (axis ${g.axis})` : `block of ${g.size} (axis ${g.axis})`);
const finite = (xs: ArrayLike<number>): number[] => Array.from(xs, (x) => (Number.isFinite(x) ? x : 0));

/** What each point of the plan got, and why. */
export function pointFacts(planned: Planned, stats: ReadonlyMap<Value, TensorStats>, assigned: Assigned | undefined): PointFacts[] {
  return [...planned.plan].map(([point, spec]) => {
    const params = assigned?.params.get(point);
    const value = 'uses' in point ? point : point.node.inputs[point.index]!; // an edge in a plan has a value
    const seen = stats.get(value);
    return {
      name: pointName(point),
      role: value.data ? (spec.kind === 'derived' ? 'bias' : 'weight') : 'activation',
      kind: spec.kind, because: reasonOf(spec),
      ...(params ? paramFacts(params) : {}),
      ...(spec.kind === 'observed' ? { observer: spec.observer } : {}),
      ...(seen ? { observedMin: finite(seen.min), observedMax: finite(seen.max), count: seen.count } : {}),
      ...(seen && params && isHistogram(seen) ? histogramFacts(seen, params) : {}),
    } satisfies PointFacts;
  });
}

function reasonOf(spec: QuantSpec): string {
  switch (spec.kind) {
    case 'observed': return 'its range is measured';
    case 'fixed': return 'its range is known beforehand';
    case 'shared': return `moves the codes of '${pointName(spec.with)}'`;
    case 'derived': return `scale of '${pointName(spec.from[0])}' × scale of '${pointName(spec.from[1])}'`;
    case 'float': return spec.because;
  }
}

function paramFacts(p: QuantParams): Partial<PointFacts> {
  const [low, high] = codeRange(p.scheme);
  return {
    dtype: p.scheme.dtype, symmetric: p.scheme.symmetric, granularity: granularityText(p.scheme.granularity),
    scale: finite(p.scale), zeroPoint: Array.from(p.zeroPoint),
    min: finite(p.scale.map((s, i) => (low - p.zeroPoint[i]!) * s)), max: finite(p.scale.map((s, i) => (high - p.zeroPoint[i]!) * s)),
  };
}

const isHistogram = (s: TensorStats): s is HistogramStats => s.kind === 'histogram';

const REPORT_BINS = 96;
/** A coarse histogram of the first channel's values for the report, and the share of values that the range cuts off. */
function histogramFacts(h: HistogramStats, p: QuantParams): Pick<PointFacts, 'histogram' | 'clipped'> {
  const limit = h.limit[0]!;
  const width = limit / h.bins;
  const [codeLow, codeHigh] = codeRange(p.scheme);
  const [low, high] = [(codeLow - p.zeroPoint[0]! - 0.5) * p.scale[0]!, (codeHigh - p.zeroPoint[0]! + 0.5) * p.scale[0]!];
  const from = Math.max(-limit, Math.min(0, h.min[0]!));
  const to = Math.min(limit, Math.max(0, h.max[0]!));
  if (!(to > from)) return {};
  const counts = new Array<number>(REPORT_BINS).fill(0);
  let total = h.zeros[0]!;
  let outside = 0;
  for (let i = 0; i < 2 * h.bins; i++) {
    const n = h.counts[i]!;
    if (!n) continue;
    const x = -limit + (i + 0.5) * width;
    total += n;
    if (x < low || x > high) outside += n;
    const at = Math.floor(((x - from) / (to - from)) * REPORT_BINS);
    counts[Math.min(REPORT_BINS - 1, Math.max(0, at))]! += n;
  }
  return { histogram: { low: from, high: to, counts }, clipped: total ? outside / total : 0 };
}
