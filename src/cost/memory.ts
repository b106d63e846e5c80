/**
 * Peak memory of activations: which buffers live at the same time in the order that the model runs, and a plan that
 * shares them.
 */
import { item } from '../base/lists.js';
import { label, type Graph, type Node, type Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { specOf } from '../ops/index.js';
import { isView } from '../ops/kinds.js';
import { perElement } from '../ops/spec.js';
import { Arena } from './arena.js';
import { constantBehind } from './constants.js';
import { bytesOf } from './nodes.js';

export interface MemoryPlan {
  /** Largest sum of live buffers at any node: no plan in this order needs less. */
  readonly peakBytes: number;
  /** The node at which it is reached. */
  readonly peakNode: string;
  /** What lives there, largest first. */
  readonly live: readonly { readonly name: string; readonly bytes: number }[];
  /** Size of one arena in which every buffer has a fixed place. */
  readonly arenaBytes: number;
  readonly buffers: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly offset: number;
    /** Positions of the nodes that write it and that read it last. */ readonly from: number;
    readonly to: number;
  }[];
}

interface Buffer {
  readonly names: string[];
  bytes: number;
  readonly from: number;
  to: number;
}

/**
 * The plan for the main graph in topological order. Graph inputs live from the start, outputs to the end; weights, and
 * what Identity and Constant make of them, are not activations. A view (Reshape …) shares its input's buffer; an
 * element-wise op writes over an input of the same size that nobody reads later. Buffers get the lowest place that is
 * free for as long as they live, largest first.
 * Source: Pisarchyk & Lee 2020, "Efficient Memory Management for Deep Neural Net Inference" (arXiv 2001.03288), greedy
 * by size.
 */
export function memoryPlan(model: Model): MemoryPlan {
  const order = model.graph.topological();
  const last = lastReads(model.graph, order);
  const bufferOf = new Map<Value, Buffer>();
  const buffers: Buffer[] = [];
  const start = (v: Value, at: number): void => {
    const buffer: Buffer = { names: [v.name], bytes: bytesOf(v), from: at, to: last.get(v) ?? at };
    bufferOf.set(v, buffer);
    buffers.push(buffer);
  };
  for (const v of model.graph.inputs) if (!v.data) start(v, 0);
  order.forEach((node, at) => {
    const reused = reusable(node, at, bufferOf, last);
    node.outputs.forEach((y, i) => {
      if (constantBehind(y)) return; // made when the model is loaded
      if (i === 0 && reused) {
        reused.names.push(y.name);
        reused.bytes = Math.max(reused.bytes, bytesOf(y));
        reused.to = Math.max(reused.to, last.get(y) ?? at);
        bufferOf.set(y, reused);
      } else start(y, at);
    });
  });
  const { peakBytes, peakAt } = peakOf(buffers, order.length);
  const placed = place(buffers, order.length);
  return {
    peakBytes,
    peakNode: order[peakAt] === undefined ? '' : label(order[peakAt]),
    live: buffers
      .filter((b) => b.from <= peakAt && peakAt <= b.to)
      .sort((a, b) => b.bytes - a.bytes)
      .map((b) => ({ name: item(b.names, 0), bytes: b.bytes })), // a buffer has the name that started it
    arenaBytes: placed.reduce((n, p) => Math.max(n, p.offset + p.bytes), 0),
    buffers: placed,
  };
}

/**
 * The position of the last node that reads each value; the end of the graph for its outputs. A subgraph reads what it
 * captures.
 */
function lastReads(graph: Graph, order: readonly Node[]): Map<Value, number> {
  const last = new Map<Value, number>();
  const read = (node: Node, at: number): void => {
    for (const v of node.inputs) if (v) last.set(v, at);
    for (const [, g] of node.subgraphs()) {
      for (const n of g.nodes) read(n, at);
      for (const v of g.outputs) last.set(v, at);
    }
  };
  order.forEach(read);
  for (const v of graph.outputs) last.set(v, order.length);
  return last;
}

/** The buffer that a node's first output can lie in. */
function reusable(
  node: Node,
  at: number,
  bufferOf: ReadonlyMap<Value, Buffer>,
  last: ReadonlyMap<Value, number>,
): Buffer | undefined {
  const y = node.outputs[0];
  if (!y || node.domain !== '') return undefined;
  if (isView(node)) return node.inputs[0] ? bufferOf.get(node.inputs[0]) : undefined;
  // each element of the result is of the same place of the input
  if (specOf(node)?.cost !== perElement || node.outputs.length > 1) return undefined;
  const bytes = bytesOf(y);
  for (const x of node.inputs) {
    const buffer = x && !x.isInitializer ? bufferOf.get(x) : undefined;
    if (
      x &&
      buffer &&
      buffer.bytes === bytes &&
      bytesOf(x) === bytes &&
      last.get(x) === at &&
      buffer.to === at &&
      buffer.from < at
    )
      return buffer;
  }
  return undefined;
}

/** The largest sum of live buffers, and the first node at which it is reached. */
function peakOf(buffers: readonly Buffer[], nodes: number): { peakBytes: number; peakAt: number } {
  const endless = buffers.find((b) => b.bytes === Infinity);
  if (endless) return { peakBytes: Infinity, peakAt: endless.from };
  const change = new Float64Array(nodes + 2); // what begins to live at a node, less what ended before it
  for (const { from, to, bytes } of buffers) {
    change[from]! += bytes;
    change[to + 1]! -= bytes;
  }
  let [peakBytes, peakAt, sum] = [0, 0, 0];
  for (let at = 0; at < nodes; at++) {
    sum += change[at]!;
    if (sum > peakBytes) [peakBytes, peakAt] = [sum, at];
  }
  return { peakBytes, peakAt };
}

function place(buffers: readonly Buffer[], nodes: number): MemoryPlan['buffers'] {
  const arena = new Arena(nodes + 1);
  return [...buffers]
    .sort((x, y) => y.bytes - x.bytes || x.from - y.from)
    .map(({ names, bytes, from, to }) => {
      const offset = arena.lowestFree(bytes, from, to);
      arena.take(offset, bytes, from, to);
      return { name: item(names, 0), bytes, offset, from, to };
    })
    .sort((x, y) => x.from - y.from || x.offset - y.offset);
}
