/** Training alone: a model, or a student of it, as a recipe's sections `train` and `distill` say. */
import path from 'node:path';
import { mkdirSync } from 'node:fs';
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { reason, writeFileAtomic } from '../base/files.js';
import { fedInputs } from '../pipeline/inputs.js';
import { chosenMetrics } from '../pipeline/check.js';
import { withClasses } from '../pipeline/classes.js';
import { loadFloatModel } from '../pipeline/prepare.js';
import { watchSources } from '../pipeline/sources.js';
import { scoresOf } from '../pipeline/training/scores.js';
import { trainModel } from '../pipeline/training/train.js';
import { saveModel } from '../onnx/files.js';
import { checkFiles } from '../recipe/files.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { TrainingFacts } from '../record/index.js';

export interface TrainFileOptions {
  readonly recipe: ResolvedRecipe;
  /** Gets model.onnx, training.json, and what `render` makes of it. */
  readonly outDir: string;
  readonly render?: (facts: TrainingFacts, recipe: ResolvedRecipe) => Readonly<Record<string, string>>;
  readonly report: (d: Diagnostic) => void;
  readonly onEvent?: OnEvent;
  readonly signal?: AbortSignal;
}

/** Trains and writes the float model. Throws what is wrong with recipe, model and data; TRAIN_* where a step fails. */
export async function trainFile(
  o: TrainFileOptions,
): Promise<{ readonly facts: TrainingFacts; readonly files: string[] }> {
  const { recipe: given, report, signal } = o;
  if (given.recipe.model === undefined)
    fail('RECIPE_INVALID', 'no model was given to train', {}, 'name it, or set model: in the recipe');
  if (given.recipe.train && given.recipe.train.quantized !== false)
    fail(
      'RECIPE_INVALID',
      'train.quantized trains the quantized model, and this command writes a float model',
      {},
      'run `quantize --recipe`, or leave it out by --set train.quantized=false',
    );
  checkFiles(given);
  const file = path.resolve(given.baseDir, given.recipe.model);
  if (path.resolve(o.outDir, 'model.onnx') === file)
    fail('OUTPUT_WRITE', `'${file}' is the model that is trained`, { file }, 'choose another folder by --out');
  const sources = watchSources(file);
  const model = loadFloatModel(file);
  const inputs = fedInputs(model);
  const scores = { metadata: model.metadata, outputs: model.graph.outputs, metrics: await chosenMetrics(given) };
  const recipe = await withClasses(given, { ...scores, report });
  const onEvent: OnEvent = (e) => o.onEvent?.(e);
  const listen = { onEvent, ...(signal ? { signal } : {}) };
  const trained = await trainModel({ recipe, model, inputs, report, ...listen });
  const all = [...trained.others, { name: 'trained' as const, model: trained.model }];
  const facts: TrainingFacts = {
    ...trained.facts,
    scores: await scoresOf(all, { recipe, inputs, scores, report, signal }),
  };
  sources.assertUnchanged();
  const texts = { 'training.json': `${JSON.stringify(facts, null, 1)}\n`, ...(o.render?.(facts, recipe) ?? {}) };
  try {
    mkdirSync(o.outDir, { recursive: true });
  } catch (error) {
    fail('OUTPUT_WRITE', `cannot make '${o.outDir}': ${reason(error)}`, { file: o.outDir }, undefined, error);
  }
  const out = path.join(o.outDir, 'model.onnx');
  saveModel(trained.model, out);
  for (const [name, text] of Object.entries(texts)) writeFileAtomic(path.join(o.outDir, name), text);
  return { facts, files: [out, ...Object.keys(texts).map((name) => path.join(o.outDir, name))] };
}
