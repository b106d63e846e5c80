/**
 * What has been computed for every feed already, so that each step runs only the part of the model between it and the
 * one before.
 */
import { field } from '../base/lists.js';
import { ancestors } from '../ir/ancestors.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import { Value, type Graph, type Node } from '../ir/graph.js';

/** What kept tensors may take. Beyond it a step starts where the last one did that could be kept. */
const KEPT_BYTES = 192 * 2 ** 20;

/** The tensors of finished parts, one feed of them for each feed of the calibration data. */
export class Frontier {
  readonly #feeds: () => AsyncIterable<Feed>;
  readonly #most: number;
  /** What all steps so far depend on, by graph. Branches wait for each other. */
  readonly #done = new Map<Graph, Set<Node>>();
  #kept: readonly Feed[] | undefined;
  /** Values that need not be computed, by name. Empty: a pass starts at the inputs of the model. */
  names: ReadonlySet<string> = new Set();

  constructor(feeds: () => AsyncIterable<Feed>, most = KEPT_BYTES) {
    this.#feeds = feeds;
    this.#most = most;
  }
  async *feeds(): AsyncGenerator<Feed> {
    if (this.#kept) yield* this.#kept;
    else yield* this.#feeds();
  }
  /**
   * Counts what values are computed by as done, too, and gives what nodes that are not done need of all that is;
   * undefined where one of these is no tensor of a known type.
   */
  movedTo(graph: Graph, values: readonly (Value | null | undefined)[]): Value[] | undefined {
    const done = this.#done.get(graph) ?? new Set();
    this.#done.set(graph, done);
    for (const v of values) if (v) for (const node of ancestors(v)) done.add(node);
    return frontierOf(graph, done);
  }
  /** Collects the tensors of a further frontier during a pass; they take its place where they are few enough. */
  collector(names: ReadonlySet<string>): {
    add(feed: Feed, outputs: Readonly<Record<string, FeedTensor>>): void;
    finish(): void;
  } {
    const feeds: Feed[] = [];
    let bytes = 0;
    return {
      add: (feed, outputs) => {
        if (bytes > this.#most) return;
        // a value that is not computed was given
        const own = Object.fromEntries([...names].map((name) => [name, outputs[name] ?? field(feed, name)]));
        for (const t of Object.values(own))
          bytes += ArrayBuffer.isView(t.data) ? t.data.byteLength : t.data.length * 16;
        if (bytes > this.#most) feeds.length = 0;
        else feeds.push(own);
      },
      finish: () => {
        if (bytes <= this.#most && feeds.length) {
          this.#kept = feeds;
          this.names = names;
        }
      },
    };
  }
}

/**
 * Values that hold all that nodes outside of `done` need of it and of the graph's inputs; undefined where one of them
 * is no tensor of a known type. `done` holds whatever its nodes are computed by.
 */
function frontierOf(graph: Graph, done: ReadonlySet<Node>): Value[] | undefined {
  const waits = (v: Value): boolean => [...v.uses].some((u) => !done.has(ownerOf(u.node, graph) ?? u.node));
  const values = [...graph.inputs.filter((v) => !v.data), ...[...done].flatMap((n) => n.outputs)].filter(waits);
  return values.every((v) => v.dtype !== undefined && v.dtype !== 'string') ? values : undefined;
}

/** The node of `graph` whose subgraph holds a node; undefined for nodes of the graph itself. */
function ownerOf(n: Node, graph: Graph): Node | undefined {
  if (n.graph === graph) return undefined;
  for (const own of graph.nodes)
    if (
      own.subgraphs().length &&
      own
        .subgraphs()
        .some(([, g]) => g === n.graph || [...g.nodes].some((inner) => inner === n || ownerOf(n, g) === inner))
    )
      return own;
  return undefined;
}

/**
 * Makes inputs of a graph of the named values that it computes, and drops its other inputs. Gives what took the place
 * of which value.
 */
export function cutAt(graph: Graph, names: ReadonlySet<string>): Map<Value, Value> {
  const replaced = new Map<Value, Value>();
  if (!names.size) return replaced;
  for (const n of graph.topological()) {
    for (const y of n.outputs) {
      if (!names.has(y.name)) continue;
      const { name } = y;
      y.name = `${name} (computed before)`;
      const input = new Value(name);
      input.dtype = y.dtype;
      input.shape = y.shape?.map((d) => (typeof d === 'number' ? d : null));
      graph.replaceUses(y, input);
      graph.addInput(input);
      replaced.set(y, input);
    }
  }
  for (const v of [...graph.inputs]) if (!names.has(v.name) && !v.data) graph.removeInput(v);
  return replaced;
}
