/** A whole training: steps with a learning rate, validated, checkpointed, resumed and told about. */
import { createHash } from 'node:crypto';
import { fail, QuantError } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { TrainingStep } from '../autodiff/add-optimiser.js';
import type { Feed } from '../ir/feed.js';
import type { Tensor } from '../ir/tensor.js';
import { encodeModel } from '../onnx/encode.js';
import { runtimeVersion } from '../runtime/session.js';
import { toTensor } from '../runtime/open.js';
import { checkpointFile, loadCheckpoint, saveCheckpoint, type Course, type Score } from './checkpoint.js';
import { averaged } from './ema.js';
import { Trainer, type TrainerOptions } from './trainer.js';

export type { Score } from './checkpoint.js';

export interface FitOptions extends Omit<TrainerOptions, 'weights'> {
  readonly step: TrainingStep;
  /** Values at the start, of weights and of running statistics, by name. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /**
   * The batches of an epoch, from 0, without the first `from` of them. The same for the same epoch, whenever it is
   * asked for. What is left at the end of an epoch and does not fill a step of several batches is left out.
   */
  batches(epoch: number, from: number): AsyncIterable<Feed>;
  readonly steps: number;
  /** Learning rate of step 1 to `steps`. */
  rate(step: number): number;
  /** Judges weights by samples that no batch holds. The best weights are the result; without it, the last are. */
  validate?(weights: ReadonlyMap<string, Tensor>, step: number): Promise<Score>;
  /** Steps from one validation to the next; the last step is always followed by one. Default: a tenth of all. */
  readonly every?: number;
  /** Ends after so many validations without a better score. */
  readonly patience?: number;
  readonly checkpoint?: CheckpointOptions;
  /** Share of running means of the weights that a step keeps; they, not the weights, are then judged and given. */
  readonly ema?: number;
  readonly onEvent?: OnEvent;
  readonly signal?: AbortSignal;
  /** The stage that progress is told of. Default: train. */
  readonly label?: string;
}
export interface CheckpointOptions {
  /** Made where it does not exist. */
  readonly folder: string;
  /**
   * What batches and validation depend on, such as a hash of the data, and seeds. The step, its weights and the other
   * options are taken into account without it.
   */
  readonly key: string;
  /** Seconds from one checkpoint to the next. Default: 20. */
  readonly seconds?: number;
}
export interface CurvePoint {
  readonly step: number;
  /** Mean of the steps since the point before. */
  readonly loss: number;
  readonly rate: number;
  /** Score of a validation after this step. */
  readonly metric?: number;
}
export interface FitResult {
  readonly weights: ReadonlyMap<string, Tensor>;
  /** At most about 400 points, and one for each validation. */
  readonly curve: readonly CurvePoint[];
  /** The best validation: the weights are those of its step. */
  readonly best?: { readonly step: number; readonly score: Score };
  /** Steps that were taken, and why no more. */
  readonly steps: number;
  readonly ended: 'steps' | 'patience';
  /** Epochs that were begun. */
  readonly epochs: number;
  /** Of all processes that took part. */
  readonly seconds: number;
  /** Peak memory of this process so far. */
  readonly peakBytes: number;
  /** The step of the checkpoint that this process went on from. */
  readonly resumedAt?: number;
  readonly checkpoint?: string;
}

const CURVE_POINTS = 400;
const CHECKPOINT_SECONDS = 20;

/**
 * Takes `steps` steps and gives the weights. The same options give the same bytes, also where the process was killed
 * and another went on from its checkpoint; a training that had ended is not done again.
 *
 * Throws TRAIN_NON_FINITE, and then, as where `signal` stops it, leaves a checkpoint of the last good step;
 * TRAIN_CHECKPOINT for a damaged checkpoint; DATA_MISSING for an epoch without a batch.
 */
export async function fit(o: FitOptions): Promise<FitResult> {
  const key = o.checkpoint && keyOf(o);
  const file = o.checkpoint && key !== undefined ? checkpointFile(o.checkpoint.folder, key) : undefined;
  const saved = file !== undefined && key !== undefined ? loadCheckpoint(file, key) : undefined;
  const trainer = await Trainer.open(o.step, o);
  const run = new Fitting(o, trainer, saved?.course);
  const save = (): void => {
    if (file !== undefined && key !== undefined)
      saveCheckpoint(file, key, { course: run.course, state: trainer.state.tensors, ema: run.ema, best: run.best });
  };
  try {
    if (saved) {
      trainer.restore({ steps: saved.course.steps, tensors: saved.state });
      run.take(saved);
    }
    await run.toTheEnd(save);
    save();
    const { course } = run;
    return {
      weights: tensorsOf(o.validate ? run.best : run.current()),
      curve: course.curve,
      ...(course.best ? { best: course.best } : {}),
      steps: course.steps,
      ended: course.ended ?? 'steps',
      epochs: course.epoch + (course.batch > 0 ? 1 : 0),
      seconds: course.seconds,
      peakBytes: process.resourceUsage().maxRSS * 1024,
      ...(saved ? { resumedAt: saved.course.steps } : {}),
      ...(file === undefined ? {} : { checkpoint: file }),
    };
  } catch (error) {
    if (error instanceof QuantError && error.code !== 'TRAIN_NON_FINITE') throw error;
    save(); // of the last good step
    if (!(error instanceof QuantError) || file === undefined) throw error;
    throw new QuantError(error.code, error.message, {
      where: error.where,
      hint: `${error.hint ?? ''}; the checkpoint of step ${trainer.steps} is '${file}'`,
      cause: error,
    });
  } finally {
    await trainer.close();
  }
}

