/** Refined → trained: quantization-aware training of those recipes that ask for it. */
import { fail } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import { learnQuantized } from '../qat/learn.js';
import { takeTrained } from '../qat/trained.js';
import type { TrainSpec } from '../recipe/train-spec.js';
import type { TrainingFacts } from '../record/index.js';
import { learn } from '../train/learn.js';
import type { Front } from './front.js';
import { keptBy } from './kept.js';
import { loadFloatModel } from './prepare.js';
import { has } from './stages.js';
import type { Together } from './together.js';
import { scoresOf } from './training/scores.js';
import { cacheFolder } from '../recipe/cache-folder.js';
import {
  augmentingOf,
  factsOf,
  hintsOf,
  lossesOf,
  readTraining,
  trainingText,
  trainTeacher,
  type Taught,
} from './training/train.js';
import { tellDivergence } from './training/divergence.js';
import type { RefinedVariant, TrainedVariant } from './variant/types.js';

/** Trains those that ask for it, one after the other; the others stay as they are. */
export async function trainTogether(
  list: readonly RefinedVariant[],
  front: Front,
  all: Together,
): Promise<TrainedVariant[]> {
  const asked = list.filter((v) => has(v.asks, 'qat'));
  const [first] = asked;
  if (!first) return [...list];
  const made = await all.stage('qat', async () => {
    const data = await samplesFor(first, front, all);
    try {
      const taught = await teacherFor(first, front, data, all);
      const done = await all.each(asked, (v) => trainVariant(v, front, all, data, taught));
      return [done.map((d) => d.trained), all.about(done.map((d) => d.line))];
    } finally {
      data.samples.close();
    }
  });
  return all.alive(list).map((v) => made.find((m) => m.index === v.index) ?? v);
}

type Data = Awaited<ReturnType<typeof readTraining>>;

/** Recipes that run together have data, `train` and `distill` in common. */
const samplesFor = ({ recipe }: RefinedVariant, { inputs }: Front, all: Together): Promise<Data> =>
  readTraining({ recipe, inputs, report: all.report, ...all.listen }, trainOf(recipe), 'qat');

const trainOf = ({ recipe: { train } }: RefinedVariant['recipe']): TrainSpec =>
  train ?? fail('INTERNAL', 'bug in quantbench: a recipe without `train` is trained');

/** The teacher of `distill`: the one of the float student, if there was one. */
async function teacherFor(
  { recipe }: RefinedVariant,
  { inputs, floatFile, teacher }: Front,
  { samples }: Data,
  all: Together,
): Promise<Taught | undefined> {
  const { distill } = recipe.recipe;
  if (!distill) return undefined;
  if (teacher) return { teacher, other: false, fitted: [] };
  // the model of the run is cleaned by now, and training wants BatchNormalization as it was
  const about = { recipe, model: loadFloatModel(floatFile), inputs, report: all.report, ...all.listen };
  return trainTeacher(about, distill, trainOf(recipe), samples, 'qat');
}

async function trainVariant(
  v: RefinedVariant,
  { inputs, scores, model: original }: Front,
  all: Together,
  { samples, describe }: Data,
  taught: Taught | undefined,
): Promise<{ readonly trained: TrainedVariant; readonly line: string }> {
  const { recipe } = v;
  const { distill } = recipe.recipe;
  const train = trainOf(recipe);
  const refined = has(v.asks, 'weights');
  // Training changes the weights of the planned model in place.
  const float = refined ? v.float : cloneModel(v.model).model;
  const keep = keptBy(recipe.recipe);
  const from = taught && distill && { teacher: taught.teacher, ...hintsOf(distill, train.seed) };
  const loss = from ? lossesOf(train, distill) : train.loss;
  const how = {
    settings: { ...train, loss, keep },
    samples,
    augment: augmentingOf(train),
    checkpoints: cacheFolder(train.checkpoint, recipe.baseDir),
    label: 'qat',
    ...(from ?? (loss.some((t) => t.target === 'teacher') ? { teacher: float } : {})),
    ...all.listen,
  };
  const wanted = typeof train.quantized === 'object' ? train.quantized : { scales: 'lsq' as const };
  const { trained, learned } = await learnQuantized({
    ...how,
    model: v.model,
    planned: v.prepared.planned,
    assigned: v.assigned,
    fake: {
      scales: wanted.scales,
      start: ('start' in wanted ? wanted.start : undefined) ?? (refined ? 'given' : 'least-error'),
      keepZeros: keep.includes('zeros'),
      ...(v.coded ? { coded: v.coded } : {}),
    },
  });
  const assigned = takeTrained(v.prepared.planned, v.assigned, trained);
  assigned.diagnostics.forEach(v.report);
  const control = train.control ? await learn({ ...how, model: float }) : undefined;
  const models = [
    ...(control || taught?.other ? [{ name: 'before' as const, model: original }] : []),
    ...(taught?.other ? [{ name: 'teacher' as const, model: taught.teacher }] : []),
    ...(control ? [{ name: 'control' as const, model: control.model }] : []),
  ];
  const about = { recipe, inputs, scores, report: () => undefined, signal: all.listen.signal };
  const fitted = [factsOf('quantized', learned, train), ...(control ? [factsOf('control', control, train)] : [])];
  for (const facts of fitted) tellDivergence(facts, train.rate, v.report);
  const training: TrainingFacts = {
    fitted: [...(taught?.fitted ?? []), ...fitted],
    scores: await scoresOf(models, about),
    data: describe,
    augment: train.augment.map((a) => a.name),
  };
  return {
    trained: { ...v, float, assigned, coded: trained.coded, training },
    line: trainingText(training),
  };
}
