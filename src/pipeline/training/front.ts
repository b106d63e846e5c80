/** The model of a run, trained where the recipe says so, before anything else is done to it. */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../../base/environment-errors.js';
import { sha256File } from '../../base/files.js';
import { batches } from '../../data/batch.js';
import { evaluateModels } from '../../evaluate/compare.js';
import type { Model } from '../../ir/model.js';
import { saveModel } from '../../onnx/files.js';
import type { TrainingFacts } from '../../record/index.js';
import { openModel } from '../../runtime/open.js';
import { Session } from '../../runtime/session.js';
import { openData } from '../calibration.js';
import { chosenMetrics } from '../check.js';
import { modelClasses } from '../classes.js';
import type { Front } from '../front.js';
import type { Asks } from '../stages.js';
import type { Together } from '../together.js';
import { asPlanned, trainingText, trainModel, type Trained } from './train.js';

export interface TrainedFront {
  readonly front: Front;
  readonly facts?: TrainingFacts;
  /** Removes what only the run needs. */
  close(): void;
}

/** Trains, and scores the float models that come of it on the evaluation samples. A dry run trains nothing. */
export async function trainFront(
  front: Front,
  { training }: Asks,
  all: Together,
  dryRun: boolean,
): Promise<TrainedFront> {
  const nothing = (): void => undefined;
  if (!training) return { front, close: nothing };
  if (dryRun) {
    const model = await asPlanned(front.lead, front.model); // what is planned is the student
    return { front: { ...front, model }, close: nothing };
  }
  const folder = temporaryFolder();
  const close = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const { lead: recipe, model, inputs } = front;
    return await all.stage(training, async () => {
      const trained = await trainModel({ recipe, model, inputs, report: all.report, ...all.listen });
      const trainedFile = path.join(folder, 'trained.onnx');
      saveModel(trained.model, trainedFile);
      const facts = { ...trained.facts, scores: await scoresOf(front, trained, trainedFile, all) };
      // Statistics of what was trained are others than those of the file.
      const contentSha256 = (): string =>
        createHash('sha256').update(front.sources.contentSha256()).update(sha256File(trainedFile)).digest('hex');
      const sources: Front['sources'] = {
        add: (m) => {
          front.sources.add(m);
        },
        get sha256() {
          return front.sources.sha256;
        },
        contentSha256,
        assertUnchanged: () => {
          front.sources.assertUnchanged();
        },
      };
      return [{ front: { ...front, model: trained.model, trainedFile, sources }, facts, close }, trainingText(facts)];
    });
  } catch (error) {
    close();
    throw error;
  }
}

/** What the float models score; none without evaluation data. */
async function scoresOf(
  { lead, inputs, scores }: Front,
  { others }: Trained,
  trainedFile: string,
  { report, listen }: Together,
): Promise<TrainingFacts['scores']> {
  const { evaluation: e } = lead.recipe;
  if (!e.data) return [];
  const dataset = await openData(e.data, inputs, lead, () => undefined);
  const metrics = await chosenMetrics(lead);
  const limit = e.samples === undefined ? {} : { limit: e.samples };
  const score = async (name: TrainingFacts['scores'][number]['name'], open: Promise<Session>) => {
    const float = await open;
    try {
      const { float: found } = await evaluateModels({
        float,
        candidates: [],
        batches: () => batches(dataset.samples(limit), { size: e.batchSize, inputs, padding: dataset.padding }),
        metrics,
        classNames: dataset.classes ?? modelClasses(scores),
        guessedClasses: dataset.guessedClasses,
        searchShare: e.searchShare,
        signal: listen.signal,
        onDiagnostic: report,
      });
      return {
        name,
        metrics: found.flatMap((s) => {
          const value = s.value();
          const { name: called, unit, higherIsBetter } = s.metric;
          return value === undefined ? [] : [{ name: called, unit, value, higherIsBetter }];
        }),
      };
    } finally {
      await float.close();
    }
  };
  const options = { threads: e.threads, spinning: false };
  const openOther = (model: Model): Promise<Session> => openModel(model, { ...options, label: 'a float model' });
  const made: TrainingFacts['scores'][number][] = [];
  for (const { name, model } of others) made.push(await score(name, openOther(model)));
  made.push(await score('trained', Session.open(trainedFile, { ...options, label: 'the trained model' })));
  return made;
}