/** One training under way. */
class Fitting {
  course: Course;
  ema: Feed = {};
  best: Feed = {};
  readonly #o: FitOptions;
  readonly #trainer: Trainer;
  readonly #perPoint: number;
  readonly #every: number;
  readonly #startedAt = performance.now();
  readonly #before: { readonly seconds: number; readonly steps: number };

  constructor(o: FitOptions, trainer: Trainer, course: Course | undefined) {
    this.#o = o;
    this.#trainer = trainer;
    this.#perPoint = Math.ceil(o.steps / CURVE_POINTS);
    this.#every = o.every ?? Math.max(1, Math.round(o.steps / 10));
    this.course = structuredClone(course) ?? {
      ...{ steps: 0, epoch: 0, batch: 0, seconds: 0, stale: 0 },
      curve: [],
      window: { sum: 0, count: 0 },
    };
    this.#before = { seconds: this.course.seconds, steps: this.course.steps };
    if (o.ema !== undefined) this.ema = trainer.weightsFed;
  }

  take({ ema, best }: { readonly ema: Feed; readonly best: Feed }): void {
    this.ema = ema;
    this.best = best;
  }
  /** The weights that are judged and given. */
  current = (): Feed => (this.#o.ema === undefined ? this.#trainer.weightsFed : this.ema);

  async toTheEnd(save: () => void): Promise<void> {
    const { batches, steps, step } = this.#o;
    const perStep = step.accumulate ?? 1;
    const { course } = this;
    let [samples, savedAt] = [0, performance.now()];
    const over = (): boolean => course.ended !== undefined || course.steps >= steps;
    while (!over()) {
      let group: Feed[] = [];
      const from = course.batch;
      for await (const batch of batches(course.epoch, from)) {
        this.#o.signal?.throwIfAborted();
        group.push(batch);
        if (group.length < perStep) continue;
        const rate = this.#o.rate(course.steps + 1);
        const { loss } = await this.#trainer.step(group, rate);
        samples += group.reduce((n, b) => n + rowsOf(b), 0);
        course.batch += perStep;
        group = [];
        await this.#taken(loss, rate, samples);
        if (over()) break;
        if (performance.now() - savedAt < 1000 * (this.#o.checkpoint?.seconds ?? CHECKPOINT_SECONDS)) continue;
        save();
        savedAt = performance.now();
      }
      if (over()) break;
      if (course.batch === 0)
        fail(
          'DATA_MISSING',
          `epoch ${course.epoch + 1} has no ${perStep > 1 ? `${perStep} batches, which a step takes` : 'batch'}`,
          {},
          'use a smaller batch, or more samples',
        );
      course.epoch++;
      course.batch = 0;
    }
    course.ended ??= 'steps';
  }

  /** After a step: means, curve, validation, progress. */
  async #taken(loss: number, rate: number, samples: number): Promise<void> {
    const { course } = this;
    const o = this.#o;
    course.steps++;
    course.window.sum += loss;
    course.window.count++;
    if (o.ema !== undefined) this.ema = averaged(this.ema, this.#trainer.weightsFed, o.ema, course.steps);
    const last = course.steps === o.steps;
    const judged = o.validate && (last || course.steps % this.#every === 0) ? await this.#judge(o.validate) : undefined;
    const mean = course.window.sum / course.window.count;
    if (judged || last || course.window.count >= this.#perPoint) {
      course.curve.push({ step: course.steps, loss: mean, rate, ...(judged ? { metric: judged.value } : {}) });
      course.window = { sum: 0, count: 0 };
    }
    const seconds = (performance.now() - this.#startedAt) / 1000;
    course.seconds = this.#before.seconds + seconds;
    const score = course.best?.score;
    o.onEvent?.({
      type: 'progress',
      stage: o.label ?? 'train',
      done: course.steps,
      total: o.steps,
      note: [
        `loss ${mean.toPrecision(3)}`,
        ...(score ? [`best ${score.name} ${Number(score.value.toPrecision(4))}`] : []),
        `${Math.round(samples / seconds)} samples/s`,
      ].join(' · '),
      secondsLeft: (seconds / (course.steps - this.#before.steps)) * (o.steps - course.steps),
    });
  }

  async #judge(validate: NonNullable<FitOptions['validate']>): Promise<Score> {
    const { course } = this;
    const weights = this.current();
    const score = await validate(tensorsOf(weights), course.steps);
    const before = course.best?.score.value;
    const better = before === undefined || (score.higherIsBetter ? score.value > before : score.value < before);
    if (better) {
      course.best = { step: course.steps, score };
      course.stale = 0;
      this.best = weights;
    } else if (++course.stale >= (this.#o.patience ?? Infinity)) course.ended = 'patience';
    return score;
  }
}

const tensorsOf = (feed: Feed): Map<string, Tensor> =>
  new Map(Object.entries(feed).map(([name, t]) => [name, toTensor(t)]));

/** Samples of a batch: those along the first axis of its first tensor. */
const rowsOf = (batch: Feed): number => Object.values(batch)[0]?.dims[0] ?? 1;

/** A hash of all that the weights depend on. */
function keyOf(o: FitOptions): string {
  const hash = createHash('sha256').update(encodeModel(o.step.model));
  if (o.step.backward) hash.update(encodeModel(o.step.backward));
  for (const [name, t] of o.weights) hash.update(`${name} ${t.dtype} ${t.dims.join()}`).update(t.bytes());
  const rates = Array.from({ length: o.steps }, (_, i) => o.rate(i + 1));
  const { checkpoint, every, patience, ema, momentum, threads, loss, steps } = o;
  const workers = o.step.backward && o.workers; // left out where there are none, as in checkpoints of before
  const rest = { key: checkpoint?.key, every, patience, ema, momentum, threads, workers, loss, steps, rates };
  return hash.update(JSON.stringify([rest, !!o.validate, runtimeVersion()])).digest('hex');
}
