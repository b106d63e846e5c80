/** Layer after layer: codes are chosen for the inputs that the layers before, already quantized, really give. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { item, named } from '../base/lists.js';
import { dtypeBits } from '../ir/dtype.js';
import { encodeTensor } from '../ir/encode.js';
import type { Node, Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import { linearView } from '../ops/index.js';
import { transposed } from '../scheme/layout.js';
import { Tensor } from '../ir/tensor.js';
import { quantize } from '../scheme/arithmetic.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';
import { layerShape, tableShape, type LayerShape } from '../channels/layer.js';
import { Frontier } from './frontier.js';
import { Journal, type KeptLayer } from './journal.js';
import { activationsOf, measureInputs, stepsOf, type InputSums } from './measure.js';
import type { Layerwise, LayerwiseOptions, Refiner } from './types.js';
import { heldAsCodes, roundedRows } from './held-codes.js';
import { RowsSolver } from './solver.js';
import { SharedRoom } from './shared-room.js';
import { methodFor, quantizeLayer, seenBy, type Made } from './solve-layer.js';

/**
 * Chooses the codes of every planned weight, in the order of the model. Throws what running the model throws, and
 * OUTPUT_WRITE where a file cannot hold what is kept.
 */
export async function quantizeLayerwise(o: LayerwiseOptions): Promise<Layerwise> {
  const run = new Run(o);
  try {
    return await run.all();
  } finally {
    await run.close();
  }
}

class Run {
  readonly #o: LayerwiseOptions;
  readonly #shapes: ReadonlyMap<Node, LayerShape>;
  readonly #steps: readonly (readonly LayerShape[])[];
  readonly #tables: readonly LayerShape[];
  readonly #activations: ReadonlyMap<QuantPoint, QuantParams>;
  readonly #needsInputs: boolean;
  readonly #refiners: ReadonlyMap<Node, Refiner>;
  readonly #journal: Journal | undefined;
  readonly #chosen = new Map<QuantPoint, QuantParams>();
  /** Tables whose codes are chosen while they are written: products see what they will be. */
  readonly #tablesAsGiven = new Map<Value, Tensor>();
  readonly #pace: Pace;
  readonly #solver: RowsSolver;
  readonly #room = new SharedRoom();
  #frontier: Frontier;
  #biases = 0;
  #batches = 0;
  #layers = 0;

  constructor(o: LayerwiseOptions) {
    this.#o = o;
    this.#solver = new RowsSolver(o);
    const order = o.model.graph.topological();
    const shapes = new Map<Node, LayerShape>();
    for (const n of order) {
      const [, w] = n.inputs;
      if (w && o.planned.tied?.has(w)) continue; // has the codes of its table
      const shape =
        o.planned.integerNodes.has(n) || o.planned.weightOnlyNodes.has(n) ? layerShape(n, FLOATS) : undefined;
      if (shape && isChosenNow(o, shape)) shapes.set(n, shape);
    }
    this.#shapes = shapes;
    this.#steps = stepsOf(order, shapes);
    this.#tables = order
      .filter((n) => o.planned.weightOnlyNodes.has(n))
      .flatMap((n) => tableShape(n, FLOATS) ?? [])
      .filter((t) => isChosenNow(o, t) && bitsOf(o.params.get(t.weight)) < NEAR_BITS);
    for (const n of order) {
      const table = o.planned.weightOnlyNodes.has(n) ? tableShape(n, FLOATS) : undefined;
      const params = table && o.params.get(table.weight);
      if (!table || !params?.later || bitsOf(params) >= NEAR_BITS) continue;
      this.#tablesAsGiven.set(table.weight, dataOf(table.weight));
      table.weight.data = roundedRows(dataOf(table.weight), params.later);
    }
    this.#activations = activationsOf(o.params);
    this.#needsInputs =
      o.correctBias ||
      o.correctScale ||
      [...shapes.keys()].some((n) => {
        const { inputs } = methodFor(o, n).method;
        return inputs === 'required' || (inputs === 'optional' && o.hasInputs);
      });
    this.#refiners = refinersOf(o, shapes);
    this.#pace = new Pace(this.#steps);
    // what is learned of layers together is not of a step
    const { journal } = this.#refiners.size || !this.#needsInputs ? {} : o;
    this.#journal = journal && new Journal(journal, this.#steps.length + 1, o.report);
    this.#frontier = this.#start();
  }

