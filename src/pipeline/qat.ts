/** Refined → trained: quantization-aware training of those recipes that ask for it. */
import { fail } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import { learnQuantized } from '../qat/learn.js';
import { takeTrained } from '../qat/trained.js';
import type { TrainingFacts } from '../record/index.js';
import { learn } from '../train/learn.js';
import type { Front } from './front.js';
import { keptBy } from './kept.js';
import { has } from './stages.js';
import type { Together } from './together.js';
import { scoresOf } from './training/scores.js';
import { cacheFolder } from '../recipe/cache-folder.js';
import { augmentingOf, factsOf, readTraining, trainingText } from './training/train.js';
import { tellDivergence } from './training/divergence.js';
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
  { inputs, scores, model: original }: Front,
  all: Together,
): Promise<{ readonly trained: TrainedVariant; readonly line: string }> {
  const { recipe } = v;
  const { train } = recipe.recipe;
  if (!train) return fail('INTERNAL', 'bug in quantbench: a recipe without `train` is trained');
  const refined = has(v.asks, 'weights');
  // Training changes the weights of the planned model in place.
  const float = refined ? v.float : cloneModel(v.model).model;
  const { samples, describe } = await readTraining({ recipe, inputs, report: v.report, ...all.listen }, train, 'qat');
  try {
    const keep = keptBy(recipe.recipe);
    const how = {
      settings: { ...train, keep },
      samples,
      augment: augmentingOf(train),
      checkpoints: cacheFolder(train.checkpoint, recipe.baseDir),
      label: 'qat',
      ...all.listen,
    };
    const wanted = typeof train.quantized === 'object' ? train.quantized : { scales: 'lsq' as const };
    const { trained, learned } = await learnQuantized({
      ...how,
      model: v.model,
      ...(train.loss.some((t) => t.target === 'teacher') ? { teacher: float } : {}),
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
    const models = control
      ? [
          { name: 'before' as const, model: original },
          { name: 'control' as const, model: control.model },
        ]
      : [];
    const about = { recipe, inputs, scores, report: () => undefined, signal: all.listen.signal };
    const fitted = [factsOf('quantized', learned, train), ...(control ? [factsOf('control', control, train)] : [])];
    for (const facts of fitted) tellDivergence(facts, train.rate, v.report);
    const training: TrainingFacts = {
      fitted,
      scores: await scoresOf(models, about),
      data: describe,
      augment: train.augment.map((a) => a.name),
    };
    return {
      trained: { ...v, float, assigned, coded: trained.coded, training },
      line: trainingText(training),
    };
  } finally {
    samples.close();
  }
}
