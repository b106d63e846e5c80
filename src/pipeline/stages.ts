/**
 * The list of stages, which serves runs, their records, `explain` and the forecasts of a search: when a recipe has a
 * stage, what it does there, and how its time is told before it was measured. The gate, which judges the record of a
 * run, is none of them.
 */
import { byName } from '../base/lists.js';
import { formats } from '../formats/index.js';
import type { Recipe, RecipeInput } from '../recipe/schema.js';
import { codings } from '../scheme/codings/index.js';
import type { Coding } from '../scheme/codings/types.js';
import { tell, type Told, type Subject } from './stage-words.js';

export type StageName =
  | 'compress'
  | 'train'
  | 'distill'
  | 'optimise'
  | 'adjust'
  | 'budget'
  | 'plan'
  | 'calibrate'
  | 'sensitivity'
  | 'weights'
  | 'qat'
  | 'transport'
  | 'quantize'
  | 'evaluate'
  | 'layers'
  | 'verify'
  | 'latency'
  | 'generate'
  | 'emit'
  | 'layout';

/** What of a recipe decides which stages it has. */
export interface Asks {
  /** Names of the steps that make the model smaller; each is a stage of its own name. */
  readonly compress: readonly string[];
  /** What is learned before the model is cleaned. */ readonly training: 'train' | 'distill' | undefined;
  /** Names of the changes before quantization; each is a stage of its own name. */ readonly adjust: readonly string[];
  readonly format: string;
  readonly budget: boolean;
  /** Whether a method other than rounding, or a correction, may choose codes of weights. */ readonly refined: boolean;
  /** Whether the quantized model is trained. */ readonly qat: boolean;
  /** Whether weights take values that compress better. */ readonly transport: boolean;
  readonly calibrationData: boolean;
  readonly evaluationData: boolean;
  readonly sensitivity: boolean;
  readonly layers: boolean;
  readonly latency: boolean;
  /** Whether prompts are continued, where the model continues text. */ readonly generation: boolean;
  /** Whether a folder for a runtime is made. */
  readonly runtime: boolean;
  /** Whether one for a library of language models is. */
  readonly layout: boolean;
}

/** What a group of recipes that run together costs in a stage, in runs of the float model, before it was measured. */
export interface Work {
  /** Layers of the model. */ readonly layers: number;
  /** Samples that methods look at. */ readonly samples: number;
  /** Samples that the sensitivity of layers is measured with. */ readonly sensitivity: number;
}

export interface StageSpec {
  readonly name: StageName;
  readonly when: (a: Asks) => boolean;
  /** Whether recipes that run together do it once, each alone, or all in one pass over the samples. */
  readonly shared: 'once' | 'each' | 'pass';
  /** Runs of the float model that it costs, by the change or method; 0 where the first recipe of any kind tells. */
  readonly runs: (w: Work, what?: string) => number;
  readonly does: (s: Subject) => Told;
}

/** Runs of the model for each sample that changes before quantization look at; the others look at weights alone. */
const ADJUST_RUNS: Readonly<Record<string, number>> = { smooth: 18, awq: 4 };
/** Each layer is fitted on a pass over the samples. */
const COMPRESS_RUNS = 20;
/** An epoch has a run and about two for the way back, and ten epochs are the default. */
const TRAINING_RUNS = 30;
const WEIGHTS_RUNS = 4;
/** Learning takes a number of steps for each block: 200 of 32 samples, with the way back and what goes beside it. */
const LEARNING_RUNS: Readonly<Record<string, number>> = { brecq: 50_000 };
/** As {@link TRAINING_RUNS}, and rounding takes a third more. */
const QAT_RUNS = 40;
const BUDGET_SAMPLES = 32;
const LAYERS_SAMPLES = 16;
const CALIBRATION_SAMPLES = 256;

