/** What recipes that run together share before anything is decided: the model, its inputs and data, looked at. */
import path from 'node:path';
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { bytesText, countText } from '../base/text.js';
import { modelFacts } from '../facts/model.js';
import type { ValueInfo } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { checkFiles } from '../recipe/files.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { ModelFacts } from '../record/index.js';
import { fedInputs } from './inputs.js';
import { chosenMetrics } from './check.js';
import { withClasses, type Scores } from './classes.js';
import { atBatchOfOne, lookAtFloat } from './first-look.js';
import { sizesOf } from './fit.js';
import { openFloatModel, type FloatModel } from './float-model.js';
import { isTooLarge, openedFor, readsOnce } from './large.js';
import { assertLaysOut } from './layouts.js';
import { lookAhead, startMetrics } from './look-ahead.js';
import { checkOutputs } from './overwriting.js';
import { bytesOnDisk, watchSources } from './sources.js';
import type { Asks } from './stages.js';

export interface Front {
  /** The first recipe, with what was found of its data: all share model, data and target. */
  readonly lead: ResolvedRecipe;
  readonly floatFile: string;
  /** The float model that is quantized, where it was trained: what is looked at layer by layer. */
  readonly trainedFile?: string;
  /** As loaded, or smaller; changed in place until it is planned on. */
  readonly model: Model;
  /** As loaded: who is learned from. */
  readonly given: Model;
  /** Who a student has learned from. */
  readonly teacher?: Model;
  readonly inputs: readonly ValueInfo[];
  /** Of the file. */
  readonly original: ModelFacts;
  readonly sources: ReturnType<typeof watchSources>;
  readonly scores: Omit<Scores, 'report'>;
  /** Whether the graph is fixed at a batch of one, whatever the recipe says. */
  readonly one: boolean;
  /** Removes what only the run needs. */
  close(): void;
}

export interface FrontOptions {
  readonly runs: readonly { readonly recipe: ResolvedRecipe; readonly outDir: string }[];
  readonly lead: ResolvedRecipe;
  readonly title: string;
  readonly asked: readonly Asks[];
  readonly dryRun: boolean;
  /** The caller has looked at the float model and told what it found. */
  readonly lookedAt: boolean;
  readonly report: (d: Diagnostic) => void;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal | undefined;
}

/** Loads and looks ahead. Throws what is wrong with the recipe, the model or the data, before any work. */
export async function openFront(o: FrontOptions): Promise<Front> {
  const { lead: given } = o;
  if (!given.recipe.model)
    fail(
      'RECIPE_INVALID',
      'the recipe names no model',
      given.file ? { file: given.file } : {},
      'set model: in the recipe or pass --model',
    );
  const givenFile = path.resolve(given.baseDir, given.recipe.model);
  if (!o.dryRun) {
    checkOutputs(o.runs); // what would be lost is told before what is missing
    checkFiles(given);
  }
  const sources = watchSources(givenFile);
  const later = (m: Model): boolean => o.runs.every((r) => readsOnce(m, r.recipe.recipe));
  const float = openFloatModel(givenFile, {
    reads: (m) => !o.dryRun && !later(m),
    opens: () => !o.dryRun && isOpened(given),
  });
  try {
    sources.add(float.model);
    return { ...(await lookThrough(o, givenFile, float, sources)), close: float.close };
  } catch (error) {
    float.close();
    throw error;
  }
}

async function lookThrough(
  o: FrontOptions,
  givenFile: string,
  { file: floatFile, model, told }: FloatModel,
  sources: Front['sources'],
): Promise<Omit<Front, 'close'>> {
  const { lead: given, report, signal } = o;
  if (!o.dryRun) checkOutputs(o.runs, model);
  for (const r of o.runs) assertLaysOut(r, model);
  const inputs = fedInputs(model);
  const name = path.basename(givenFile);
  const original = modelFacts(model, name, bytesOnDisk(givenFile, model), sources.sha256, undefined);
  o.onEvent({
    type: 'start',
    title:
      `${o.title} · ${name} (${opsetText(model)}, ${countText(original.parameters)} ` +
      `parameters, ${bytesText(original.bytes)}) → ${given.recipe.target}`,
  });
  const looks = !o.dryRun && !o.lookedAt;
  const tell = (d: Diagnostic): void => {
    if (!o.lookedAt) report(d);
  };
  if (told) tell(told);
  const about = { file: floatFile, model, inputs, recipe: given, asked: o.asked };
  const found = await lookAtAll({ ...about, looks, report: tell, signal });
  return { ...found, floatFile, model, given: model, inputs, original, sources };
}

/** Whether onnxruntime opens the model as a whole. */
const isOpened = (resolved: ResolvedRecipe): boolean => {
  const sizes = sizesOf(resolved);
  return !isTooLarge(sizes.bytes, resolved.recipe) || openedFor(sizes, resolved.recipe) !== 'never';
};

export interface LookOptions {
  readonly file: string;
  readonly model: Model;
  readonly inputs: readonly ValueInfo[];
  readonly recipe: ResolvedRecipe;
  readonly asked: readonly Asks[];
  /** Whether the float model is tried, and the data. */
  readonly looks: boolean;
  readonly report: (d: Diagnostic) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Looks at the float model, metrics, classes and data of a recipe before any work, and gives the recipe with what was
 * found. Throws what is wrong with them.
 */
export async function lookAtAll(o: LookOptions): Promise<Pick<Front, 'lead' | 'scores' | 'one'>> {
  const { file, model, inputs, recipe, report, signal } = o;
  const small = !isTooLarge(bytesOnDisk(file, model), recipe.recipe); // what is large is opened where it must be
  const one = o.looks && small && (await lookAtFloat({ file, recipe, inputs, report, signal }));
  const sized = one ? atBatchOfOne(recipe) : recipe;
  // Loads the user's own metrics before the work, so that a mistake in them is told at once; so with classes.
  const scores = { metadata: model.metadata, outputs: model.graph.outputs, metrics: await chosenMetrics(sized) };
  startMetrics(sized, scores);
  const lead = await withClasses(sized, { ...scores, report });
  if (o.looks) await lookAhead(lead, inputs, scores, o.asked, signal);
  return { lead, scores, one };
}

/** That of the standard domain; where the model has none, of the others. */
const opsetText = ({ opsets }: Model): string =>
  opsets.has('')
    ? `opset ${opsets.get('')}`
    : [...opsets].map(([domain, v]) => `${domain} opset ${v}`).join(', ') || 'no opset';
