/** Refined → trained: quantization-aware training of those recipes that ask for it. */
import path from 'node:path';
import { evaluateModels } from '../evaluate/compare.js';
import { batches } from '../data/batch.js';
import { PackedSamples } from '../data/packed.js';
import { fail } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import { learnQuantized } from '../qat/learn.js';
import { takeTrained } from '../qat/trained.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { TrainSpec } from '../recipe/train-spec.js';
import type { MetricFacts, TrainingFacts } from '../record/index.js';
import { openModel } from '../runtime/open.js';
import { Session } from '../runtime/session.js';
import { learn, type Learned, type LearnOptions } from '../train/learn.js';
import { openData } from './calibration.js';
import { chosenMetrics } from './check.js';
import { modelClasses } from './classes.js';
import type { Front } from './front.js';
import { has } from './stages.js';
import type { Together } from './together.js';
import type { RefinedVariant, TrainedVariant } from './variant/types.js';

/** Trains those that ask for it, one after the other; the others stay as they are. */
export async function trainTogether(
  list: readonly RefinedVariant[],
  front: Front,
  all: Together,
): Promise<TrainedVariant[]> {
  const asked = list.filter((v) => has(v.asks, 'qat'));
  if (!asked.length) return [...list];
  const made = await all.stage('qat', async () => {
    const done = await all.each(asked, (v) => trainVariant(v, front, all));
    return [done.map((d) => d.trained), all.about(done.map((d) => d.line))];
  });
  return all.alive(list).map((v) => made.find((m) => m.index === v.index) ?? v);
}

async function trainVariant(
  v: RefinedVariant,
  front: Front,
  all: Together,
): Promise<{ readonly trained: TrainedVariant; readonly line: string }> {
  const { train } = v.recipe.recipe;
  if (!train) return fail('INTERNAL', 'bug in quantbench: a recipe without `train` is trained');
  const refined = has(v.asks, 'weights');
  // Training changes the weights of the planned model in place.
  const float = refined ? v.float : cloneModel(v.model).model;
  const { samples, describe } = await readSamples(train, v.recipe, front, v.report);
  try {
    const how = { ...learning(train, v.recipe, samples), ...all.listen };
    const wanted = typeof train.quantized === 'object' ? train.quantized : { scales: 'lsq' as const, keepZeros: false };
    const { trained, learned } = await learnQuantized({
      ...how,
      model: v.model,
      ...(train.loss.some((t) => t.target === 'teacher') ? { teacher: float } : {}),
      planned: v.prepared.planned,
      assigned: v.assigned,
      fake: { ...wanted, start: wanted.start ?? (refined ? 'given' : 'least-error') },
      label: 'qat',
    });
    const assigned = takeTrained(v.prepared.planned, v.assigned, trained);
    assigned.diagnostics.forEach(v.report);
    const control = train.control ? await learn({ ...how, model: float, label: 'qat' }) : undefined;
    const metrics = control && (await metricsOf(control.model, v.recipe, front, all));
    const training: TrainingFacts = {
      ...factsOf(learned),
      samples: learned.samples,
      parameters: learned.parameters,
      data: describe,
      ...(control && metrics ? { control: { ...factsOf(control), metrics } } : {}),
    };
    return { trained: { ...v, float, assigned, coded: trained.coded, training }, line: lineOf(training) };
  } finally {
    samples.close();
  }
}

/** The samples of a recipe's training data, decoded once. Throws DATA_MISSING where it names none. */
async function readSamples(
  train: TrainSpec,
  recipe: ResolvedRecipe,
  { inputs }: Front,
  report: RefinedVariant['report'],
): Promise<{ readonly samples: PackedSamples; readonly describe: unknown }> {
  const data =
    train.data ??
    recipe.recipe.calibration.data ??
    fail('DATA_MISSING', 'the recipe names no data to train on', {}, 'set train.data or calibration.data');
  const dataset = await openData(data, inputs, recipe, report);
  const limit = train.samples === undefined ? {} : { limit: train.samples };
  return { samples: await PackedSamples.read(dataset.samples(limit)), describe: dataset.describe };
}

function learning(
  train: TrainSpec,
  { baseDir }: ResolvedRecipe,
  samples: PackedSamples,
): Pick<LearnOptions, 'settings' | 'samples' | 'checkpoints'> {
  const { checkpoint } = train;
  const folder =
    typeof checkpoint === 'string' ? path.resolve(baseDir, checkpoint) : path.join(baseDir, '.cache', 'quantbench');
  return { settings: train, samples, checkpoints: checkpoint === false ? undefined : folder };
}

/** What a model scores on the evaluation data; nothing where there are none. */
async function metricsOf(model: Model, recipe: ResolvedRecipe, front: Front, all: Together): Promise<MetricFacts[]> {
  const { data, samples, batchSize, threads } = recipe.recipe.evaluation;
  if (!data) return [];
  const { inputs, floatFile, scores } = front;
  // the evaluation says what there is to say of the data
  const dataset = await openData(data, inputs, recipe, () => undefined);
  const { signal } = all.listen;
  const read = { ...(samples === undefined ? {} : { limit: samples }), ...(signal ? { signal } : {}) };
  const float = await Session.open(floatFile, { threads, spinning: false, label: 'the float model' });
  try {
    const session = await openModel(model, { threads, spinning: false, label: 'the control' });
    try {
      const { candidates } = await evaluateModels({
        float,
        candidates: [session],
        classNames: dataset.classes ?? modelClasses(scores),
        batches: () => batches(dataset.samples(read), { size: batchSize, inputs, padding: dataset.padding }),
        metrics: await chosenMetrics(recipe),
        onDiagnostic: () => undefined,
        ...(signal ? { signal } : {}),
      });
      return [...(candidates[0]?.metrics ?? [])];
    } finally {
      await session.close();
    }
  } finally {
    await float.close();
  }
}

function factsOf({ fit }: Learned): Omit<TrainingFacts, 'samples' | 'parameters' | 'data' | 'control'> {
  const { steps, epochs, ended, curve, best, seconds, peakBytes } = fit;
  return { steps, epochs, ended, curve, ...(best ? { best } : {}), seconds, peakBytes };
}

/** Such as `780 steps · loss 0.431 · top1 84.2 on 2,000 held-back samples · 412 s`. */
function lineOf({ steps, curve, best, samples, seconds, control }: TrainingFacts): string {
  const metric = control?.metrics[0];
  return [
    `${steps} steps`,
    ...(curve.length ? [`loss ${curve[curve.length - 1]?.loss.toPrecision(3)}`] : []),
    ...(best ? [`${best.score.name} ${best.score.value.toPrecision(4)} on ${samples.judged} held-back samples`] : []),
    `${seconds.toFixed(0)} s`,
    ...(metric ? [`control ${metric.name} ${metric.quantized.toPrecision(4)}`] : []),
  ].join(' · ');
}
