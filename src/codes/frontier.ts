/**
 * What has been computed for every feed already, so that each step runs only the part of the model between it and the
 * one before.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { temporaryFolder } from '../base/environment-errors.js';
import { field } from '../base/lists.js';
import { ancestors } from '../ir/ancestors.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import { Value, type Graph, type Node } from '../ir/graph.js';
import { FeedKeeper, feedsIn, type KeepIn, type KeptFeeds, type KeptIndex } from './kept-feeds.js';

/** What steps start from that follow. */
export interface Reached {
  /** Where it is, in a file. */
  readonly index: KeptIndex | undefined;
  readonly names: readonly string[];
}

/** What kept tensors may take in memory; more lie in a file. */
const KEPT_BYTES = 192 * 2 ** 20;

/** Names of files begin so. */
export const GIVEN = 'given-';

/** The tensors of finished parts, one feed of them for each feed of the calibration data. */
export class Frontier {
  readonly #feeds: () => AsyncIterable<Feed>;
  readonly #in: KeepIn;
  /** What all steps so far depend on, by graph. Branches wait for each other. */
  readonly #done = new Map<Graph, Set<Node>>();
  #kept: KeptFeeds | undefined;
  readonly #before: KeptFeeds[] = [];
  readonly #shared: boolean;
  #temporary: string | undefined;
  /** Values that need not be computed, by name. Empty: a pass starts at the inputs of the model. */
  names: ReadonlySet<string> = new Set();

  /** `folder`: where all tensors are kept in files, for a run that goes on after this one. */
  constructor(
    feeds: () => AsyncIterable<Feed>,
    { most = KEPT_BYTES, folder }: { most?: number; folder?: string } = {},
  ) {
    this.#feeds = feeds;
    this.#shared = folder !== undefined;
    this.#in =
      folder === undefined
        ? { most, folder: () => (this.#temporary ??= temporaryFolder()), optional: true }
        : { most: 0, folder: () => folder };
  }
  async *feeds(): AsyncGenerator<Feed> {
    if (this.#kept) yield* this.#kept.feeds();
    else yield* this.#feeds();
  }
  /** Where the next pass starts. */
  get reached(): Reached {
    return { index: this.#kept?.index, names: [...this.names] };
  }
  /** Goes on from where another run was. */
  resume({ index, names }: Reached): void {
    if (!index) return;
    this.#kept = feedsIn(index);
    this.names = new Set(names);
  }
  /** Removes what earlier passes started from: with a folder, no other run goes on from there any more. */
  forget(): void {
    for (const kept of this.#before.splice(0)) kept.close();
  }
  /** Removes what is kept in files that no other run goes on from. */
  close(): void {
    if (this.#temporary !== undefined) rmSync(this.#temporary, { recursive: true, force: true });
    this.#temporary = undefined;
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
  /** Collects the tensors of a further frontier during a pass; they take its place. */
  collector(names: ReadonlySet<string>): {
    add(feed: Feed, outputs: Readonly<Record<string, FeedTensor>>): void;
    finish(): void;
    abandon(): void;
  } {
    const keeper = new FeedKeeper(this.#in, `${GIVEN}${randomUUID()}`);
    let count = 0;
    return {
      add: (feed, outputs) => {
        count++;
        // a value that is not computed was given
        keeper.add(Object.fromEntries([...names].map((name) => [name, outputs[name] ?? field(feed, name)])));
      },
      finish: () => {
        const made = keeper.finish();
        if (!count || !made) return;
        if (this.#kept) this.#before.push(this.#kept);
        this.#kept = made;
        this.names = names;
        if (!this.#shared) this.forget();
      },
      abandon: () => {
        keeper.abandon();
      },
    };
  }
}

/** Does some work with a frontier, of which nothing is left behind it. */
export async function withFrontier<T>(
  feeds: () => AsyncIterable<Feed>,
  work: (frontier: Frontier) => Promise<T>,
): Promise<T> {
  const frontier = new Frontier(feeds);
  try {
    return await work(frontier);
  } finally {
    frontier.close();
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

/** An input of the graph that takes the place, and the name, of a value that it computes. */
export function inputInstead(graph: Graph, y: Value): Value {
  const input = new Value(y.name);
  y.name = `${y.name} (computed before)`;
  input.dtype = y.dtype;
  input.shape = y.shape?.map((d) => (typeof d === 'number' ? d : null));
  graph.replaceUses(y, input);
  return graph.addInput(input);
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
      replaced.set(y, inputInstead(graph, y));
    }
  }
  for (const v of [...graph.inputs]) if (!names.has(v.name) && !v.data) graph.removeInput(v);
  return replaced;
}