const planOf = (a: Asks): string | undefined => formats.find((f) => f.name === a.format)?.plan;
const hasData = (a: Asks): boolean => a.calibrationData || a.evaluationData; // layers are analysed with either

/** In the order in which they run. */
export const STAGES: readonly StageSpec[] = [
  {
    name: 'compress',
    when: (a) => a.compress.length > 0,
    shared: 'once',
    runs: (w) => COMPRESS_RUNS * w.samples,
    does: tell.compress,
  },
  {
    name: 'train',
    when: (a) => a.training === 'train',
    shared: 'once',
    runs: (w) => TRAINING_RUNS * w.samples,
    does: tell.train,
  },
  {
    name: 'distill',
    when: (a) => a.training === 'distill',
    shared: 'once',
    runs: (w) => 2 * TRAINING_RUNS * w.samples,
    does: tell.distill,
  },
  { name: 'optimise', when: () => true, shared: 'once', runs: () => 0, does: tell.optimise },
  {
    name: 'adjust',
    when: (a) => a.adjust.length > 0,
    shared: 'once',
    runs: (w, change) => (ADJUST_RUNS[change ?? ''] ?? 0) * w.samples,
    does: tell.adjust,
  },
  {
    name: 'budget',
    when: (a) => a.budget,
    shared: 'each',
    runs: (w) => 2 * w.layers * BUDGET_SAMPLES,
    does: tell.budget,
  },
  { name: 'plan', when: () => true, shared: 'once', runs: () => 0, does: tell.plan },
  {
    name: 'calibrate',
    when: (a) => planOf(a) === 'static' || (planOf(a) === 'half' && a.calibrationData),
    shared: 'once',
    runs: () => CALIBRATION_SAMPLES,
    does: tell.calibrate,
  },
  {
    name: 'sensitivity',
    when: (a) => hasData(a) && a.sensitivity,
    shared: 'once',
    runs: (w) => w.layers * w.sensitivity,
    does: tell.sensitivity,
  },
  {
    name: 'weights',
    when: (a) => a.refined,
    shared: 'each',
    runs: (w, method) => LEARNING_RUNS[method ?? ''] ?? WEIGHTS_RUNS * w.samples,
    does: tell.weights,
  },
  {
    name: 'qat',
    when: (a) => a.qat,
    shared: 'each',
    runs: (w) => QAT_RUNS * w.samples,
    does: tell.qat,
  },
  {
    name: 'transport',
    when: (a) => a.transport,
    shared: 'each',
    runs: (w) => w.samples,
    does: tell.transport,
  },
  { name: 'quantize', when: () => true, shared: 'each', runs: () => 0, does: tell.quantize },
  { name: 'evaluate', when: () => true, shared: 'pass', runs: () => 0, does: tell.evaluate },
  {
    name: 'layers',
    when: (a) => hasData(a) && a.layers,
    shared: 'each',
    runs: () => LAYERS_SAMPLES,
    does: tell.layers,
  },
  { name: 'verify', when: () => true, shared: 'each', runs: () => 0, does: tell.verify },
  { name: 'latency', when: (a) => a.latency, shared: 'each', runs: () => 0, does: tell.latency },
  { name: 'generate', when: (a) => a.generation, shared: 'each', runs: () => 0, does: tell.generate },
  { name: 'emit', when: (a) => a.runtime, shared: 'each', runs: () => 0, does: tell.emit },
  { name: 'layout', when: (a) => a.layout, shared: 'each', runs: () => 0, does: tell.layout },
];

type Quantize = Pick<NonNullable<RecipeInput['quantize']>, 'weights' | 'layers' | 'budget' | 'format' | 'coding'>;
type Choosing = { readonly method?: string | { readonly name: string } | undefined } | undefined;

/** The method that chooses codes of weights, where one is named. */
export const methodName = (w: Choosing): string | undefined =>
  typeof w?.method === 'object' ? w.method.name : w?.method;

