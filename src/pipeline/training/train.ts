/** The stages `train` and `distill`: what a recipe says of learning, done. */
import path from 'node:path';
import { fail, type Diagnostic } from '../../base/errors.js';
import type { OnEvent } from '../../base/events.js';
import { bytesText, countText } from '../../base/text.js';
import { augmentations } from '../../data/augment/index.js';
import { PackedSamples } from '../../data/packed.js';
import { constantsOf } from '../../cost/constants.js';
import type { DataSpec } from '../../data/spec.js';
import type { ValueInfo } from '../../ir/feed.js';
import type { Model } from '../../ir/model.js';
import type { ResolvedRecipe } from '../../recipe/load.js';
import { trainSpec, type TrainSpec } from '../../recipe/train-spec.js';
import type { FittedFacts, TrainingFacts } from '../../record/index.js';
import { addHints } from '../../train/hints.js';
import { learn, type Learned, type LearnOptions, type LearnSettings, type TermSettings } from '../../train/learn.js';
import { derive, cleaned } from '../../train/students/derive.js';
import { drawWeights } from '../../train/students/fresh.js';
import { cacheFolder } from '../../recipe/cache-folder.js';
import { openData } from '../calibration.js';
import { keptBy } from '../kept.js';
import { loadFloatModel } from '../prepare.js';
import { tellDivergence } from './divergence.js';

export interface TrainingOptions {
  readonly recipe: ResolvedRecipe;
  /** That is trained, or made a student of; it stays as it is. */
  readonly model: Model;
  /** The model of the recipe, as loaded: what accuracy is compared with, and who is learned from. Default: `model`. */
  readonly given?: Model;
  readonly inputs: readonly ValueInfo[];
  readonly report: (d: Diagnostic) => void;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal | undefined;
}
export interface Trained {
  /** What goes on through the stages. */
  readonly model: Model;
  /** Float models to be scored beside it, in the order of the record. */
  readonly others: readonly { readonly name: TrainingFacts['scores'][number]['name']; readonly model: Model }[];
  readonly facts: Omit<TrainingFacts, 'scores'>;
  /** Who was learned from. */
  readonly teacher?: Model;
}

/** Who is learned from, and how it was made. */
export interface Taught {
  readonly teacher: Model;
  /** Whether it is another than the model of the recipe, as loaded. */
  readonly other: boolean;
  readonly fitted: readonly FittedFacts[];
}

/** What a recipe learns from, decoded once: close the samples. Throws DATA_MISSING where it names no data. */
export async function readTraining(
  o: Omit<TrainingOptions, 'model'>,
  settings: TrainSpec,
  stage: string,
): Promise<{ readonly samples: PackedSamples; readonly describe: unknown }> {
  const { recipe } = o.recipe;
  const spec =
    withKnownClasses(settings.data, recipe.evaluation.data) ??
    recipe.calibration.data ??
    fail('DATA_MISSING', 'training has no data', {}, 'set train.data, or calibration.data');
  const dataset = await openData(spec, o.inputs, o.recipe, o.report);
  const total = Math.min(dataset.count ?? Infinity, settings.samples ?? Infinity);
  const limit = settings.samples === undefined ? {} : { limit: settings.samples };
  const samples = await PackedSamples.read(dataset.samples({ ...limit, ...(o.signal ? { signal: o.signal } : {}) }), {
    padding: dataset.padding,
    onSample: (done) => {
      const event = { type: 'progress', stage, done, note: 'reading samples' } as const;
      if (done % 100 === 0) o.onEvent({ ...event, total: Number.isFinite(total) ? total : undefined });
    },
  });
  return { samples, describe: dataset.describe };
}

/** Trains as the recipe says. Throws what is wrong with model, recipe and data, and TRAIN_* where a step fails. */
export async function trainModel(o: TrainingOptions): Promise<Trained> {
  const { recipe, baseDir } = o.recipe;
  const settings = { ...(recipe.train ?? trainSpec.parse({})), keep: keptBy(recipe) };
  const stage = recipe.distill ? 'distill' : 'train';
  const { samples, describe } = await readTraining(o, settings, stage);
  try {
    const course = new Course(o, settings, samples, stage, cacheFolder(settings.checkpoint, baseDir));
    const made = await (recipe.distill ? course.distill(recipe.distill) : course.train());
    const augment = settings.augment.map((a) => a.name);
    return { ...made, facts: { ...made.facts, fitted: course.fitted, data: describe, augment } };
  } finally {
    samples.close();
  }
}

