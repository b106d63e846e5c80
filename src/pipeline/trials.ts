/** Tries recipes of a search: made together where they share their data, measured on the search part alone, and thrown away. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { fail } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { groupBy } from '../base/group.js';
import { stringify } from 'yaml';
import { derive, type ResolvedRecipe } from '../recipe/load.js';
import type { Recipe } from '../recipe/schema.js';
import type { RunRecord, Trial } from '../record/index.js';
import type { Candidate } from './candidates.js';
import { compared } from './rank.js';
import { frontOf, runRecipes } from './run.js';

export interface Tried extends Trial { readonly candidate: Candidate; readonly record: RunRecord | undefined; readonly perTrialMs: number; next: string }
export interface TrialOptions {
  readonly base: ResolvedRecipe;
  readonly round: number;
  readonly share: number;
  /** Of the search part; all where undefined. */
  readonly samples: number | undefined;
  /** Interleaved runs of each model; 0 measures no latency. */
  readonly latencyRuns: number;
  /** Samples to measure the sensitivity of layers with; 0 leaves it. */
  readonly sensitivity: number;
  readonly folder: string;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal | undefined;
}

/** Stages of a run that bring a bar forward. */
const STAGES = ['plan', 'calibrate', 'quantize', 'evaluate', 'verify'];

/** Tries candidates. One that fails is told of in its trial; throws DATA_* and what else is not the fault of a candidate. */
export async function tryAll(candidates: readonly Candidate[], o: TrialOptions): Promise<Tried[]> {
  const { evaluation } = o.base.recipe;
  const { latency } = evaluation;
  const settings = { ...evaluation, layers: false as const, profile: false as const, collapse: 0, sensitivity: o.sensitivity ? { samples: o.sensitivity } : false as const, latency: o.latencyRuns && latency !== false ? { ...latency, runs: o.latencyRuns, warmup: 5, memory: false } : false as const };
  const items = [];
  for (const [i, candidate] of candidates.entries()) {
    const recipe = await derive(o.base, { adjust: candidate.adjust, quantize: candidate.quantize, evaluation: settings, gate: undefined }, { baseDir: o.base.baseDir, name: candidate.label });
    items.push({ candidate, recipe, outDir: path.join(o.folder, `round${o.round}-${i}`) });
  }
  const found = new Map<Candidate, Tried>();
  let done = 0;
  const total = items.length * STAGES.length;
  for (const together of groupBy(items, (i) => frontOf(i.recipe)).values()) {
    o.signal?.throwIfAborted();
    const started = performance.now();
    const from = done;
    const results = await runRecipes({
      runs: together, title: 'search', keepGoing: true, searchOnly: { share: o.share, samples: o.samples }, ...(o.signal ? { signal: o.signal } : {}),
      onEvent: (e) => {
        if (e.type !== 'stage-end') return;
        const at = STAGES.indexOf(e.stage);
        if (at >= 0) o.onEvent({ type: 'progress', stage: 'try', done: from + (at + 1) * together.length, total, note: together.length === 1 ? together[0]!.candidate.label : `${together.length} recipes together` }); // groups are not empty
      },
    }).catch((error: unknown) => { o.signal?.throwIfAborted(); throw error; });
    done = from + together.length * STAGES.length;
    const perTrialMs = (performance.now() - started) / together.length;
    together.forEach(({ candidate, outDir }, i) => {
      const r = results[i]!; // one for each
      // What a budget was spent on is kept, so that the recipe reproduces without measuring again.
      const resolved = r.error || !candidate.quantize.budget ? candidate : { ...candidate, quantize: (r.record.recipe.resolved as Recipe).quantize }; // this very version resolved it
      found.set(candidate, { ...trialOf(resolved, o.round, r.error ? { error: `${r.error.code} ${r.error.message}` } : r.record), candidate: resolved, record: r.error ? undefined : r.record, perTrialMs, next: '' });
      rmSync(outDir, { recursive: true, force: true });
    });
  }
  return candidates.map((c) => found.get(c)!); // each was tried
}

function trialOf(c: Candidate, round: number, r: RunRecord | { readonly error: string }): Trial {
  const { include: _include, exclude, seed: _seed, ...quantize } = c.quantize;
  const told = { round, label: c.label, why: c.why, next: '', settings: stringify({ adjust: c.adjust, quantize: { ...quantize, ...(exclude?.length ? { exclude } : {}) } }, { lineWidth: 0 }).trimEnd() };
  if ('error' in r) return { ...told, samples: 0, outcome: 'failed', error: r.error };
  const metric = compared(r) ?? fail('DATA_MISSING', 'a search needs evaluation data', {}, 'set evaluation.data or pass --evaluation-data');
  const worse = (metric.higherIsBetter ? 1 : -1) * ((metric.float ?? NaN) - metric.quantized);
  const bytes = r.model.quantized?.bytes;
  return {
    ...told, samples: r.evaluation?.samples ?? 0, outcome: 'ok', metric: metric.quantized, drop: worse, loss: lossOf(r),
    ...(bytes === undefined ? {} : { bytes, sizeRatio: bytes / r.model.float.bytes }),
    ...(r.latency ? { latencyMs: r.latency.quantizedMs.p50, latencyRatio: 1 / r.latency.speedup } : {}),
  };
}

/** Mean KL divergence of class scores; else the mean relative squared error of the outputs. */
export function lossOf({ evaluation: e }: RunRecord): number {
  if (!e) return Infinity;
  if (e.agreement?.kl !== undefined) return e.agreement.kl;
  const errors = e.outputs.map((o) => (o.sqnrDb === undefined ? (o.mse > 0 ? 1 : 0) : 10 ** (-o.sqnrDb / 10)));
  return errors.reduce((n, x) => n + x, 0) / (errors.length || 1);
}
