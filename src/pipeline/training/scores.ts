/** What float models score on the evaluation samples. */
import type { Diagnostic } from '../../base/errors.js';
import { batches } from '../../data/batch.js';
import { evaluateModels } from '../../evaluate/compare.js';
import type { ValueInfo } from '../../ir/feed.js';
import type { Model } from '../../ir/model.js';
import type { ResolvedRecipe } from '../../recipe/load.js';
import type { TrainingFacts } from '../../record/index.js';
import { openModel } from '../../runtime/open.js';
import { openData } from '../calibration.js';
import { modelClasses, type Scores } from '../classes.js';

export interface ScoresOptions {
  readonly recipe: ResolvedRecipe;
  readonly inputs: readonly ValueInfo[];
  readonly scores: Omit<Scores, 'report'>;
  readonly report: (d: Diagnostic) => void;
  readonly signal?: AbortSignal | undefined;
}
export interface Score<N extends string> {
  readonly name: N;
  readonly metrics: TrainingFacts['scores'][number]['metrics'];
}

/** Of each model, one after the other; none without evaluation data. */
export async function scoresOf<N extends string>(
  models: readonly { readonly name: N; readonly model: Model }[],
  { recipe, inputs, scores, report, signal }: ScoresOptions,
): Promise<Score<N>[]> {
  const { evaluation: e } = recipe.recipe;
  if (!e.data) return [];
  const dataset = await openData(e.data, inputs, recipe, () => undefined);
  const limit = e.samples === undefined ? {} : { limit: e.samples };
  const made: Score<N>[] = [];
  for (const { name, model } of models) {
    const float = await openModel(model, { threads: e.threads, spinning: false, label: `the float model (${name})` });
    try {
      const { float: found } = await evaluateModels({
        ...{ float, metrics: scores.metrics, signal, candidates: [], onDiagnostic: report },
        batches: () => batches(dataset.samples(limit), { size: e.batchSize, inputs, padding: dataset.padding }),
        classNames: dataset.classes ?? modelClasses(scores),
        guessedClasses: dataset.guessedClasses,
        searchShare: e.searchShare,
      });
      made.push({
        name,
        metrics: found.flatMap((s) => {
          const value = s.value();
          const { name: called, unit, higherIsBetter } = s.metric;
          return value === undefined ? [] : [{ name: called, unit, value, higherIsBetter }];
        }),
      });
    } finally {
      await float.close();
    }
  }
  return made;
}