  async all(): Promise<Layerwise> {
    const journal = this.#journal;
    const done = journal?.length ?? 0; // tables are the first of its steps
    if (journal && done > 0) this.#again(journal, 0, this.#tables);
    else await this.#chooseTables();
    this.#tieHeads();
    for (const [i, step] of this.#steps.entries()) {
      if (journal && i + 1 < done) this.#skip(journal, step, i);
      else await this.#choose(step, i);
    }
    journal?.finish();
    return { params: this.#chosen, layers: this.#shapes.size + this.#tables.length, biases: this.#biases };
  }
  async close(): Promise<void> {
    this.#frontier.close();
    await this.#solver.close();
    for (const [table, data] of this.#tablesAsGiven) table.data = data;
  }

  #start(): Frontier {
    return new Frontier(this.#o.feeds, this.#journal ? { folder: this.#journal.folder } : {});
  }

  /** Tables first: what products see comes from them. */
  async #chooseTables(): Promise<void> {
    await nextTurn();
    this.#o.signal?.throwIfAborted();
    await this.#quantize(0, this.#tables);
  }
  #tieHeads(): void {
    const heads = new Map([...(this.#o.planned.tied ?? [])].map(([w, table]) => [table, w]));
    for (const table of this.#tables) {
      const head = heads.get(table.weight);
      const params = head && this.#o.params.get(head);
      if (head && params) this.#chosen.set(head, asTable(head, params, named(this.#chosen, table.weight), table));
    }
  }

  async #choose(step: readonly LayerShape[], i: number): Promise<void> {
    const o = this.#o;
    await nextTurn(); // solving blocks the thread: signals and drawing get their turn here
    o.signal?.throwIfAborted();
    const sums = this.#needsInputs ? await this.#measure(step, i) : undefined;
    this.#pace.measured();
    await this.#quantize(i + 1, step, sums);
    this.#pace.solved();
    for (const shape of step) {
      const changed = await this.#refiners.get(shape.node)?.done(shape, this.#chosen, () => this.#makeRoom());
      for (const [weight, params] of changed ?? []) this.#chosen.set(weight, params);
      if (changed?.size) this.#afresh(); // what was computed is that of the weights before
    }
    if (!sums) o.onEvent?.({ type: 'progress', stage: 'weights', done: this.#layers, total: this.#shapes.size });
  }

  #afresh(): void {
    this.#frontier.close();
    this.#frontier = this.#start();
  }
  async #makeRoom(): Promise<void> {
    this.#afresh();
    this.#room.forget();
    await this.#solver.rest();
  }

  async #measure(step: readonly LayerShape[], i: number): Promise<InputSums[][]> {
    const { model, reference, samples, matchFloat: cross, threads, totalFeeds, signal, onEvent } = this.#o;
    const { correctBias, correctScale } = this.#o;
    const first = this.#layers + 1;
    const all = step.length === 1 ? `layer ${first}` : `layers ${first} to ${first + step.length - 1}`;
    const total = totalFeeds === undefined ? undefined : totalFeeds * this.#steps.length;
    return measureInputs({
      ...{ model, reference, activations: this.#activations, layers: step, frontier: this.#frontier },
      ...{ samples, cross, threads, room: this.#room },
      outputs: ({ bias }) => correctScale || (correctBias && bias !== undefined),
      onBatch: () => {
        this.#batches++;
        signal?.throwIfAborted();
        const note = `${all} of ${this.#shapes.size}`;
        const secondsLeft = this.#pace.left(i);
        onEvent?.({ type: 'progress', stage: 'weights', done: this.#batches, total, note, secondsLeft });
      },
    });
  }

  /** Chooses the codes of a step, which is written down. */
  async #quantize(index: number, step: readonly LayerShape[], sums?: readonly (readonly InputSums[])[]): Promise<void> {
    const seen = sums && seenBy(this.#o, sums, this.#room);
    const made: Made[] = [];
    for (const [k, shape] of step.entries()) {
      const start = named(this.#o.params, shape.weight);
      made.push(await quantizeLayer(this.#o, shape, start, this.#solver, seen?.[k]));
    }
    this.#room.clear();
    const codesOf = ({ weights, params }: Made, { weight }: LayerShape): Tensor =>
      quantize(weights, dataOf(weight).dims, params);
    const biasOf = ({ bias }: Made, { bias: own }: LayerShape): Tensor | undefined =>
      bias && own && encodeTensor(dataOf(own).dtype, dataOf(own).dims, bias); // layerShape takes constant ones
    if (this.#journal) {
      const kept = step.map((shape, k) => {
        const own = item(made, k);
        const of = { codes: codesOf(own, shape), params: own.params, bias: biasOf(own, shape) };
        return { weight: shape.weight.name, kept: of };
      });
      this.#journal.keep(index, kept, this.#frontier.reached);
      this.#frontier.forget();
      this.#again(this.#journal, index, step);
      return;
    }
    step.forEach((shape, k) => {
      const own = item(made, k);
      const { dtype, dims } = dataOf(shape.weight);
      const small = own.weights.byteLength < HELD_BYTES;
      const data = small ? encodeTensor(dtype, dims, own.weights) : heldAsCodes(codesOf(own, shape), own.params, dtype);
      this.#take(shape, { data, params: own.params, bias: biasOf(own, shape) });
    });
    if (index > 0) this.#layers += step.length;
  }
  /** A step that another run has done. */
  #skip(journal: Journal, step: readonly LayerShape[], i: number): void {
    const { model, reference, totalFeeds = 0 } = this.#o;
    this.#again(journal, i + 1, step);
    this.#batches += totalFeeds;
    this.#pace.skipped(i);
    if (!this.#needsInputs) return;
    const inputsOf = (node: (s: LayerShape) => Node) => step.map((s) => node(s).inputs[0]);
    this.#frontier.movedTo(
      model.graph,
      inputsOf((s) => s.node),
    );
    this.#frontier.movedTo(
      reference.model.graph,
      inputsOf((s) => named(reference.nodes, s.node)),
    );
    if (i + 2 === journal.length && journal.reached) this.#frontier.resume(journal.reached);
  }
  /** Takes what is written down: codes that lie in a file. */
  #again(journal: Journal, index: number, step: readonly LayerShape[]): void {
    const kept = journal.layers(index, step, (shape) => named(this.#o.params, shape.weight));
    step.forEach((shape, k) => {
      const { codes, params, bias } = item(kept, k);
      this.#take(shape, { data: heldAsCodes(codes, params, dataOf(shape.weight).dtype), params, bias });
    });
    if (index > 0) this.#layers += step.length;
  }
  #take(shape: LayerShape, { data, params, bias }: Omit<KeptLayer, 'codes'> & { readonly data: Tensor }): void {
    this.#chosen.set(shape.weight, params);
    shape.weight.data = data;
    if (!bias || !shape.bias) return;
    shape.bias.data = bias;
    this.#biases++;
  }
}

/** Types of weights that codes are chosen for. */
const FLOATS = ['float32', 'float16'] as const;

/** Tables of so many bits are near enough as they are rounded. */
const NEAR_BITS = 8;
/** Weights from this size are held as codes, and computed each time they are read. */
const HELD_BYTES = 1 << 22;

/** Whether a weight has parameters that are not chosen while it is written. */
const isChosenNow = ({ params }: LayerwiseOptions, { weight }: LayerShape): boolean =>
  params.has(weight) && !params.get(weight)?.later;

const bitsOf = (p: QuantParams | undefined): number => (p ? (p.scheme.bits ?? dtypeBits(p.scheme.dtype)) : Infinity);

/** The parameters of a head that holds the numbers of a table; its weight becomes that of the table. */
function asTable(
  head: Value,
  params: QuantParams,
  made: QuantParams,
  { weight, rows, columns }: LayerShape,
): QuantParams {
  const { data } = head;
  const table = dataOf(weight);
  const [use] = head.uses;
  const view = use && linearView(use.node);
  const flat = view?.kind === 'product' && view.outputAxis === 0;
  const read = (): Uint8Array =>
    encodeTensor(table.dtype, [columns, rows], transposed(table.f32(), rows, columns)).bytes();
  if (data)
    head.data = flat
      ? table.reshaped(data.dims)
      : new Tensor(table.dtype, data.dims, { byteLength: table.byteLength, read });
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
  #first = 0;
  #solving = 0;
  constructor(steps: readonly (readonly LayerShape[])[]) {
    this.#works = steps.map((step) => step.reduce((sum, l) => sum + l.groups * l.rows * l.columns ** 2, 0));
  }
  skipped(step: number): void {
    this.#first = step + 1;
    this.#lap();
  }
  measured(): void {
    this.#passes += this.#lap();
  }
  solved(): void {
    this.#solving += this.#lap();
  }
  /** Seconds, while a step is measured; unknown during the first. */
  left(step: number): number | undefined {
    const done = step - this.#first;
    if (done < 1) return undefined;
    const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
    const ms =
      (this.#passes / done) * (this.#works.length - step) +
      (this.#solving / sum(this.#works.slice(this.#first, step))) * sum(this.#works.slice(step));
    return Math.max(0, ms - (performance.now() - this.#from)) / 1000;
  }
  #lap(): number {
    const now = performance.now();
    const ms = now - this.#from;
    this.#from = now;
    return ms;
  }
}
