/**
 * Tries recipes of a search: made together where they share their data, measured on the search part alone, and thrown
 * away.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { fail } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { groupBy } from '../base/group.js';
import { secondsText } from '../base/text.js';
import { stringify } from 'yaml';
import { derive, type ResolvedRecipe } from '../recipe/load.js';
import type { Recipe } from '../recipe/schema.js';
import type { RunRecord, Trial } from '../record/index.js';
import { sectionsOf, type Candidate } from './candidates.js';
import { comparedMetric } from '../compare/noise.js';
import { frontOf } from '../pipeline/front-of.js';
import { runRecipes } from '../pipeline/run.js';
import type { StageName } from '../pipeline/stages.js';

export interface Tried extends Trial {
  readonly candidate: Candidate;
  readonly record: RunRecord | undefined;
  next: string;
}
/** How many of the first candidates of a group may run, for how long, and what is said of the others. */
export interface Allowance {
  readonly take: number;
  readonly ms: number;
  readonly why: string;
}
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
  /** Runs to measure the time of layers with; 0 leaves it. */
  readonly profile: number;
  readonly folder: string;
  /** Asked before each group that runs together. */
  readonly allow: (together: readonly Candidate[]) => Allowance;
  /** Told of each group that ran, with the record of one of its recipes. */
  readonly ran: (together: readonly Candidate[], record: RunRecord) => void;
  /** Told of each group that was stopped after so long. */
  readonly stopped?: (together: readonly Candidate[], ms: number) => void;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal | undefined;
}

/** Stages of a run that bring a bar forward. */
const STEPS: readonly string[] = ['plan', 'calibrate', 'quantize', 'evaluate', 'verify'] satisfies StageName[];

/** A timer cannot wait longer. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Tries candidates. One that fails, that there is no time for or that takes too long is told of in its trial; throws
 * DATA_* and what else is not the fault of a candidate.
 */
export async function tryAll(candidates: readonly Candidate[], o: TrialOptions): Promise<Tried[]> {
  const { evaluation } = o.base.recipe;
  const { latency } = evaluation;
  const settings = {
    ...evaluation,
    searchShare: o.share, // what looks into layers stays out of the held-out part
    layers: false as const,
    profile: o.profile ? { runs: o.profile } : (false as const),
    collapse: 0,
    sensitivity: o.sensitivity ? { samples: o.sensitivity } : (false as const),
    latency:
      o.latencyRuns && latency !== false
        ? { ...latency, runs: o.latencyRuns, warmup: 5, memory: false }
        : (false as const),
  };
  const items = [];
  for (const [i, candidate] of candidates.entries()) {
    const recipe = await derive(
      o.base,
      { ...sectionsOf(candidate, o.base.recipe), evaluation: settings, gate: undefined },
      { baseDir: o.base.baseDir, name: candidate.label },
    );
    items.push({ candidate, recipe, outDir: path.join(o.folder, `round${o.round}-${i}`) });
  }
  const found = new Map<Candidate, Tried>();
  let done = 0;
  const total = items.length * STEPS.length;
  for (const group of groupBy(items, (i) => frontOf(i.recipe)).values()) {
    o.signal?.throwIfAborted();
    const from = done;
    done += group.length * STEPS.length;
    const { take, ms, why } = o.allow(group.map((i) => i.candidate));
    const skip = (list: typeof group, next: string): void => {
      for (const { candidate } of list)
        found.set(candidate, {
          ...told(candidate, o.round),
          samples: 0,
          outcome: 'skipped',
          next,
          candidate,
          record: undefined,
        });
    };
    skip(group.slice(take), why);
    const together = group.slice(0, take);
    if (!together.length) continue;
    const limit = AbortSignal.timeout(Math.min(LONGEST_MS, Math.max(1, Math.floor(ms))));
    const started = performance.now();
    const results = await runRecipes({
      runs: together,
      title: 'search',
      keepGoing: true,
      lookedAt: true,
      searchOnly: { share: o.share, samples: o.samples },
      signal: o.signal ? AbortSignal.any([o.signal, limit]) : limit,
      onEvent: (e) => {
        if (e.type !== 'stage-end') return;
        const at = STEPS.indexOf(e.stage);
        if (at >= 0)
          o.onEvent({
            type: 'progress',
            stage: 'try',
            done: from + (at + 1) * together.length,
            total,
            note: together.length === 1 ? together[0]!.candidate.label : `${together.length} recipes together`,
          }); // groups are not empty
      },
    }).catch((error: unknown) => {
      o.signal?.throwIfAborted();
      if (!limit.aborted) throw error;
      return undefined;
    });
    if (!results)
      o.stopped?.(
        together.map((i) => i.candidate),
        performance.now() - started,
      );
    if (!results)
      skip(together, `stopped after ${secondsText(performance.now() - started)}: more time than the search has for it`);
    const ran = results?.find((r) => !r.error)?.record;
    if (ran)
      o.ran(
        together.map((i) => i.candidate),
        ran,
      );
    results?.forEach((r, i) => {
      const { candidate, outDir } = together[i]!; // one for each
      // What a budget was spent on is kept, so that the recipe reproduces without measuring again.
      const resolved =
        r.error || !candidate.quantize.budget
          ? candidate
          : { ...candidate, quantize: (r.record.recipe.resolved as Recipe).quantize }; // this very version resolved it
      found.set(candidate, {
        ...trialOf(resolved, o.round, r.error ? { error: `${r.error.code} ${r.error.message}` } : r.record),
        candidate: resolved,
        record: r.error ? undefined : r.record,
        next: '',
      });
      rmSync(outDir, { recursive: true, force: true });
    });
  }
  return candidates.map((c) => found.get(c)!); // each was tried
}

function told(c: Candidate, round: number): Pick<Trial, 'round' | 'label' | 'why' | 'next' | 'settings'> {
  const { include: _include, exclude, seed: _seed, ...quantize } = c.quantize;
  return {
    round,
    label: c.label,
    why: c.why,
    next: '',
    settings: stringify(
      {
        ...(c.compress ? { compress: c.compress } : {}),
        adjust: c.adjust,
        quantize: { ...quantize, ...(exclude?.length ? { exclude } : {}) },
        ...(c.calibration ? { calibration: c.calibration } : {}),
      },
      { lineWidth: 0 },
    ).trimEnd(),
  };
}

function trialOf(c: Candidate, round: number, r: RunRecord | { readonly error: string }): Trial {
  if ('error' in r) return { ...told(c, round), samples: 0, outcome: 'failed', error: r.error };
  const metric =
    comparedMetric(r) ??
    fail('DATA_MISSING', 'a search needs evaluation data', {}, 'set evaluation.data or pass --evaluation-data');
  const worse = (metric.higherIsBetter ? 1 : -1) * ((metric.float ?? NaN) - metric.quantized);
  const bytes = r.model.quantized?.bytes;
  return {
    ...told(c, round),
    samples: r.evaluation?.samples ?? 0,
    outcome: 'ok',
    metric: metric.quantized,
    drop: worse,
    loss: lossOf(r),
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
