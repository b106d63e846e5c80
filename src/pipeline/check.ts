/** Verification of a written model: loads, runs, agrees, is as fast as it is. */
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { batches } from '../data/batch.js';
import { compareModels } from '../evaluate/compare.js';
import { measureLatency } from '../evaluate/latency.js';
import { metrics } from '../evaluate/metrics/index.js';
import type { Feed, ValueInfo } from '../ir/feed.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { Session } from '../runtime/session.js';
import { overlap } from '../data/overlap.js';
import { openData } from './calibration.js';
import { randomFeed, resizeBatch } from './feeds.js';
import type { EvaluationFacts, LatencyFacts } from '../record/index.js';

export interface CheckInput {
  readonly floatFile: string;
  readonly quantizedFile: string;
  readonly recipe: ResolvedRecipe;
  readonly inputs: readonly ValueInfo[];
  readonly calibrationSamples: readonly { readonly id: string; readonly hash: string }[];
  readonly report: (d: Diagnostic) => void;
  readonly onEvent?: OnEvent;
  readonly signal?: AbortSignal;
}
export interface Checked { readonly evaluation: EvaluationFacts | undefined; readonly overlap: readonly (readonly [string, string])[]; /** One sample's inputs. */ readonly feed: Feed }

/**
 * Runs both models on the evaluation samples. Throws QUANTIZE_VERIFY where the quantized model does not load or run, and
 * QUANTIZE_COLLAPSED where it no longer agrees with the float model.
 */
export async function evaluatePair(o: CheckInput): Promise<Checked> {
  const e = o.recipe.recipe.evaluation;
  const float = await Session.open(o.floatFile, { threads: e.threads, label: 'the float model' });
  let quantized: Session | undefined;
  try {
    quantized = await openQuantized(o.quantizedFile, e.threads);
    const spec = e.data ?? o.recipe.recipe.calibration.data;
    if (!spec) {
      const feed = randomFeed(o.inputs, 0);
      o.report({ severity: 'warning', code: 'NOT_EVALUATED', message: 'no evaluation data: the model was only loaded and run on random inputs', hint: 'set evaluation.data or pass --evaluation-data' });
      await quantized.run(feed).catch((cause: unknown) => fail('QUANTIZE_VERIFY', `the quantized model does not run: ${(cause as Error).message}`, {}, undefined, cause)); // session errors are Errors
      return { evaluation: undefined, overlap: [], feed };
    }
    if (!e.data) o.report({ severity: 'warning', code: 'EVALUATED_ON_CALIBRATION', message: 'no evaluation data: accuracy was measured on the calibration samples, which flatters', hint: 'set evaluation.data or pass --evaluation-data' });
    return await evaluateOn(o, spec, float, quantized);
  } finally {
    await float.close();
    await quantized?.close();
  }
}

async function openQuantized(file: string, threads: number): Promise<Session> {
  try {
    return await Session.open(file, { threads, label: 'the quantized model' });
  } catch (cause) {
    return fail('QUANTIZE_VERIFY', `the quantized model does not load: ${(cause as Error).message}`, {}, 'this is a bug in quantbench: please report it with the model', cause); // session errors are Errors
  }
}

async function evaluateOn(o: CheckInput, spec: NonNullable<ResolvedRecipe['recipe']['calibration']['data']>, float: Session, quantized: Session): Promise<Checked> {
  const e = o.recipe.recipe.evaluation;
  const dataset = await openData(spec, o.inputs, o.recipe, o.report);
  const limit = e.samples ?? Infinity;
  const seen: { id: string; hash: string }[] = [];
  let feed: Feed | undefined;
  async function* remember(): ReturnType<typeof batches> {
    for await (const b of batches(dataset.samples({ limit, ...(o.signal ? { signal: o.signal } : {}) }), { size: e.batchSize, inputs: o.inputs, padding: dataset.padding })) {
      for (const s of b.samples) seen.push({ id: s.id, hash: s.hash });
      feed ??= b.samples[0]?.feeds[0];
      yield b;
    }
  }
  const chosen = e.metrics?.map((m) => { const { name, ...options } = m; return { metric: metrics.find((x) => x.name === name)!, options }; }); // the schema allows names of the list only
  const total = dataset.count === undefined ? e.samples : Math.min(dataset.count, limit);
  const facts = await compareModels({ float, quantized, batches: remember, ...(chosen ? { metrics: chosen } : {}), ...(total !== undefined ? { totalSamples: total } : {}), ...(o.onEvent ? { onEvent: o.onEvent } : {}), ...(o.signal ? { signal: o.signal } : {}) });
  const evaluation: EvaluationFacts = { ...facts, data: dataset.describe };
  collapseCheck(evaluation, e.collapse);
  const shared = e.data ? overlap(o.calibrationSamples, seen).map((p) => [p.a, p.b] as const) : [];
  if (shared.length) o.report({ severity: 'warning', code: 'DATA_OVERLAP', message: `${shared.length} evaluation samples are also calibration samples ('${shared[0]![1]}' first): accuracy is flattered`, hint: 'evaluate on other samples, or declare a split' });
  return { evaluation, overlap: shared, feed: feed ?? randomFeed(o.inputs, 0) };
}

function collapseCheck(e: EvaluationFacts, limit: number): void {
  const collapsed = e.agreement ? e.agreement.same < limit : e.outputs.some((o) => o.cosine < limit);
  if (!collapsed && !e.outputs.some((o) => Number.isNaN(o.cosine) || Number.isNaN(o.mse))) return;
  const seen = e.agreement ? `agrees with float on ${(100 * e.agreement.same).toFixed(1)} % of ${e.samples} samples` : `has an output cosine of ${Math.min(...e.outputs.map((o) => o.cosine)).toFixed(3)} to float`;
  fail('QUANTIZE_COLLAPSED', `the quantized model ${seen}; no model was written`, {}, 'try another observer (percentile, mse), exclude sensitive layers, or lower evaluation.collapse to keep it anyway');
}

/** Interleaved latency of both files on one sample's inputs. */
export async function timePair(o: CheckInput, feed: Feed): Promise<LatencyFacts | undefined> {
  const l = o.recipe.recipe.evaluation.latency;
  if (l === false) return undefined;
  const float = await Session.open(o.floatFile, { threads: l.threads });
  const quantized = await Session.open(o.quantizedFile, { threads: l.threads });
  try {
    const sized = o.inputs.some((i) => typeof i.shape?.[0] === 'number') ? feed : resizeBatch(feed, l.batch);
    return await measureLatency({ float, quantized, feed: sized, runs: l.runs, warmup: l.warmup, threads: l.threads, ...(o.onEvent ? { onEvent: o.onEvent } : {}), ...(o.signal ? { signal: o.signal } : {}) });
  } finally {
    await float.close();
    await quantized.close();
  }
}
