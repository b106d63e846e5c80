/** Block after block: each is fitted to the float model on what the blocks before, already quantized, give. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { QuantError } from '../base/errors.js';
import { item, named } from '../base/lists.js';
import { takesAnyBatch } from '../calibrate/rows.js';
import { layerShape, type LayerShape } from '../channels/layer.js';
import { activationsOf } from '../codes/measure.js';
import type { LayerwiseOptions, Refiner } from '../codes/types.js';
import { feedBytes, type Feed } from '../ir/feed.js';
import { label, type Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { inferShapes } from '../ops/infer.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { openModel } from '../runtime/open.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';
import { quantizeActivations } from './activations.js';
import { applyLearned } from './apply.js';
import { blocksOf, type Block, type BlockKind } from './blocks.js';
import { FLOAT, learnBlock, type Lesson, type Lessons } from './learn-block.js';
import { partOf } from './part.js';
import { shapedFeeds } from './samples.js';
import { viewOf } from './views.js';

export interface LearnOptions {
  readonly blocks: BlockKind;
  readonly iterations: number;
  readonly batch: number;
  readonly rate: number;
  readonly qdrop: number;
  readonly views: number;
  readonly scales: boolean;
  readonly codes: boolean;
  readonly seed: number;
}

/** What passes through both models: of each feed, the tensors that later blocks read. */
interface Passing {
  readonly given: Feed;
  now: Feed;
  float: Feed;
}

type Params = ReadonlyMap<QuantPoint, QuantParams>;

/** Learns each block once its last layer has codes, so that the layers behind it are given what it really gives. */
export class BlockLearner implements Refiner {
  readonly #o: LayerwiseOptions;
  readonly #layers: ReadonlyMap<Node, LayerShape>;
  readonly #options: LearnOptions;
  readonly #order: readonly Node[];
  readonly #blocks: readonly Block[];
  readonly #activations: Params;
  #passing: Passing[] | undefined;
  #next = 0;
  /** Steps of the block that is being learned. */
  #steps = 0;
  #started = 0;

  constructor(o: LayerwiseOptions, layers: ReadonlyMap<Node, LayerShape>, options: LearnOptions) {
    this.#o = o;
    this.#layers = layers;
    this.#options = options;
    this.#order = o.model.graph.topological();
    this.#blocks = blocksOf(this.#order, layers, options.blocks);
    this.#activations = activationsOf(o.params);
  }