/** The teacher of `distill`, trained on first where it says so. Throws as trainModel(). */
export async function trainTeacher(
  o: TrainingOptions,
  d: Distill,
  settings: TrainSpec,
  samples: PackedSamples,
  stage: string,
): Promise<Taught> {
  const course = new Course(o, settings, samples, stage, cacheFolder(settings.checkpoint, o.recipe.baseDir));
  return { ...(await course.teacher(d)), fitted: course.fitted };
}

/** Folders of images without a list of classes have the one that was found for the evaluation data. */
const withKnownClasses = (data: DataSpec | undefined, evaluation: DataSpec | undefined): DataSpec | undefined =>
  data?.images !== undefined && data.classes === undefined && evaluation?.classes !== undefined
    ? { ...data, classes: evaluation.classes }
    : data;

type Distill = NonNullable<ResolvedRecipe['recipe']['distill']>;
type Made = Omit<Trained, 'facts'> & { readonly facts: Pick<TrainingFacts, 'student'> };

/** The trainings of one recipe, one after the other. */
class Course {
  readonly fitted: FittedFacts[] = [];
  readonly #o: TrainingOptions;
  readonly #settings: TrainSpec;
  readonly #samples: PackedSamples;
  readonly #stage: string;
  readonly #checkpoints: string | undefined;

  constructor(
    o: TrainingOptions,
    settings: TrainSpec,
    samples: PackedSamples,
    stage: string,
    checkpoints: string | undefined,
  ) {
    this.#o = o;
    this.#settings = settings;
    this.#samples = samples;
    this.#stage = stage;
    this.#checkpoints = checkpoints;
  }

