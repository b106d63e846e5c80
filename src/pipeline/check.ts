/** Verification of written models: they load, run and agree with the float model. */
import { item } from '../base/lists.js';
import path from 'node:path';
import { fail, QuantError, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { batches } from '../data/batch.js';
import type { Dataset } from '../data/dataset.js';
import { overlap } from '../data/overlap.js';
import { withDistinctNames } from '../evaluate/choose.js';
import { evaluateModels, inSearchPart } from '../evaluate/compare.js';
import { loadMetric } from '../evaluate/metric-module.js';
import { metrics } from '../evaluate/metrics/index.js';
import { OutputErrorMeter } from '../evaluate/output-error.js';
import type { ChosenMetric } from '../evaluate/types.js';
import type { Feed, Sample, ValueInfo } from '../ir/feed.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { EvaluationFacts } from '../record/index.js';
import { probeModels, type Trouble } from '../runtime/probe.js';
import { EXACT, Session, type Runnable } from '../runtime/session.js';
import { openData } from './calibration.js';
import { collapseCheck, finiteCheck } from './collapse.js';
import { takeTurns, type Turns } from './in-turns.js';
import { passesOver } from './passes-over.js';
import { randomFeed } from './feeds.js';
import type { Variant, WrittenVariant } from './variant/types.js';

/** What is looked at with what, wherever a model is run on samples. */
export interface LookInput {
  readonly floatFile: string;
  /** Gives model, data and settings; what it says of quantization is not looked at. */
  readonly recipe: ResolvedRecipe;
  readonly inputs: readonly ValueInfo[];
  readonly report: (d: Diagnostic) => void;
  readonly onEvent?: OnEvent;
  readonly signal?: AbortSignal;
}
export interface CheckInput extends LookInput {
  readonly calibrationSamples: readonly { readonly id: string; readonly hash: string }[];
  /** Runs a step of one variant; may keep its failure from stopping the others. */
  readonly attempt: <T>(v: Variant, step: () => Promise<T> | T) => Promise<T | undefined>;
  /** Those that have not failed. */
  readonly alive: <V extends Variant>(list: readonly V[]) => readonly V[];
  /** Evaluates on the search part of the samples alone, and on at most so many of it. */
  readonly searchOnly?: SearchOnly | undefined;
  /** Whether one of the models is open at a time, for want of memory. */
  readonly inTurns?: boolean | undefined;
  /** Where the data name no classes. */
  readonly classNames?: readonly string[] | undefined;
}
export interface SearchOnly {
  readonly share: number;
  readonly samples?: number | undefined;
}
export interface Checked {
  /** Undefined without data. */ readonly samples: number | undefined;
  readonly overlap: readonly (readonly [string, string])[];
  /** One sample's inputs; undefined where there are no data, and the model runs on no random inputs. */
  readonly feed: Feed | undefined;
  /** By index of the variant; without data, none. */
  readonly found: ReadonlyMap<number, EvaluationFacts>;
}

/**
 * The metrics that a recipe names, with their options; undefined where it leaves the choice to us. Throws DATA_MISSING
 * and DATA_MODULE for a user's own, RECIPE_INVALID for one that is named twice.
 */
export async function chosenMetrics(recipe: ResolvedRecipe): Promise<ChosenMetric[] | undefined> {
  const { metrics: named } = recipe.recipe.evaluation;
  return (
    named &&
    withDistinctNames(
      await Promise.all(
        named.map(async (m) => {
          if (!('name' in m)) return loadMetric(path.resolve(recipe.baseDir, m.module), m.options);
          const { name, ...options } = m;
          return { metric: metrics.find((x) => x.name === name)!, options }; // the schema allows names of the list only
        }),
      ),
    )
  );
}

/**
 * Runs the float model and all variants on the evaluation samples, in one pass. A variant fails with QUANTIZE_VERIFY
 * where its model does not load or run, and with QUANTIZE_COLLAPSED where it no longer agrees with the float model.
 */
export async function evaluateAll(o: CheckInput, variants: readonly WrittenVariant[]): Promise<Checked> {
  const { evaluation: e, calibration } = o.recipe.recipe;
  const spec = e.data ?? calibration.data;
  if (!spec)
    o.report({
      severity: 'warning',
      code: 'NOT_EVALUATED',
      message: 'no evaluation data: the model was only loaded and run on random inputs',
      hint: 'set evaluation.data or pass --evaluation-data',
    });
  else if (!e.data)
    o.report({
      severity: 'warning',
      code: 'EVALUATED_ON_CALIBRATION',
      message: 'no evaluation data: accuracy was measured on the calibration samples, which flatters',
      hint: 'set evaluation.data or pass --evaluation-data',
    });
  const dataset = spec && (await openData(spec, o.inputs, o.recipe, o.report));
  let checked: Checked = { samples: undefined, overlap: [], feed: randomFeed(o.inputs, 0), found: new Map() };
  await probeVariants(o, variants, dataset);
  if (o.inTurns && dataset) {
    for (const { together, limit } of passesOver(o, variants, dataset.count))
      for (const v of together)
        await o.attempt(v, async () => {
          checked = joined(checked, await evaluateInTurns(o, dataset, v, limit));
        });
    return checked;
  }
  const float = await Session.open(o.floatFile, { threads: e.threads, spinning: false, label: 'the float model' });
  try {
    for (const { together, limit } of passesOver(o, variants, dataset?.count)) {
      const open: Open<Session>[] = [];
      try {
        for (const variant of together)
          await o.attempt(variant, async () => {
            open.push({ variant, session: await openQuantized(variant, e.threads) });
          });
        if (!open.length) continue;
        if (dataset) checked = joined(checked, await evaluateOn(o, dataset, float, { open, limit }));
        else checked = { ...checked, feed: await ranOnRandom(o, float, open) };
      } finally {
        for (const { session } of open) await session.close();
      }
    }
    return checked;
  } finally {
    await float.close();
  }
}

const joined = (before: Checked, now: Checked): Checked => ({
  ...now,
  samples: Math.max(now.samples ?? 0, before.samples ?? 0),
  overlap: before.overlap.length ? before.overlap : now.overlap,
  found: new Map([...before.found, ...now.found]),
});

/** One variant and the float model, which is mapped from its data files: weights are not packed a second time. */
async function evaluateInTurns(o: CheckInput, dataset: Dataset, v: WrittenVariant, limit: number): Promise<Checked> {
  const { threads } = o.recipe.recipe.evaluation;
  const how = { threads, spinning: false, config: { 'session.disable_prepacking': '1' }, label: 'the float model' };
  const start = { float: () => Session.open(o.floatFile, how), other: () => openQuantized(v, threads) };
  const turns = await takeTurns(start, { folder: path.dirname(v.folder.model), signal: o.signal });
  try {
    return await evaluateOn(o, dataset, turns.float, { open: [{ variant: v, session: turns.other }], limit, turns });
  } finally {
    await turns.close();
  }
}

/** Without those that let both models write texts. */
function metricsInTurns(chosen: readonly ChosenMetric[] | undefined, o: CheckInput): ChosenMetric[] | undefined {
  return chosen?.filter(({ metric }) => {
    if (metric.readsText)
      o.report({
        severity: 'warning',
        code: 'NOT_EVALUATED',
        message: `metric ${metric.name} was left out: it needs both models open, and memory holds one`,
        hint: 'raise memory, or leave it out',
      });
    return !metric.readsText;
  });
}

/**
 * Each variant loaded, and run on one sample, in a process of its own: what crashes the runtime fails with
 * QUANTIZE_VERIFY there.
 */
async function probeVariants(
  o: CheckInput,
  variants: readonly WrittenVariant[],
  dataset: Dataset | undefined,
): Promise<void> {
  const { evaluation: e } = o.recipe.recipe;
  let feed: Feed | undefined;
  if (dataset)
    for await (const b of batches(dataset.samples({ limit: 1 }), {
      size: 1,
      inputs: o.inputs,
      padding: dataset.padding,
    })) {
      feed = b.feeds[0];
      break;
    }
  const probed = variants.map((v) => ({ file: v.folder.model, feeds: feed ? [feed] : [] }));
  const probes = await probeModels(probed, { threads: e.threads, signal: o.signal });
  for (const [i, v] of variants.entries())
    await o.attempt(v, () => {
      const trouble = probes[i]?.trouble;
      if (trouble) unverified(trouble);
    });
}

const BUG = 'nothing was written; this is a bug in quantbench: please report it with the model';
/** Throws QUANTIZE_VERIFY. */
function unverified({ at, message }: Trouble): never {
  if (at !== 'crash') return fail('QUANTIZE_VERIFY', `the quantized model does not ${at}: ${message}`, {}, BUG);
  return fail(
    'QUANTIZE_VERIFY',
    `onnxruntime crashes with the quantized model: ${message}`,
    {},
    `${BUG}. Another quantize.format, or quantize.exclude for the layers of a kind, avoids it`,
  );
}

/**
 * For another runtime, the codes are computed exactly: what this CPU's kernels do to them is not what
 * that one does.
 */
const openQuantized = ({ folder, prepared }: WrittenVariant, threads: number): Promise<Session> =>
  Session.open(folder.model, {
    threads,
    spinning: false,
    label: 'the quantized model',
    ...(prepared.target.host === 'simulated' ? EXACT : {}),
  }).catch((cause: unknown) =>
    fail('QUANTIZE_VERIFY', `the quantized model does not load: ${(cause as Error).message}`, {}, BUG, cause),
  ); // session errors are Errors

/**
 * Without data: all on one random feed, which is given back. Where the float model itself takes no such inputs (indices
 * beyond a table, say), they are to blame, and that is told. Throws QUANTIZE_VERIFY, and QUANTIZE_COLLAPSED for what is
 * finite in float alone.
 */
async function ranOnRandom(o: CheckInput, float: Session, open: readonly Open[]): Promise<Feed | undefined> {
  const feed = randomFeed(o.inputs, 0);
  let expected: Feed;
  try {
    expected = await float.run(feed);
  } catch (error) {
    if (!(error instanceof QuantError)) throw error;
    o.report({
      severity: 'warning',
      code: 'RANDOM_INPUTS',
      message: `the float model does not run on random inputs, so that the quantized one was only loaded: ${error.message}`,
      hint: 'set evaluation.data to have it run and timed',
    });
    return undefined;
  }
  for (const { variant, session } of open) await o.attempt(variant, () => runOnce(session, feed, expected));
  return feed;
}

async function runOnce(quantized: Runnable, feed: Feed, expected: Feed): Promise<void> {
  const actual = await quantized
    .run(feed)
    .catch((cause: unknown) =>
      fail('QUANTIZE_VERIFY', `the quantized model does not run: ${(cause as Error).message}`, {}, BUG, cause),
    ); // session errors are Errors
  const outputs = Object.entries(expected).flatMap(([name, f]) => {
    const m = new OutputErrorMeter(name);
    if (actual[name]) m.add(f, actual[name]);
    return m.facts() ?? [];
  });
  finiteCheck(outputs);
}

async function evaluateOn(
  o: CheckInput,
  dataset: Dataset,
  float: Runnable,
  { open, limit, turns }: { readonly open: readonly Open[]; readonly limit: number; readonly turns?: Turns },
): Promise<Checked> {
  const e = o.recipe.recipe.evaluation;
  const seen: { id: string; hash: string }[] = [];
  let feed: Feed | undefined;
  async function* remember(): ReturnType<typeof batches> {
    for await (const b of batches(
      searched(dataset.samples({ limit, ...(o.signal ? { signal: o.signal } : {}) }), o.searchOnly),
      { size: e.batchSize, inputs: o.inputs, padding: dataset.padding, outputs: float.outputs },
    )) {
      for (const s of b.samples) seen.push({ id: s.id, hash: s.hash });
      feed ??= b.samples[0]?.feeds[0];
      yield b;
    }
  }
  const { candidates } = await evaluateModels({
    float,
    candidates: open.map((x) => x.session),
    classNames: dataset.classes ?? o.classNames,
    guessedClasses: dataset.guessedClasses,
    vocabulary: dataset.vocabulary,
    batches: () => (turns ? turns.batches(remember()) : remember()),
    metrics: turns ? metricsInTurns(await chosenMetrics(o.recipe), o) : await chosenMetrics(o.recipe),
    searchShare: o.searchOnly ? 0 : e.searchShare,
    totalSamples: o.searchOnly
      ? o.searchOnly.samples
      : dataset.count === undefined
        ? finite(limit)
        : Math.min(dataset.count, limit),
    onEvent: o.onEvent,
    signal: o.signal,
    onDiagnostic: (d, i) => (i === undefined ? o.report(d) : item(open, i).variant.report(d)), // one for each candidate
  });
  const found = new Map<number, EvaluationFacts>();
  for (const [i, { variant }] of open.entries()) {
    await o.attempt(variant, () => {
      const facts: EvaluationFacts = { ...candidates[i]!, data: dataset.describe }; // one for each candidate
      collapseCheck(facts, e.collapse);
      found.set(variant.index, facts);
    });
  }
  const shared = e.data ? overlap(o.calibrationSamples, seen).map((p) => [p.a, p.b] as const) : [];
  if (shared.length)
    o.report({
      severity: 'warning',
      code: 'DATA_OVERLAP',
      message:
        `${shared.length} evaluation samples are also calibration samples ('${item(shared, 0)[1]}' first): accuracy ` +
        'is flattered',
      hint: 'evaluate on other samples, or declare a split',
    });
  return { samples: seen.length, overlap: shared, feed: feed ?? randomFeed(o.inputs, 0), found };
}

interface Open<S extends Runnable = Runnable> {
  readonly variant: WrittenVariant;
  readonly session: S;
}
const finite = (n: number): number | undefined => (Number.isFinite(n) ? n : undefined);

async function* searched(samples: AsyncIterable<Sample>, only: SearchOnly | undefined): AsyncGenerator<Sample> {
  let given = 0;
  for await (const s of samples) {
    if (only && !inSearchPart(s.id, only.share)) continue;
    yield s;
    if (++given >= (only?.samples ?? Infinity)) return;
  }
}