  async done(layer: LayerShape, chosen: Params, makeRoom: () => Promise<void>): Promise<Params> {
    const block = this.#blocks[this.#next];
    if (block?.layers[block.layers.length - 1] !== layer) return new Map();
    this.#next++;
    this.#steps = 0;
    this.#started ||= performance.now();
    await makeRoom();
    const passing = (this.#passing ??= await this.#start());
    const made = await this.#learn(block, passing, chosen);
    const later = this.#blocks.slice(this.#next);
    if (later.length) {
      const next = await pass(this.#o, this.#o.model, block, nowOf(passing), this.#activations);
      const needed = new Set(later.flatMap((b) => b.inputs.map((v) => v.name)));
      const kept = (old: Feed, own: Feed): Feed =>
        Object.fromEntries(Object.entries({ ...old, ...own }).filter(([name]) => needed.has(name)));
      passing.forEach((p, k) => {
        p.float = kept(p.float, item(made.targets, k));
        p.now = kept(p.now, item(next, k));
      });
    }
    return made.params;
  }

  /** The samples, then their other views, of as many as take at most so many bytes. */
  async #start(): Promise<Passing[]> {
    const given: Feed[] = [];
    let bytes = 0;
    const take = (feed: Feed): boolean => {
      bytes += feedBytes(feed);
      if (bytes > KEPT_BYTES && given.length) return false;
      given.push(feed);
      return true;
    };
    for await (const feed of this.#o.feeds()) if (!take(feed)) break;
    const { views, seed } = this.#options;
    const samples = [...given];
    for (let view = 1; view < views; view++)
      for (const [i, feed] of samples.entries()) if (!take(viewOf(feed, seed, `${view} ${i}`))) break;
    return given.map((feed) => ({ given: feed, now: {}, float: {} }));
  }

  async #learn(
    block: Block,
    passing: Passing[],
    chosen: Params,
  ): Promise<{ readonly params: Params; readonly targets: readonly Feed[] }> {
    const o = this.#o;
    const targets = await pass(o, o.reference.model, block, floatOf(passing), undefined, KEPT_BYTES);
    passing.length = targets.length; // what later blocks are given takes as much again
    const read = new Set(inputsOf(o.model, block));
    const feeds = nowOf(passing).map((now, k) => ({
      ...Object.fromEntries(Object.entries(now).filter(([name]) => read.has(name))),
      ...Object.fromEntries(
        Object.entries(item(passing, k).float).flatMap(([name, t]) =>
          read.has(name) && this.#options.qdrop ? [[`${FLOAT}${name}`, t]] : [],
        ),
      ),
      ...Object.fromEntries(Object.entries(item(targets, k)).map(([name, t]) => [`target of ${name}`, t])),
    }));
    const params = new Map(chosen);
    const data = shapedFeeds(feeds, this.#batchOf(block, feeds), takesAnyBatch(o.model));
    const energies = energiesOf(targets);
    const { codes, scales, rate, iterations } = this.#options;
    const free = { scales, bias: o.correctBias };
    const warm = Math.ceil(iterations * WARM);
    // Few parameters first: they are fitted in few steps, and what they can do codes need not.
    const phases = [
      { learnable: { ...free, codes: false }, iterations: warm, rate: WARM_RATE },
      ...(codes ? [{ learnable: { ...free, codes }, iterations: iterations - warm, rate }] : []),
    ];
    for (const phase of phases) {
      const made = await this.#orStay(block, {
        ...phase,
        model: o.model,
        block,
        activations: this.#activations,
        params,
        data,
        energies,
        zerosOf: (node) => zerosOf(o, node),
        drop: this.#options.qdrop,
        seed: this.#options.seed,
        threads: o.threads,
        onStep: () => this.#tell(),
      });
      for (const [node, learned] of made?.learned ?? []) {
        const layer = named(this.#layers, node);
        const packing = o.packings?.get(layer.weight)?.[0];
        params.set(layer.weight, applyLearned(layer, named(params, layer.weight), learned, packing));
      }
    }
    return { params, targets };
  }

  /** What was learned; undefined, and said so, where the block cannot learn. */
  async #orStay(block: Block, lesson: Lesson): Promise<Lessons | undefined> {
    try {
      return await learnBlock(lesson);
    } catch (error) {
      if (!(error instanceof QuantError) || !/^(GRADIENT_|TRAIN_NON_FINITE)/.test(error.code)) throw error;
      const layer = label(item(block.layers, 0).node);
      this.#o.report({
        severity: 'warning',
        code: error.code,
        message: `the block from layer '${layer}' on keeps the codes that it had before learning: ${error.message}`,
        where: { node: layer },
        ...(error.hint ? { hint: error.hint } : {}),
      });
      return undefined;
    }
  }

  /** Samples of a step: fewer where what the block computes of them would take too much memory. */
  #batchOf(block: Block, feeds: readonly Feed[]): number {
    const [first] = feeds;
    const rows = first && Object.values(first)[0]?.dims[0];
    if (!first || !rows) return this.#options.batch;
    const { graph } = partWith(this.#o.model, block, first);
    let bytes = 0;
    for (const n of graph.nodes)
      for (const v of n.outputs)
        bytes += 4 * (v.shape ?? []).reduce<number>((p, d) => p * (typeof d === 'number' ? d : 1), 1);
    const most = Math.floor(STEP_BYTES / Math.max(1, (COPIES * bytes) / rows));
    return Math.max(1, Math.min(this.#options.batch, most));
  }

  #tell(): void {
    this.#o.signal?.throwIfAborted();
    this.#steps++;
    const { iterations } = this.#options;
    const total = this.#blocks.length * iterations;
    const done = (this.#next - 1) * iterations + this.#steps;
    this.#o.onEvent?.({
      type: 'progress',
      stage: 'weights',
      done,
      total,
      note: `learning block ${this.#next} of ${this.#blocks.length}`,
      secondsLeft: ((performance.now() - this.#started) / 1000 / done) * (total - done),
    });
  }
}
/** What the samples, and the outputs of a block, may take: beyond it, fewer are learned from. */
const KEPT_BYTES = 192 * 2 ** 20;
/** What a step may take, and how often it holds what a block computes: quantized, with gradients, and on the way. */
const STEP_BYTES = 512 * 2 ** 20;
const COPIES = 6;
/** Share of the steps in which codes stay, and the learning rate of these. */
const WARM = 0.25;
const WARM_RATE = 0.02;

const nowOf = (list: readonly Passing[]): Feed[] => list.map((p) => ({ ...p.given, ...p.now }));
const floatOf = (list: readonly Passing[]): Feed[] => list.map((p) => ({ ...p.given, ...p.float }));

/** Which weights of a layer are zero in the float model. */
function zerosOf(o: LayerwiseOptions, node: Node): Uint8Array | undefined {
  const twin = o.reference.nodes.get(node);
  const weight = twin && layerShape(twin)?.weight.data?.f32();
  return weight?.includes(0) ? Uint8Array.from(weight, (w) => (w === 0 ? 1 : 0)) : undefined;
}

/** Names of what a block is fed. */
const inputsOf = (model: Model, block: Block): string[] => partOf(model, block).model.graph.inputs.map((v) => v.name);

/** The block with the shapes of a feed. */
function partWith(model: Model, block: Block, feed: Feed): Model {
  const part = partOf(model, block).model;
  inferShapes(part, new Map(Object.entries(feed).map(([name, t]) => [name, t.dims])));
  return part;
}

/** What a block makes of each feed, of as many as it takes at most so many bytes for. */
export async function pass(
  o: LayerwiseOptions,
  model: Model,
  block: Block,
  feeds: readonly Feed[],
  activations: Params | undefined,
  most = Infinity,
): Promise<Feed[]> {
  const part = partOf(model, block);
  if (activations) quantizeActivations(new GraphBuilder(part.model), activations, part.find);
  const session = await openModel(part.model, { threads: o.threads, spinning: false, label: 'a block' });
  const made: Feed[] = [];
  let bytes = 0;
  try {
    for (const feed of feeds) {
      const own = await session.run(feed);
      bytes += feedBytes(own);
      if (bytes > most && made.length) break;
      made.push(own);
      o.signal?.throwIfAborted();
      await nextTurn();
    }
  } finally {
    await session.close();
  }
  return made;
}

/** The mean square of each float tensor. */
function energiesOf(feeds: readonly Feed[]): ReadonlyMap<string, number> {
  const sums = new Map<string, { sum: number; count: number }>();
  for (const f of feeds)
    for (const [name, { data }] of Object.entries(f)) {
      if (!(data instanceof Float32Array)) continue;
      const own = sums.get(name) ?? { sum: 0, count: 0 };
      for (const v of data) own.sum += v * v;
      own.count += data.length;
      sums.set(name, own);
    }
  return new Map([...sums].map(([name, { sum, count }]) => [name, sum / Math.max(1, count)]));
}
