/** Normalisations of the last axis, as one node or as exporters spell them, with their factors for each channel. */
import type { Graph, Node, Use, Value } from '../../ir/graph.js';
import { isMultiplication, isView, keepsValue, normalization, readsNoData } from '../../ops/kinds.js';
import { normalAxis } from '../../ops/spec.js';
import { isRmsNorm, RMS_NORMS } from '../../passes/fuse-rms-norm.js';
import { matchAt, parsePattern } from '../../rewrite/pattern.js';

/** A place that holds a constant. */
export interface ConstantAt {
  readonly node: Node;
  readonly index: number;
}
export interface NormSite {
  /** Where its data are read. */
  readonly nodes: ReadonlySet<Node>;
  readonly scale: ConstantAt;
  /** Undefined where nothing is added. */
  readonly bias: ConstantAt | undefined;
  readonly output: Value;
}

/** Normalisations of a graph by each node that reads their data. */
export function normSites(graph: Graph): ReadonlyMap<Node, NormSite> {
  const found = new Map<Node, NormSite>();
  for (const n of graph.topological()) {
    const site = siteOf(n) ?? spelledAt(n);
    if (site) for (const node of site.nodes) found.set(node, site);
  }
  return found;
}

function siteOf(n: Node): NormSite | undefined {
  const parts = normalization(n);
  const [y] = n.outputs;
  const rank = n.inputs[0]?.shape?.length;
  if (!parts || !y || rank === undefined || normalAxis(n.int('axis', -1), rank) !== rank - 1) return undefined;
  if (n.outputs.some((o, i) => i > 0 && i !== parts.sum && (o.uses.size > 0 || o.isGraphOutput))) return undefined;
  // what else is added belongs to the sum
  const more = n.inputs.some((v, i) => v && !parts.data.includes(i) && i !== parts.scale && i !== parts.bias);
  if (more) return undefined;
  return {
    nodes: new Set([n]),
    scale: { node: n, index: parts.scale },
    bias: n.inputs[parts.bias] ? { node: n, index: parts.bias } : undefined,
    output: y,
  };
}

const spellings = RMS_NORMS.map((text) => parsePattern(text));

/** x / √(mean(x²) + ε) · scale in single nodes, of which this is the last. */
function spelledAt(n: Node): NormSite | undefined {
  const index = n.inputs.findIndex((v) => v?.isInitializer === true && v.data?.dims.length === 1);
  if (index < 0 || n.inputs.length !== 2 || !n.outputs[0] || !isMultiplication(n)) return undefined;
  let divided = n.inputs[1 - index];
  const alone = (v: Value): boolean => v.uses.size === 1 && !v.isGraphOutput;
  while (divided?.producer && alone(divided) && keepsValue(divided.producer)) divided = divided.producer.inputs[0];
  const root = divided?.producer;
  if (!root || !alone(divided!)) return undefined;
  for (const pattern of spellings) {
    const m = matchAt(pattern, root);
    if (typeof m === 'string' || isRmsNorm(m) !== true) continue;
    return {
      nodes: new Set([m.node('q'), m.node('y')]),
      scale: { node: n, index },
      bias: undefined,
      output: n.outputs[0],
    };
  }
  return undefined;
}

/** Uses of a value, and of what shows it in another shape with the same last axis; sizes that are read do not count. */
export function* usesOf(v: Value, size: number): Generator<Use> {
  const waiting = [v];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    for (const use of next.uses) {
      const [y] = use.node.outputs;
      if (readsNoData(use.node)) continue;
      if (use.index === 0 && isView(use.node) && y && !y.isGraphOutput && lastOf(y) === size) waiting.push(y);
      else yield use;
    }
  }
}

/** What a value shows in another shape with the same last axis. */
export function behindViews(v: Value, size: number): Value {
  let from = v;
  while (
    from.producer &&
    isView(from.producer) &&
    from.producer.inputs[0] &&
    lastOf(from.producer.inputs[0]) === size
  ) {
    if (from.uses.size !== 1 || from.isGraphOutput) return v;
    [from] = from.producer.inputs as [Value]; // checked just now
  }
  return from.uses.size === 1 || from === v ? from : v;
}

const lastOf = (v: Value): unknown => v.shape?.[v.shape.length - 1];
