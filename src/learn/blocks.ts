/** Where a model falls apart: runs of nodes whose weights are learned together, each by what it hands on. */
import type { Node, Value } from '../ir/graph.js';
import type { LayerShape } from '../channels/layer.js';
import { item } from '../base/lists.js';
import { specOf } from '../ops/index.js';

export const BLOCKS = ['layer', 'block', 'model'] as const;
export type BlockKind = (typeof BLOCKS)[number];

/** Nodes that follow each other in the order of the model, with at least one layer. */
export interface Block {
  readonly nodes: ReadonlySet<Node>;
  readonly layers: readonly LayerShape[];
  /** What layers before it made and it reads. */
  readonly inputs: readonly Value[];
  /** What it makes of them for nodes behind it, or for the user. */
  readonly outputs: readonly Value[];
}

/**
 * The blocks of a model in order; together they hold every node that depends on a layer.
 *
 * layer: each layer with what follows it up to the next; layers of one input, such as those of query, key and value,
 * are apart. block: between points through which all that is computed has to pass, which are the ends of residual
 * blocks, of attention and of feed-forward parts; a depthwise convolution takes the layer behind it along. One with
 * more than `most` layers falls into its layers. model: all of it.
 */
export function blocksOf(
  order: readonly Node[],
  layers: ReadonlyMap<Node, LayerShape>,
  kind: BlockKind,
  most = MOST_LAYERS,
): Block[] {
  const graph = new Crossings(order, new Set([...layers.values()].map((l) => l.input)));
  const cuts = (kind === 'model' ? [] : kind === 'layer' ? layerCuts(order, layers) : graph.narrow()).filter(
    (at) => at > 0 && at < order.length,
  );
  const ends = [...new Set([...cuts, order.length])].sort((a, b) => a - b);
  const runs: Run[] = [];
  let from = 0;
  for (const to of ends) {
    const own = order.slice(from, to).flatMap((n) => layers.get(n) ?? []);
    const last = runs[runs.length - 1];
    // What has no layer of its own belongs to the block before, or to the first.
    if (!own.length && last) last.to = to;
    else if (own.length) runs.push({ from: runs.length ? from : 0, to, layers: own });
    if (own.length || last) from = to;
  }
  const joined = kind === 'block' ? joinDepthwise(runs) : runs;
  return joined.flatMap((run) =>
    kind === 'block' && run.layers.length > most
      ? split(order, layers, run).map((r) => graph.block(r))
      : [graph.block(run)],
  );
}

/** Layers of a block beyond which it falls apart: no residual or attention block has as many. */
const MOST_LAYERS = 16;

interface Run {
  readonly from: number;
  to: number;
  readonly layers: readonly LayerShape[];
}

const layerCuts = (order: readonly Node[], layers: ReadonlyMap<Node, LayerShape>): number[] =>
  order.flatMap((n, i) => (layers.has(n) ? [i] : []));

function split(order: readonly Node[], layers: ReadonlyMap<Node, LayerShape>, run: Run): Run[] {
  const starts = layerCuts(order, layers).filter((at) => at >= run.from && at < run.to);
  return starts.map((at, i) => ({
    from: i === 0 ? run.from : at,
    to: starts[i + 1] ?? run.to,
    layers: [layers.get(item(order, at))].flatMap((l) => l ?? []),
  }));
}

/** A depthwise convolution mixes no channels: alone, it has little to make up for an error with. */
function joinDepthwise(runs: readonly Run[]): Run[] {
  const joined: Run[] = [];
  let open: Run | undefined;
  for (const run of runs) {
    const whole: Run = open ? { from: open.from, to: run.to, layers: [...open.layers, ...run.layers] } : run;
    const [only] = run.layers;
    open = run.layers.length === 1 && only && only.groups > 1 && only.rows === 1 ? whole : undefined;
    if (!open) joined.push(whole);
  }
  return open ? [...joined, open] : joined;
}

/** Which values lie across a place in the order. */
class Crossings {
  readonly #order: readonly Node[];
  /** Values that depend on a product or convolution, and where they are made: all others are cheap to make again. */
  readonly #made = new Map<Value, number>();
  /** What layers read: a residual may go round the first of them. */
  readonly #trunk: ReadonlySet<Value>;
  /** The last place at which a value is read; beyond the end for outputs of the model. */
  readonly #read = new Map<Value, number>();

  constructor(order: readonly Node[], trunk: ReadonlySet<Value>) {
    this.#order = order;
    this.#trunk = trunk;
    for (const [i, n] of order.entries()) {
      const reads = [...n.inputs, ...n.captures()].flatMap((v) => v ?? []);
      for (const v of reads) this.#read.set(v, i);
      if (specOf(n)?.quant.role === 'compute' || reads.some((v) => this.#made.has(v)))
        for (const y of n.outputs) this.#made.set(y, i);
    }
    for (const y of this.#made.keys()) if (y.isGraphOutput) this.#read.set(y, order.length);
  }

  /** Places that one value crosses at most. */
  narrow(): number[] {
    const narrow: number[] = [];
    const last = new Map<number, Value[]>();
    const counted = new Set([...this.#made.keys(), ...this.#trunk]);
    for (const v of counted) {
      const at = this.#read.get(v);
      if (at !== undefined) last.set(at, [...(last.get(at) ?? []), v]);
    }
    const live = new Set([...this.#trunk].filter((v) => !v.producer && this.#read.has(v)));
    for (const [i, n] of this.#order.entries()) {
      for (const v of last.get(i) ?? []) live.delete(v);
      for (const y of n.outputs) if (counted.has(y) && (this.#read.get(y) ?? -1) > i) live.add(y);
      if (live.size <= 1) narrow.push(i + 1);
    }
    return narrow;
  }

  block({ from, to, layers }: Run): Block {
    const nodes = new Set(this.#order.slice(from, to));
    const inputs = new Set<Value>();
    const outputs: Value[] = [];
    for (const n of nodes) {
      for (const v of [...n.inputs, ...n.captures()]) if (v && (this.#made.get(v) ?? from) < from) inputs.add(v);
      for (const y of n.outputs) if (this.#made.has(y) && (this.#read.get(y) ?? -1) >= to) outputs.push(y);
    }
    return { nodes, layers, inputs: [...inputs], outputs };
  }
}
