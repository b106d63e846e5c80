/** Layer after layer: codes are chosen for the inputs that the layers before, already quantized, really give. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { named } from '../base/lists.js';
import { dtypeBits } from '../ir/dtype.js';
import type { Node, Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import { linearView } from '../ops/index.js';
import { transposed } from '../scheme/layout.js';
import { Tensor } from '../ir/tensor.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';
import { layerShape, tableShape, type LayerShape } from '../channels/layer.js';
import { Frontier } from './frontier.js';
import { activationsOf, measureInputs, stepsOf, type InputSums } from './measure.js';
import type { Layerwise, LayerwiseOptions, Refiner } from './types.js';
import { methodFor, quantizeLayer } from './solve-layer.js';

/** Chooses the codes of every planned weight, in the order of the model. Throws what running the model throws. */
export async function quantizeLayerwise(o: LayerwiseOptions): Promise<Layerwise> {
  const order = o.model.graph.topological();
  const shapes = new Map<Node, LayerShape>();
  for (const n of order) {
    const [, w] = n.inputs;
    if (w && o.planned.tied?.has(w)) continue; // has the codes of its table
    const shape = o.planned.integerNodes.has(n) || o.planned.weightOnlyNodes.has(n) ? layerShape(n) : undefined;
    if (shape && o.params.has(shape.weight)) shapes.set(n, shape);
  }
  const activations = activationsOf(o.params);
  const needsInputs =
    o.correctBias ||
    o.correctScale ||
    [...shapes.keys()].some((n) => {
      const { inputs } = methodFor(o, n).method;
      return inputs === 'required' || (inputs === 'optional' && o.hasInputs);
    });
  const chosen = new Map<QuantPoint, QuantParams>();
  let biases = 0;
  const steps = stepsOf(order, shapes);
  const refiners = refinersOf(o, shapes);
  let frontier = new Frontier(o.feeds);
  let [batches, layers] = [0, 0];
  const quantizeOne = (shape: LayerShape, sums?: readonly InputSums[]): void => {
    // only layers with parameters are asked for
    const made = quantizeLayer(o, shape, o.params.get(shape.weight)!, sums);
    chosen.set(shape.weight, made.params);
    shape.weight.data = Tensor.f32(made.weights, shape.weight.data!.dims); // a layer's weight is constant
    if (made.bias && shape.bias) {
      shape.bias.data = Tensor.f32(made.bias, shape.bias.data!.dims);
      biases++;
    } // layerShape takes constant biases only
  };
  // Tables first: what products see comes from them.
  const tables = order
    .filter((n) => o.planned.weightOnlyNodes.has(n))
    .flatMap((n) => tableShape(n) ?? [])
    // 8 bits are near enough as they are rounded
    .filter((t) => bitsOf(o.params.get(t.weight)) < 8);
  const heads = new Map([...(o.planned.tied ?? [])].map(([w, table]) => [table, w]));
  for (const table of tables) {
    await nextTurn();
    o.signal?.throwIfAborted();
    quantizeOne(table);
    const head = heads.get(table.weight);
    const params = head && o.params.get(head);
    if (head && params) chosen.set(head, asTable(head, params, named(chosen, table.weight), table));
  }
  const pace = new Pace(steps);
  for (const [i, step] of steps.entries()) {
    await nextTurn(); // solving blocks the thread: signals and drawing get their turn here
    o.signal?.throwIfAborted();
    const all = step.length === 1 ? `layer ${layers + 1}` : `layers ${layers + 1} to ${layers + step.length}`;
    const total = o.totalFeeds === undefined ? undefined : o.totalFeeds * steps.length;
    const sums = needsInputs
      ? await measureInputs({
          model: o.model,
          reference: o.reference,
          activations,
          layers: step,
          frontier,
          samples: o.samples,
          cross: o.matchFloat,
          threads: o.threads,
          onBatch: () => {
            batches++;
            o.signal?.throwIfAborted();
            o.onEvent?.({
              type: 'progress',
              stage: 'weights',
              done: batches,
              total,
              note: `${all} of ${shapes.size}`,
              secondsLeft: pace.left(i),
            });
          },
        })
      : undefined;
    pace.measured();
    step.forEach((shape, k) => quantizeOne(shape, sums?.[k]));
    pace.solved();
    layers += step.length;
    for (const shape of step) {
      const changed = await refiners.get(shape.node)?.done(shape, chosen);
      for (const [weight, params] of changed ?? []) chosen.set(weight, params);
      if (changed?.size) frontier = new Frontier(o.feeds); // what was computed is that of the weights before
    }
    if (!sums) o.onEvent?.({ type: 'progress', stage: 'weights', done: layers, total: shapes.size });
  }
  return { params: chosen, layers: shapes.size + tables.length, biases };
}

