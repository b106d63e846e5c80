/** One pass over the calibration samples for one step through the layers of a model: what its layers read there. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { named } from '../base/lists.js';
import { cloneModel, copyInto } from '../ir/clone.js';
import type { DType } from '../ir/dtype.js';
import type { FeedTensor } from '../ir/feed.js';
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeOutputs, removeUnreached } from '../rewrite/unreached.js';
import { openModel } from '../runtime/open.js';
import { PAIRS_AS_GIVEN } from '../runtime/session.js';
import { cutAt, type Frontier } from './frontier.js';
import { Lookups } from './lookups.js';

export interface StepPassOptions {
  /** As the steps before made it. It stays as it is. */
  readonly model: Model;
  /** What the layers of this step read there; none for what does not depend on samples. */
  readonly inputs: readonly (Value | null | undefined)[];
  /** A model that is looked at beside it, on the same samples, and what its layers read. */
  readonly beside?: { readonly model: Model; readonly inputs: readonly (Value | null | undefined)[] } | undefined;
  /** Where the pass starts; it moves on to this step. */
  readonly frontier: Frontier;
}

const MARK = 'beside: ';

/**
 * A copy of the model, and of the one beside it, from where the step before ended. Taps are added with `b`; only what
 * they, and later steps, need is computed.
 */
export class StepPass {
  readonly b: GraphBuilder;
  readonly #model: Model;
  readonly #nodes: ReadonlyMap<Node, Node>;
  readonly #values: ReadonlyMap<Value, Value>;
  readonly #beside: ReadonlyMap<Value, Value>;
  readonly #replaced: ReadonlyMap<Value, Value>;
  readonly #frontier: Frontier;
  readonly #lookups: Lookups;
  readonly #next: ReadonlySet<string> | undefined;

  constructor({ model: given, inputs, beside, frontier }: StepPassOptions) {
    const { model, nodes, values } = cloneModel(given);
    removeOutputs(model.graph);
    this.#model = model;
    this.#nodes = nodes;
    this.#values = values;
    this.#beside = beside ? copyInto(model.graph, beside.model.graph, (name) => `${MARK}${name}`) : new Map();
    const own = frontier.movedTo(given.graph, inputs);
    const other = beside ? frontier.movedTo(beside.model.graph, beside.inputs) : [];
    // Inputs of both models are the same values.
    const marked = (v: Value): string => (v.producer ? `${MARK}${v.name}` : v.name);
    this.#next = own && other && new Set([...own.map((v) => v.name), ...other.map(marked)]);
    const cut = cutAt(model.graph, frontier.names);
    this.#lookups = new Lookups(model.graph);
    this.#replaced = new Map([...cut, ...this.#lookups.replaced]);
    this.#frontier = frontier;
    this.b = new GraphBuilder(model);
  }

  /** The copy of a node of the model. */
  node(node: Node): Node {
    return named(this.#nodes, node);
  }
  /** What stands for a value of the model. */
  value(v: Value): Value {
    return this.#now(named(this.#values, v));
  }
  /** What stands for a value of the model beside. */
  besideOf(v: Value): Value {
    return this.#now(named(this.#beside, v));
  }
  /** Makes an output of a value; gives its name. */
  output(v: Value, dtype: DType = 'float32'): string {
    v.dtype = dtype;
    this.#model.graph.addOutput(v);
    return v.name;
  }
  /** Runs every feed. Throws what reading the samples and running the model throw. */
  async run(
    { threads, signal }: { readonly threads: number; readonly signal?: AbortSignal | undefined },
    visit: (outputs: Readonly<Record<string, FeedTensor>>) => void | Promise<void>,
  ): Promise<void> {
    const { graph } = this.#model;
    for (const v of graph.topological().flatMap((n) => n.outputs))
      if (this.#next?.has(v.name) && !v.isGraphOutput) graph.addOutput(v);
    removeUnreached(graph);
    const keeping = this.#next && this.#frontier.collector(this.#next);
    const how = { threads, spinning: false, config: PAIRS_AS_GIVEN, label: 'the model up to a layer' };
    const session = await openModel(this.#model, how);
    try {
      for await (const given of this.#frontier.feeds()) {
        const feed = this.#lookups.with(given);
        const outputs = await session.run(feed);
        await visit(outputs);
        keeping?.add(feed, outputs);
        await nextTurn(); // runs block the thread: signals and drawing get their turn here
        signal?.throwIfAborted();
      }
    } catch (error) {
      keeping?.abandon();
      throw error;
    } finally {
      await session.close();
    }
    keeping?.finish();
  }

  #now(v: Value): Value {
    return this.#replaced.get(v) ?? v;
  }
}
