import { field } from '../base/lists.js';
import { fail } from '../base/errors.js';
import { encodeTensor } from '../ir/encode.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Tensor } from '../ir/tensor.js';
import type { TrainingStep } from '../autodiff/add-optimiser.js';
import { toTensor } from '../runtime/open.js';
import { blended } from './ema.js';
import { openEngine, type Engine } from './engine.js';
import { finite } from './non-finite.js';

export interface TrainerOptions {
  /** Values of the weights, and of running statistics, by name: usually the initializers of the model. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Name of the loss. Default: loss. */
  readonly loss?: string;
  /** Share of running statistics that a step keeps, as the attribute of BatchNormalization. Default: 0.9. */
  readonly momentum?: number;
  readonly threads?: number;
  /** Parts of a batch that are computed at once, for a step whose gradients are apart. Default: 1. */
  readonly workers?: number;
}

/** What goes from step to step, and how many were taken: a checkpoint. */
export interface TrainerState {
  readonly steps: number;
  /** Weights, running statistics, and what the optimiser keeps, by name. */
  readonly tensors: Feed;
}

const BATCH_OF = 'batch of ';

/**
 * Takes steps of training: what a step returns is what the next is fed. A step that gives NaN or
 * infinity is not taken. The same weights and batches give the same bytes, whatever the number of steps between
 * checkpoints.
 */
export class Trainer {
  readonly #engine: Engine;
  readonly #step: TrainingStep;
  readonly #loss: string;
  readonly #momentum: number;
  #steps = 0;
  #loop: Record<string, FeedTensor>;
  /** Running statistics, which no step is fed. */
  #running: Record<string, FeedTensor>;

  private constructor(engine: Engine, step: TrainingStep, options: TrainerOptions) {
    this.#engine = engine;
    this.#step = step;
    this.#loss = options.loss ?? 'loss';
    this.#momentum = options.momentum ?? 0.9;
    const dtypes = new Map(engine.inputs.map((i) => [i.name, i.dtype]));
    this.#loop = Object.fromEntries(
      step.loop.map(({ input, shape, kind }) => {
        const given = kind === 'weight' ? options.weights.get(input) : undefined;
        const count = shape.reduce((n, d) => n * d, 1);
        const values = given ? given.f64() : new Float64Array(count); // what optimisers keep starts at zero
        return [input, fed(encodeTensor(dtypes.get(input) ?? 'float32', shape, values))];
      }),
    );
    this.#running = Object.fromEntries(
      engine.outputs.flatMap(({ name }) => {
        const running = name.startsWith(BATCH_OF) && options.weights.get(name.slice(BATCH_OF.length));
        return running ? [[name.slice(BATCH_OF.length), fed(running)]] : [];
      }),
    );
  }

  /** Throws RECIPE_UNKNOWN_NAME where a weight has no value, MODEL_RUNTIME where onnxruntime refuses the model. */
  static async open(step: TrainingStep, options: TrainerOptions): Promise<Trainer> {
    for (const { input, kind } of step.loop)
      if (kind === 'weight' && !options.weights.has(input))
        fail('RECIPE_UNKNOWN_NAME', `the weight '${input}' has no value`, { tensor: input }, 'give it in `weights`');
    const engine = await openEngine(step, { threads: options.threads ?? 1, workers: options.workers ?? 1 });
    return new Trainer(engine, step, options);
  }

  /** Steps that were taken. */
  get steps(): number {
    return this.#steps;
  }
  /** The weights and running statistics as they are now. */
  get weights(): ReadonlyMap<string, Tensor> {
    return new Map(Object.entries(this.weightsFed).map(([name, t]) => [name, toTensor(t)]));
  }
  /** The same as a session takes and gives them. */
  get weightsFed(): Feed {
    const own = this.#step.loop.filter((l) => l.kind === 'weight').map((l) => l.input);
    return { ...Object.fromEntries(own.map((name) => [name, field(this.#loop, name)])), ...this.#running };
  }
  get state(): TrainerState {
    return { steps: this.#steps, tensors: { ...this.#loop, ...this.#running } };
  }
  /** Goes on from a checkpoint. */
  restore({ steps, tensors }: TrainerState): void {
    const take = (old: Readonly<Record<string, FeedTensor>>): Record<string, FeedTensor> =>
      Object.fromEntries(Object.entries(old).map(([name, t]) => [name, tensors[name] ?? t]));
    this.#steps = steps;
    this.#loop = take(this.#loop);
    this.#running = take(this.#running);
  }

  /**
   * One step on a batch, or on as many as the model sums up, by a learning rate. Gives the mean loss before it, and
   * what else the model returns for the last batch. Throws TRAIN_NON_FINITE, with the first tensor that is not finite,
   * for a step that would leave one; the state is then the one before.
   */
  async step(given: Feed | readonly Feed[], rate: number): Promise<{ readonly loss: number; readonly outputs: Feed }> {
    const batches = isList(given) ? given : [given];
    const wanted = this.#step.accumulate ?? 1;
    if (batches.length !== wanted)
      fail('DATA_SHAPE', `${batches.length} batches for a step of ${wanted}`, {}, 'give as many as it sums up');
    let [loop, running, total] = [this.#loop, this.#running, 0];
    let outputs: Feed = {};
    for (const [i, batch] of batches.entries()) {
      const feed = { ...loop, ...batch, ...this.#scalars(rate, i === batches.length - 1) };
      const results = await this.#engine.run(feed);
      const loss = Number(results[this.#loss]?.data[0]);
      // it is an output
      const next = this.#step.loop.map(({ input, output }) => [input, field(results, output)] as const);
      if (!Number.isFinite(loss) || !next.every(([, t]) => finite(t))) await this.#refuse(feed, batch, results, loss);
      loop = Object.fromEntries(next);
      running = Object.fromEntries(
        Object.entries(running).map(([name, old]) => [
          name,
          blended(old, field(results, `${BATCH_OF}${name}`), this.#momentum),
        ]),
      );
      total += loss;
      outputs = results;
    }
    this.#loop = loop;
    this.#running = running;
    this.#steps++;
    return { loss: total / batches.length, outputs };
  }

  #scalars(rate: number, take: boolean): Feed {
    const scalar = (value: number): FeedTensor => ({ dtype: 'float32', dims: [], data: Float32Array.of(value) });
    const flag: FeedTensor = { dtype: 'bool', dims: [], data: Uint8Array.of(take ? 1 : 0) };
    return { 'learning rate': scalar(rate), step: scalar(this.#steps + 1), 'take step': flag };
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }

  async #refuse(feed: Feed, batch: Feed, results: Feed, loss: number): Promise<never> {
    const given = Object.entries(batch).find(([, t]) => !finite(t))?.[0];
    const inside = given ?? (await this.#engine.blame(feed));
    const name = inside ?? Object.entries(results).find(([, t]) => !finite(t))?.[0] ?? '?';
    return fail(
      'TRAIN_NON_FINITE',
      `step ${this.#steps + 1} of training: '${name}' is the first to hold NaN or infinity; the loss is ${loss}`,
      { tensor: name },
      'a smaller learning rate, or clipping of gradients; the weights are those of the step before',
    );
  }
}

const isList = (given: Feed | readonly Feed[]): given is readonly Feed[] => Array.isArray(given);

function fed(t: Tensor): FeedTensor {
  const data = t.dtype === 'float64' ? t.f64() : t.f32();
  return { dtype: t.dtype, dims: t.dims, data };
}