const bitsOf = (p: QuantParams | undefined): number => (p ? (p.scheme.bits ?? dtypeBits(p.scheme.dtype)) : Infinity);

/** The parameters of a head that holds the numbers of a table; its weight becomes that of the table. */
function asTable(
  head: Value,
  params: QuantParams,
  made: QuantParams,
  { weight, rows, columns }: LayerShape,
): QuantParams {
  const { data } = head;
  const values = dataOf(weight).f32();
  const [use] = head.uses;
  const view = use && linearView(use.node);
  const flat = view?.kind === 'product' && view.outputAxis === 0;
  if (data) head.data = Tensor.f32(flat ? values : transposed(values, rows, columns), data.dims);
  const blocks = made.scale.length / rows;
  return flat
    ? { ...params, scale: made.scale, zeroPoint: made.zeroPoint }
    : { ...params, scale: transposed(made.scale, rows, blocks), zeroPoint: transposed(made.zeroPoint, rows, blocks) };
}

/** What goes on with layers once they have codes, by layer: one for those of the same method and options. */
function refinersOf(o: LayerwiseOptions, shapes: ReadonlyMap<Node, LayerShape>): ReadonlyMap<Node, Refiner> {
  const own = new Map<string, { readonly how: ReturnType<typeof methodFor>; readonly layers: Map<Node, LayerShape> }>();
  for (const [node, shape] of shapes) {
    const how = methodFor(o, node);
    if (!how.method.refine) continue;
    const key = JSON.stringify([how.method.name, how.options]);
    const known = own.get(key) ?? { how, layers: new Map<Node, LayerShape>() };
    known.layers.set(node, shape);
    own.set(key, known);
  }
  const refiners = new Map<Node, Refiner>();
  for (const { how, layers } of own.values()) {
    const refiner = how.method.refine?.(o, layers, how.options);
    if (refiner) for (const node of layers.keys()) refiners.set(node, refiner);
  }
  return refiners;
}

/**
 * How long the rest takes: passes over the data are alike, and solving a layer takes its rows times its columns
 * squared.
 */
class Pace {
  readonly #works: readonly number[];
  #from = performance.now();
  #passes = 0;
  #solving = 0;
  constructor(steps: readonly (readonly LayerShape[])[]) {
    this.#works = steps.map((step) => step.reduce((sum, l) => sum + l.groups * l.rows * l.columns ** 2, 0));
  }
  measured(): void {
    this.#passes += this.#lap();
  }
  solved(): void {
    this.#solving += this.#lap();
  }
  /** Seconds, while a step is measured; unknown during the first. */
  left(step: number): number | undefined {
    if (step === 0) return undefined;
    const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
    const ms =
      (this.#passes / step) * (this.#works.length - step) +
      (this.#solving / sum(this.#works.slice(0, step))) * sum(this.#works.slice(step));
    return Math.max(0, ms - (performance.now() - this.#from)) / 1000;
  }
  #lap(): number {
    const now = performance.now();
    const ms = now - this.#from;
    this.#from = now;
    return ms;
  }
}
