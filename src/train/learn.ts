/**
 * A model that has learned from samples: the loss, the batches, the steps and what held-back samples say, put together.
 */
import { createHash } from 'node:crypto';
import type { LossTerm } from '../autodiff/add-loss.js';
import { fail } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { PackedSamples } from '../data/packed.js';
import type { ValueInfo } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { batchesOf, type Augmenting, type BatchSettings } from './batches.js';
import { fit, type CheckpointOptions, type FitResult } from './fit.js';
import { heldBack, judgeBy } from './judge.js';
import { withKept, type Kept } from './kept.js';
import { parametersOf } from './parameters.js';
import { rateOver } from './rate.js';
import { taskOf } from './task.js';
import { ofTeacher, withTeacher } from './teacher.js';
import { withWeights } from './write-back.js';

/** A plug-in by name, its options beside it. */
export interface Chosen {
  readonly name: string;
  readonly [option: string]: unknown;
}
/** One term of the loss, as recipes have it. */
export interface TermSettings {
  readonly loss: string;
  /** Default: the only output. */
  readonly of?: string | undefined;
  /** `label`, `teacher`, a value of the model, or a tensor of the data. */
  readonly target: string;
  readonly weight: number;
  readonly options: unknown;
}
/** How a model learns: the section `train` of recipes. */
export interface LearnSettings {
  readonly batch: number;
  readonly epochs?: number | undefined;
  readonly steps?: number | undefined;
  readonly loss: readonly TermSettings[];
  readonly optimiser: Chosen;
  readonly rate: number;
  readonly schedule: Chosen;
  readonly warmUp: number;
  readonly clipNorm?: number | undefined;
  readonly accumulate: number;
  readonly ema?: number | undefined;
  readonly validation:
    false | { readonly share: number; readonly every?: number | undefined; readonly patience?: number | undefined };
  readonly batchNorm: 'batch' | 'frozen';
  readonly freeze: readonly string[];
  /** What of the form of weights stays. Default: nothing. */
  readonly keep?: readonly Kept[];
  readonly seed: number;
  readonly threads: number;
  /** Parts of a batch that are computed at once. Default: 1. */
  readonly workers?: number;
}
export interface LearnOptions {
  readonly model: Model;
  /** Computes beside it; its values are targets by the name `teacher`. */
  readonly teacher?: Model | undefined;
  /** Builds on the graph of both: what is added to the loss, and what is learned with it. */
  readonly extend?: (both: Model) => { readonly terms: readonly LossTerm[]; readonly parameters: readonly string[] };
  /** Of a model that rounds as an integer model does: straight-through estimators take the gradients past that. */
  readonly rounded?:
    | {
        /** What is learned, by name; and what of it weight decay leaves alone. */
        readonly parameters: readonly string[];
        readonly undecayed: readonly string[];
        /** Values that count as constants: see GradientOptions. */
        readonly constants: readonly string[];
      }
    | undefined;
  readonly settings: LearnSettings;
  readonly samples: PackedSamples;
  readonly augment?: readonly Augmenting[];
  readonly image?: BatchSettings['image'];
  /** Folder of checkpoints. */
  readonly checkpoints?: string | undefined;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly label?: string;
}
export interface Learned {
  readonly model: Model;
  readonly fit: FitResult;
  /** Samples that were learned from, and those held back. */
  readonly samples: { readonly learned: number; readonly judged: number };
  /** Elements of the weights that were learned. */
  readonly parameters: number;
}

const DEFAULT_EPOCHS = 10;

/**
 * Trains a copy of the model. Throws what taskOf(), fit() and the data throw; what is wrong is told before any step.
 */