  /** The model of the recipe, trained on. */
  async train(): Promise<Made> {
    const [settings, given] = [this.#settings, this.#o.model];
    const fresh = settings.start === 'random';
    const { model } = await this.#learn('model', fresh ? await this.#drawn(given) : given, settings);
    return { model, others: fresh ? [] : [{ name: 'before', model: this.#o.given ?? given }], facts: {} };
  }
  async #drawn(model: Model): Promise<Model> {
    const copy = await cleaned(model);
    drawWeights(copy, this.#settings.seed);
    return copy;
  }

  /** Who is learned from; trained as it is in the file, BatchNormalization included. */
  async teacher({ teacher: { model: file, finetune } }: Distill): Promise<Omit<Taught, 'fitted'>> {
    const { recipe, model, given = model } = this.#o;
    const before = file === undefined ? given : loadFloatModel(path.resolve(recipe.baseDir, file));
    if (finetune === false) return { teacher: await cleaned(before), other: before !== given };
    const settings = { ...finetuning(this.#settings, finetune), keep: recipe.recipe.train?.keep ?? [] };
    const { model: tuned } = await this.#learn('teacher', before, settings);
    return { teacher: await cleaned(tuned), other: true };
  }

  async distill(d: Distill): Promise<Made> {
    const { recipe, model: smaller, given = smaller } = this.#o;
    const own = this.#settings;
    const { teacher, other } = await this.teacher(d);
    const { student, steps } = await studentOf(d, teacher, smaller, own.seed, recipe.baseDir);
    const { model } = await this.#learn(
      'student',
      student,
      { ...own, loss: lossesOf(own, d) },
      { teacher, distill: d },
    );
    const control = own.control ? await this.#learn('control', student, own) : undefined;
    return {
      model,
      teacher,
      others: [
        { name: 'before', model: given },
        ...(other ? [{ name: 'teacher', model: teacher } as const] : []),
        { name: 'start', model: student },
        ...(control ? [{ name: 'control', model: control.model } as const] : []),
      ],
      facts: {
        student: { made: steps, parameters: { teacher: elementsOf(teacher), student: elementsOf(student) } },
      },
    };
  }

  async #learn(
    name: FittedFacts['name'],
    model: Model,
    settings: LearnSettings,
    from?: { readonly teacher: Model; readonly distill: Distill },
  ): Promise<Learned> {
    const { onEvent, signal } = this.#o;
    const tell: OnEvent = (e) => {
      onEvent(e.type === 'progress' && e.note !== undefined ? { ...e, note: `${name} · ${e.note}` } : e);
    };
    const made = await learn({
      model,
      settings,
      samples: this.#samples,
      augment: augmentingOf(this.#settings),
      checkpoints: this.#checkpoints,
      onEvent: tell,
      signal,
      label: this.#stage,
      ...(from ? { teacher: from.teacher, ...hintsOf(from.distill, settings.seed) } : {}),
    });
    const facts = factsOf(name, made, settings);
    tellDivergence(facts, settings.rate, this.#o.report);
    this.fitted.push(facts);
    return made;
  }
}

async function studentOf(
  { student: s }: Distill,
  teacher: Model,
  smaller: Model,
  seed: number,
  baseDir: string,
): Promise<{ student: Model; steps: string[] }> {
  if (!s) return { student: await cleaned(smaller), steps: [] }; // what `compress` made
  const { model, start = 'teacher', width, depth, replace } = s;
  if (model === undefined) return derive(teacher, { width, depth, replace, start, seed });
  const student = await cleaned(loadFloatModel(path.resolve(baseDir, model)));
  if (s.start === 'random') drawWeights(student, seed);
  return { student, steps: [path.basename(model), ...(s.start === 'random' ? ['weights drawn'] : [])] };
}

/** The model that would go on through the stages, untrained. */
export async function asPlanned({ recipe, baseDir }: ResolvedRecipe, model: Model, given: Model): Promise<Model> {
  const { distill: d, train } = recipe;
  if (!d) return model;
  const teacher = d.teacher.model === undefined ? given : loadFloatModel(path.resolve(baseDir, d.teacher.model));
  return (await studentOf(d, await cleaned(teacher), model, train?.seed ?? 0, baseDir)).student;
}

/** Elements of all constants. */
function elementsOf(model: Model): number {
  let n = 0;
  for (const t of constantsOf(model)) n += t.size;
  return n;
}

function finetuning(own: TrainSpec, t: Exclude<Distill['teacher']['finetune'], false>): TrainSpec {
  const { rate = own.rate, optimiser = own.optimiser, schedule = own.schedule, warmUp = own.warmUp } = t;
  const { epochs, steps } = t.epochs === undefined && t.steps === undefined ? own : t;
  return { ...own, epochs, steps, rate, optimiser, schedule, warmUp };
}

/** The weighted sum that a student makes small, without what is built on tensors in between. */
export function lossesOf(own: TrainSpec, { soft, hard, outputs }: Distill): TermSettings[] {
  const { temperature, weight } = soft === false ? { temperature: 1, weight: 0 } : soft;
  return [
    ...(weight > 0 ? [{ loss: 'kl', target: 'teacher', weight, options: { temperature } }] : []),
    ...(outputs === false
      ? []
      : [{ loss: outputs.loss, target: 'teacher', weight: outputs.weight, options: { mask: outputs.mask } }]),
    ...(hard > 0 ? own.loss.map((term) => ({ ...term, weight: term.weight * hard })) : []),
  ];
}
export function hintsOf({ features, attention }: Distill, seed: number): Pick<LearnOptions, 'extend'> {
  if (!features && !attention) return {};
  return {
    extend: (both) => addHints(both, { ...(features ? { features } : {}), ...(attention ? { attention } : {}), seed }),
  };
}
export function augmentingOf({ augment }: TrainSpec): NonNullable<Parameters<typeof learn>[0]['augment']> {
  return augment.map(({ name, ...options }) => ({
    augmentation:
      augmentations.find((a) => a.name === name) ??
      fail('RECIPE_UNKNOWN_NAME', `unknown augmentation '${name}'`, {}, augmentations.map((a) => a.name).join(', ')),
    options,
  }));
}

export function factsOf(
  name: FittedFacts['name'],
  { fit, samples, parameters }: Learned,
  s: LearnSettings,
): FittedFacts {
  const { steps, epochs, ended, seconds, peakBytes, resumedAt, curve, best } = fit;
  return {
    ...{ name, steps, epochs, ended, seconds, peakBytes, parameters, curve },
    ...{ learned: samples.learned, judged: samples.judged, batch: s.batch * s.accumulate },
    ...(resumedAt === undefined ? {} : { resumedAt }),
    ...(best ? { best: { step: best.step, metric: best.score.name, value: best.score.value } } : {}),
  };
}

/** Such as `student 268,336 parameters · 2496 steps · loss 0.41 · 612 s, 480 MB`. */
export function trainingText({ fitted }: Pick<TrainingFacts, 'fitted'>): string {
  return fitted
    .map(
      ({ name, steps, parameters, curve, seconds, peakBytes, best }) =>
        `${name} ${countText(parameters)} parameters, ${steps} steps, loss ${(curve.at(-1)?.loss ?? NaN).toPrecision(3)}` +
        `${best ? `, held-back ${best.metric} ${Number(best.value.toPrecision(4))}` : ''}, ${seconds.toFixed(0)} s, ` +
        bytesText(peakBytes),
    )
    .join(' · ');
}