/** Whether a method other than rounding, or a correction, may choose codes of weights, in some layer at least. */
export function isRefined({ weights, layers = [], budget, format, coding }: Quantize): boolean {
  if (format === 'coded')
    return (weights?.correct ?? []).includes('bias') || [coding, ...layers.map((l) => l.coding)].some(weighsInputs);
  const choices = (budget?.choices ?? []).flatMap((c) => (c === 'float' ? [] : [c]));
  return (
    (weights?.correct ?? []).length > 0 ||
    weights?.lowRank !== undefined ||
    [weights, ...layers.map((l) => l.weights), ...choices.map((c) => c.weights)].some(
      (w) => (methodName(w) ?? 'round') !== 'round',
    )
  );
}

/** Whether codes of a coding are chosen by what calibration samples show of inputs. */
function weighsInputs(coding: string | { readonly name: string } | undefined): boolean {
  if (typeof coding !== 'object') return false; // it takes an option to ask for that
  const { name, ...given } = coding;
  const found: Coding<unknown> = byName(codings, name);
  return found.weighsInputs?.(found.options.parse(given)) === true;
}

/**
 * What a recipe asks for. Without `detail`, what only explains the result is left out; `writes` tells whether files for
 * a runtime, and the folder of a layout, are written.
 */
export function asksOf(
  { compress, train, distill, adjust, quantize, transport, calibration, evaluation: e, export: x }: Recipe,
  detail = true,
  writes: { readonly runtime?: boolean; readonly layout?: boolean } = {},
): Asks {
  return {
    compress: compress.map((c) => c.name),
    training: trainingOf({ compress, train, distill }),
    adjust: adjust.map((a) => a.name),
    format: quantize.format,
    budget: quantize.budget !== undefined,
    refined: isRefined(quantize),
    qat: train !== undefined && train.quantized !== false,
    transport: transport !== undefined,
    calibrationData: calibration.data !== undefined,
    evaluationData: e.data !== undefined,
    sensitivity: detail && e.sensitivity !== false,
    layers: detail && e.layers !== false,
    latency: e.latency !== false,
    generation: detail && e.generation !== false && continues(e.data ?? calibration.data),
    runtime: writes.runtime === true,
    layout: writes.layout === true && x.layout !== undefined,
  };
}

/** What is learned in float: where there is no smaller student, quantization-aware training learns from the teacher. */
function trainingOf({ compress, train, distill }: Pick<Recipe, 'compress' | 'train' | 'distill'>): Asks['training'] {
  const quantized = train !== undefined && train.quantized !== false;
  if (distill) return quantized && !distill.student && !compress.length ? undefined : 'distill';
  return train && !quantized ? 'train' : undefined;
}

/** Whether data are plain texts, which a model may continue: no pairs, no labels, no choices. */
const continues = (data: Recipe['evaluation']['data']): boolean =>
  (data?.text ?? data?.tokens) !== undefined &&
  data?.label === undefined &&
  data?.choices === undefined &&
  (data?.encoder !== undefined || (data?.fields?.length ?? 1) === 1);

/** The names of a stage: steps and changes have their own. */
export const namesOf = ({ name }: Pick<StageSpec, 'name'>, a: Pick<Asks, 'adjust' | 'compress'>): readonly string[] =>
  name === 'adjust' || name === 'compress' ? a[name] : [name];

/** The stages of what is asked for, by name and in their order; changes by their own names. */
export const stagesOf = (a: Asks): string[] => STAGES.filter((s) => s.when(a)).flatMap((s) => namesOf(s, a));

/** Whether what is asked for has a stage. */
export const has = (a: Asks, name: StageName): boolean => STAGES.some((s) => s.name === name && s.when(a));

/** The stages of recipes that run together, which share their changes. */
export const stagesTogether = (all: readonly Asks[]): string[] =>
  STAGES.filter((s) => all.some((a) => s.when(a))).flatMap((s) => (all[0] ? namesOf(s, all[0]) : s.name));
