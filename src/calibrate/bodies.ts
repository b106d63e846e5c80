/**
 * Ranges of tensors inside If, Loop and Scan: least and greatest value leave the bodies as further results, one pair a
 * tensor.
 */
import { field, item, named } from '../base/lists.js';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import type { Feed } from '../ir/feed.js';
import { Node, type Graph, type Value } from '../ir/graph.js';
import { nameMaker, type Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { control } from '../ops/kinds.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { openModel } from '../runtime/open.js';
import { noExtremes, widen } from './statistics/extremes.js';
import type { TensorStats } from './types.js';
import { removeOutputs } from '../rewrite/unreached.js';

/** The two scalars of one tensor in some graph. */
interface Pair {
  readonly of: Value;
  readonly low: Value;
  readonly high: Value;
}

/**
 * Extremes of tensors inside of bodies over all feeds, with count 0 for those that were never computed. A body that
 * does not run gives +∞ and −∞. Throws CALIBRATION_NON_FINITE and what running the model throws.
 */
export async function measureBodies(o: {
  readonly model: Model;
  readonly values: readonly Value[];
  readonly feeds: () => AsyncIterable<Feed>;
  readonly threads: number;
  /** Whether NaN and infinity stop it; else they are passed over. */ readonly strict: boolean;
}): Promise<ReadonlyMap<Value, TensorStats>> {
  if (!o.values.length) return new Map();
  const copy = cloneModel(o.model);
  const original = new Map(o.values.map((v) => [named(copy.values, v), v])); // every value has a copy
  const { graph } = copy.model;
  removeOutputs(graph);
  const pairs = new Lifter(copy.model, new Set(original.keys())).lift(graph);
  for (const p of pairs)
    for (const v of [p.low, p.high]) {
      v.dtype = 'float32';
      v.shape = [];
      graph.addOutput(v);
    }
  const found = new Map(o.values.map((v): [Value, TensorStats] => [v, { ...noExtremes(1), kind: 'extremes' }]));
  if (!pairs.length) return found;
  const session = await openModel(copy.model, { threads: o.threads, label: 'the model with its bodies observed' });
  try {
    for await (const feed of o.feeds()) {
      const outputs = await session.run(feed);
      for (const p of pairs) {
        // float32 scalars
        const [min, max] = [p.low, p.high].map((v) => Number((field(outputs, v.name).data as Float32Array)[0]));
        if (min === Infinity) continue; // it did not run
        if (!Number.isFinite(min) || !Number.isFinite(max)) {
          if (o.strict)
            fail(
              'CALIBRATION_NON_FINITE',
              `'${named(original, p.of).name}', inside of a body, holds NaN or infinity`,
              { tensor: named(original, p.of).name },
              'check the samples and the preprocessing, or leave such values out (onNonFinite: skip)',
            ); // pairs are of wanted values
          continue;
        }
        widen(named(found, named(original, p.of)), {
          min: Float64Array.of(min!),
          max: Float64Array.of(max!),
          count: 1,
          minIsBound: false,
        });
      }
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
    }
  } finally {
    await session.close();
  }
  return found;
}

class Lifter {
  readonly #model: Model;
  readonly #wanted: ReadonlySet<Value>;
  readonly #freeName: (base: string) => string;
  constructor(model: Model, wanted: ReadonlySet<Value>) {
    this.#model = model;
    this.#wanted = wanted;
    this.#freeName = nameMaker(model.graph);
  }

  /** Pairs, as values of `graph`, for what is wanted in it and in the bodies within. */
  lift(graph: Graph): Pair[] {
    const b = new GraphBuilder(this.#model, graph, this.#freeName);
    const pairs: Pair[] = [];
    for (const node of graph.topological()) {
      pairs.push(...this.#liftNode(node, graph, b));
      for (const y of node.outputs) if (this.#wanted.has(y)) pairs.push(this.#observe(y, b));
    }
    for (const v of graph.inputs) if (this.#wanted.has(v)) pairs.push(this.#observe(v, b));
    return pairs;
  }
  #observe(v: Value, b: GraphBuilder): Pair {
    // The infinities keep empty tensors from having no extreme.
    const flat = b.op('Reshape', [v, b.constant(Tensor.i64([-1]), 'observed')], { name: 'observed' });
    const end = (op: string, limit: number): Value =>
      b.op(
        op,
        [b.op('Concat', [flat, b.constant(Tensor.f32([limit]), 'observed')], { attrs: { axis: 0 }, name: 'observed' })],
        { attrs: { keepdims: 0 }, name: 'observed' },
      );
    return { of: v, low: end('ReduceMin', Infinity), high: end('ReduceMax', -Infinity) };
  }

  /** Gives the bodies of a node further results and the node further outputs. */
  #liftNode(node: Node, graph: Graph, b: GraphBuilder): Pair[] {
    const bodies = node.subgraphs();
    if (!bodies.length || !control(node)) return [];
    const inner = bodies.map(([, body]) => this.lift(body));
    const all = inner.flat();
    if (!all.length) return [];
    bodies.forEach(([, body], i) => {
      const own = new Map(item(inner, i).map((p) => [p.of, p])); // one list for each body
      const there = new GraphBuilder(this.#model, body, this.#freeName);
      const constant = (x: number): Value =>
        there.op('Identity', [there.constant(x, 'observed')], { name: 'observed' });
      for (const p of all) {
        const mine = own.get(p.of);
        for (const v of mine ? [mine.low, mine.high] : [constant(Infinity), constant(-Infinity)]) {
          v.dtype = 'float32';
          v.shape = [];
          body.addOutput(v);
        }
      }
    });
    const names = all.flatMap(() => [this.#freeName('observed'), this.#freeName('observed')]);
    const made = new Node(
      node.op,
      node.inputs,
      [...node.outputs.map((y) => y.name), ...names],
      node.domain,
      node.overload,
    );
    made.name = node.name;
    for (const [key, a] of node.attrs) made.attrs.set(key, a);
    node.attrs.clear(); // the bodies live on in the new node
    graph.add(made);
    node.outputs.forEach((y, i) => {
      const to = item(made.outputs, i);
      to.dtype = y.dtype;
      to.shape = y.shape;
      to.other = y.other;
      graph.replaceUses(y, to);
      y.name = this.#freeName('replaced');
    }); // as many, and more
    graph.remove(node);
    const results = made.outputs.slice(node.outputs.length);
    return all.map((p, i) => {
      const [low, high] = [item(results, 2 * i), item(results, 2 * i + 1)]; // two for each
      for (const v of [low, high]) v.dtype = 'float32';
      if (control(node) === 'branches') return { of: p.of, low, high };
      // One for each trip; none may be made.
      const whole = (op: string, v: Value, limit: number): Value =>
        b.op(
          op,
          [b.op('Concat', [v, b.constant(Tensor.f32([limit]), 'observed')], { attrs: { axis: 0 }, name: 'observed' })],
          { attrs: { keepdims: 0 }, name: 'observed' },
        );
      return { of: p.of, low: whole('ReduceMin', low, Infinity), high: whole('ReduceMax', high, -Infinity) };
    });
  }
}
