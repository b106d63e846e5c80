/** The model of a run, trained where the recipe says so, before anything else is done to it. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../../base/environment-errors.js';
import { saveModel } from '../../onnx/files.js';
import type { TrainingFacts } from '../../record/index.js';
import { fromFile } from '../compress.js';
import type { Front } from '../front.js';
import type { Asks } from '../stages.js';
import type { Together } from '../together.js';
import { scoresOf } from './scores.js';
import { asPlanned, trainingText, trainModel } from './train.js';

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
    const model = await asPlanned(front.lead, front.model, front.given); // what is planned is the student
    return { front: { ...front, model }, close: nothing };
  }
  const folder = temporaryFolder();
  const close = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const { lead: recipe, model, given, inputs } = front;
    return await all.stage(training, async () => {
      const trained = await trainModel({ recipe, model, given, inputs, report: all.report, ...all.listen });
      const trainedFile = path.join(folder, 'trained.onnx');
      saveModel(trained.model, trainedFile);
      const models = [...trained.others, { name: 'trained' as const, model: trained.model }];
      const about = { recipe, inputs, scores: front.scores, report: all.report, signal: all.listen.signal };
      const facts = { ...trained.facts, scores: await scoresOf(models, about) };
      const own = fromFile(front, trained.model, trainedFile);
      const { teacher } = trained;
      return [{ front: teacher ? { ...own, teacher } : own, facts, close }, trainingText(facts)];
    });
  } catch (error) {
    close();
    throw error;
  }
}