export async function learn(o: LearnOptions): Promise<Learned> {
  const { settings: s, samples } = o;
  const { workers = 1 } = s;
  const part = s.batch / workers;
  if (!Number.isInteger(part))
    fail('RECIPE_INVALID', `train.batch is ${s.batch}, which ${workers} workers cannot share`, {}, 'use a multiple');
  const fixed = o.model.graph.inputs.find((v) => !v.data && typeof v.shape?.[0] === 'number' && v.shape[0] !== part);
  if (fixed)
    fail(
      'RECIPE_INVALID',
      `'${fixed.name}' takes batches of ${fixed.shape?.[0] ?? '?'}, and train.batch is ${s.batch}` +
        (workers > 1 ? ` for ${workers} workers` : ''),
      { tensor: fixed.name },
      'set train.batch to it, for each worker; accumulate makes steps of several batches',
    );
  const mixes = o.augment?.some((a) => a.augmentation.mixes) === true;
  // A model that rounds keeps what it keeps by itself.
  const kept = s.keep?.length && !o.rounded ? withKept(o.model, parametersOf(o.model, s.freeze), s.keep) : undefined;
  const learner = kept?.model ?? o.model;
  const both = o.teacher ? withTeacher(learner, o.teacher) : learner;
  const more = o.extend?.(both);
  const terms = [...termsOf(o, mixes), ...(more?.terms ?? [])];
  const task = taskOf({
    model: both,
    learner,
    more: more?.parameters ?? [],
    terms,
    batch: s.batch,
    workers,
    shapes: shapesOf(both, samples, part),
    optimiser: chosen(s.optimiser),
    clipNorm: s.clipNorm,
    accumulate: s.accumulate,
    batchNorm: s.batchNorm,
    freeze: s.freeze,
    ...(kept ? { parameters: kept.parameters } : {}),
    ...(o.rounded ? { ...o.rounded, rounding: 'straight-through' } : {}),
  });
  const { learn: learned, judge: judged } = heldBack(samples.count, s.validation ? s.validation.share : 0, s.seed);
  const perEpoch = Math.floor(learned.length / (s.batch * s.accumulate));
  if (!perEpoch)
    fail(
      'RECIPE_INVALID',
      `a step takes ${s.batch * s.accumulate} samples, and there are ${learned.length} to learn from`,
      {},
      'use a smaller batch, or more samples',
    );
  const steps = s.steps ?? Math.max(1, Math.round((s.epochs ?? DEFAULT_EPOCHS) * perEpoch));
  const label = labelOf(task.step.backward ?? task.step.model);
  const settings: BatchSettings = {
    ...{ samples, batch: s.batch, seed: s.seed, indices: learned },
    ...(o.augment ? { augment: o.augment } : {}),
    ...(o.image ? { image: o.image } : {}),
    ...(label ? { label } : {}),
  };
  const made = await fit({
    step: task.step,
    weights: task.weights,
    batches: batchesOf(settings),
    steps,
    rate: rateOver(steps, { rate: s.rate, warmUp: s.warmUp, schedule: s.schedule.name, ...optionsOf(s.schedule) }),
    threads: s.threads,
    workers,
    every: (s.validation && s.validation.every) || perEpoch,
    ...(s.validation && s.validation.patience !== undefined ? { patience: s.validation.patience } : {}),
    ...(s.validation
      ? {
          validate: judgeBy({
            learner,
            classes: classesOf(terms, samples),
            withLoss: task.withLoss,
            settings: { ...settings, indices: judged },
            threads: s.threads,
          }),
        }
      : {}),
    ...(s.ema === undefined ? {} : { ema: s.ema }),
    ...(o.checkpoints === undefined ? {} : { checkpoint: checkpointOf(o, o.checkpoints) }),
    ...(o.onEvent ? { onEvent: o.onEvent } : {}),
    ...(o.signal ? { signal: o.signal } : {}),
    ...(o.label === undefined ? {} : { label: o.label }),
  });
  const own = new Set([...o.model.graph.initializers].map((v) => v.name));
  const restored = kept?.restore(made.weights) ?? made.weights;
  const weights = new Map([...restored].filter(([name]) => own.has(name)));
  return {
    model: withWeights(o.model, weights),
    fit: made,
    samples: { learned: learned.length, judged: judged.length },
    parameters: task.parameters.reduce((n, name) => n + (own.has(name) ? (task.weights.get(name)?.size ?? 0) : 0), 0),
  };
}

/** Of the inputs that samples fill, as they fill them: texts leave more open than the axis of the batch. */
function shapesOf({ graph }: Model, samples: PackedSamples, batch: number): Record<string, readonly number[]> {
  const first = samples.feed([0]);
  return Object.fromEntries(
    graph.inputs.flatMap(({ name }) => {
      const dims = first[name]?.dims;
      return dims ? [[name, [batch, ...dims.slice(1)]]] : [];
    }),
  );
}

const optionsOf = ({ name: _, ...options }: Chosen): { options: Readonly<Record<string, unknown>> } => ({ options });
const chosen = (c: Chosen): { name: string; options: Readonly<Record<string, unknown>> } => ({
  name: c.name,
  ...optionsOf(c),
});

/** What data and augmentation are: the weights depend on them. */
const checkpointOf = (o: LearnOptions, folder: string): CheckpointOptions => {
  const augment = o.augment?.map((a) => [a.augmentation.name, a.options]);
  const { seed, batch, validation } = o.settings;
  const what = JSON.stringify([o.samples.hash, augment, o.image, seed, batch, validation]);
  return { folder, key: createHash('sha256').update(what).digest('hex') };
};

const LABEL = 'label';
/** The input of the step that labels go to. */
function labelOf(step: Model): ValueInfo | undefined {
  const v = step.graph.inputs.find((i) => i.name === LABEL);
  return v && { name: v.name, dtype: v.dtype, shape: v.shape };
}

/** The output whose largest element is the class, where one is learned from labels or stands beside them. */
function classesOf(terms: readonly LossTerm[], samples: PackedSamples): string | undefined {
  if (!samples.labels?.every((l) => Number.isInteger(l) && l >= 0)) return undefined;
  return terms.find((t) => t.loss === 'cross-entropy' || t.loss === 'kl')?.of;
}

/** Terms with all names settled. Throws RECIPE_INVALID. */
function termsOf({ model, teacher, settings }: LearnOptions, mixes: boolean): LossTerm[] {
  return settings.loss.map(({ loss, of: given, target, weight, options }): LossTerm => {
    const { outputs } = model.graph;
    const of = given ?? outputs[0]?.name;
    if (of === undefined || (given === undefined && outputs.length > 1))
      return fail(
        'RECIPE_INVALID',
        `loss ${loss}: the model has ${outputs.length} outputs: ${outputs.map((v) => v.name).join(', ')}`,
        {},
        'say which by `of`',
      );
    // Mixed labels are shares of classes.
    const extra = mixes && loss === 'cross-entropy' && target === LABEL ? { target: 'distribution' } : {};
    const wanted = target === 'teacher' ? teacherTarget(model, teacher, of, loss) : target;
    return { loss, of, target: wanted, weight, options: { ...(options as object), ...extra } }; // checked by its schema
  });
}
function teacherTarget(model: Model, teacher: Model | undefined, of: string, loss: string): string {
  if (!teacher)
    return fail('RECIPE_INVALID', `loss ${loss} is held against a teacher, and there is none`, {}, 'add `distill`');
  const all = [...teacher.graph.nodes].flatMap((n) => n.outputs.map((v) => v.name));
  const same = all.includes(of) ? of : teacher.graph.outputs[model.graph.outputs.findIndex((v) => v.name === of)]?.name;
  return same === undefined
    ? fail('RECIPE_INVALID', `loss ${loss}: the teacher has no value '${of}'`, { tensor: of })
    : ofTeacher(same);
}
