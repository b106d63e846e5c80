/** The rounds of `quantize auto`: what is tried next, and why. */
import { fail } from '../base/errors.js';
import { groupBy } from '../base/group.js';
import { marginOf, type Margin } from '../gate/limits.js';
import { derive, type ResolvedRecipe } from '../recipe/load.js';
import type { RunRecord, SearchFacts } from '../record/index.js';
import { exclusions, firstRound, mixtures, refinements, safest, type Candidate, type Objective, type Work } from './candidates.js';
import { compared } from './rank.js';
import type { RunListener } from './run.js';
import type { createStages } from './stages.js';
import { tryAll, type Tried } from './trials.js';

export interface AutoOptions extends RunListener {
  /** Gives model, data, metric, target and what must stay float. */
  readonly base: ResolvedRecipe;
  readonly outDir: string;
  readonly maxAccuracyDrop: Margin;
  readonly objective: Objective;
  readonly timeBudgetMs: number;
  /** Takes only a drop whose whole interval is within the limit. */
  readonly proven?: boolean;
}
export interface AutoResult { readonly record: RunRecord; readonly outDir: string; readonly search: SearchFacts }

const PROXY_SAMPLES = 256;
const LATENCY_RUNS = 30;
/** Latencies closer than this are the same; so are sizes. */
const SAME: Readonly<Record<Objective, number>> = { latency: 1.05, size: 1.02 };

export type Stage = ReturnType<typeof createStages>['stage'];

/** The rounds of a search on the search part of the samples. */
export class Search {
  readonly trials: Tried[] = [];
  readonly notes: string[] = [];
  limit: number | undefined;
  readonly #o: AutoOptions;
  readonly #share: number;
  readonly #folder: string;
  readonly #stage: Stage;
  readonly #spent: () => number;
  #round = 0;
  /** Of one trial on the whole search part. */
  #fullMs = 0;

  constructor(o: AutoOptions, share: number, folder: string, stage: Stage, spent: () => number) {
    this.#o = o;
    this.#share = share;
    this.#folder = folder;
    this.#stage = stage;
    this.#spent = spent;
  }

  async explore(work: Work): Promise<void> {
    const { base, objective } = this.#o;
    const given: Candidate = { label: 'as given', why: 'the recipe that was given', family: familyOf(base.recipe.quantize.format), adjust: base.recipe.adjust, quantize: base.recipe.quantize };
    const others: Candidate[] = [];
    for (const c of firstRound(base.recipe, work, objective)) {
      const { recipe } = await derive(base, { adjust: c.adjust, quantize: c.quantize }, { baseDir: base.baseDir });
      if (JSON.stringify([recipe.adjust, recipe.quantize]) !== JSON.stringify([base.recipe.adjust, base.recipe.quantize])) others.push(c); // the given one is tried anyway
    }
    const first = await this.#try([given, ...others], { samples: PROXY_SAMPLES, latency: false });
    const statics = byLoss(first.filter((t) => t.candidate.family === 'static'));
    const survivors = [...new Set([...statics.slice(0, 3), ...byLoss(first.filter((t) => t.candidate.family === 'dynamic')).slice(0, 1), ...byLoss(first.filter((t) => t.candidate.family === 'stored')).slice(0, 3)])];
    for (const t of first) t.next = t.outcome === 'failed' ? 'left out: it failed' : survivors.includes(t) ? 'one of the closest to float in its family: measured on the whole search part' : 'others of its family are closer to float';
    const full = await this.#try(survivors.map((t) => t.candidate), { samples: undefined, latency: true });
    const best = byLoss(full.filter((t) => t.candidate.family === 'static'))[0];
    for (const t of full) t.next = t === best ? 'closest to float of its family: refined' : this.#verdict(t);
    // Corrections cost nothing at run time, but gain no speed either: where the limit is far they are left.
    if (best && objective === 'latency' && this.#within(best) && best.drop! <= this.limit! / 2) best.next = 'closest to float of its family, and far from the limit'; // within() checked both
    else if (best) {
      const refined: Tried[] = [];
      // One after the other: each takes long, and the first that keeps the limit is enough.
      for (const c of refinements(best.candidate, objective)) {
        const [t] = await this.#try([c], { samples: undefined, latency: true });
        if (!t) break;
        t.next = this.#verdict(t);
        refined.push(t);
        if (this.#within(t)) break;
      }
      const leading = byLoss([best, ...refined.filter((t) => t.candidate.quantize.weights?.dtype === undefined)])[0]!; // best is one
      if (!this.#within(leading)) await this.#exclude(leading);
      const narrow = refined.filter((t) => t.outcome === 'ok' && t.candidate.quantize.weights?.dtype === 'int4');
      if (narrow.length && !narrow.some((t) => this.#within(t)) && this.#within(leading)) {
        const mixed = await this.#try(mixtures(best.candidate, Math.min(...narrow.map((t) => t.sizeRatio!)), leading.sizeRatio!), { samples: undefined, latency: true }); // what ran has a file
        for (const t of mixed) t.next = this.#verdict(t);
      }
    }
    if (!this.trials.some((t) => this.#within(t) && t.samples > 0 && full.length && t.round > 1)) {
      const safe = await this.#try(safest(base.recipe).filter((c) => !this.trials.some((t) => t.round > 1 && t.label === c.label)), { samples: undefined, latency: true }, true);
      for (const t of safe) t.next = this.#verdict(t);
    }
  }

  /** Trials on the whole search part that keep the limit, best first: by the objective, and among those that are the same, by loss. */
  ranked(): Tried[] {
    const { objective } = this.#o;
    const rest = this.trials.filter((t) => t.round > 1 && this.#within(t));
    const ratios = groupBy(rest, kernelsOf);
    // Recipes that run the same kernels have the same latency: their median is told from noise.
    const latency = (t: Tried): number => { const all = (ratios.get(kernelsOf(t)) ?? []).flatMap((x) => x.latencyRatio ?? []).sort((a, b) => a - b); return all[Math.floor((all.length - 1) / 2)] ?? Infinity; };
    const value = (t: Tried): number => (objective === 'size' ? t.sizeRatio ?? Infinity : latency(t));
    const out: Tried[] = [];
    while (rest.length) {
      const least = Math.min(...rest.map(value));
      const same = byLoss(rest.filter((t) => !(value(t) > least * SAME[objective])));
      const next = same[0] ?? rest[0]!; // rest is not empty
      out.push(next);
      rest.splice(rest.indexOf(next), 1);
    }
    return out;
  }

  /** Of those on the whole search part, the one that lost least. */
  closest(): Tried | undefined {
    return [...this.trials.filter((t) => t.round > 1 && t.outcome === 'ok')].sort((a, b) => (a.drop ?? Infinity) - (b.drop ?? Infinity) || (a.loss ?? Infinity) - (b.loss ?? Infinity))[0];
  }

  async #exclude(leading: Tried): Promise<void> {
    const { base } = this.#o;
    const [measured] = await this.#try([leading.candidate], { samples: 1, latency: false, sensitivity: Math.min(64, base.recipe.calibration.samples) }, true);
    this.trials.splice(this.trials.indexOf(measured!), 1); // it was only measured
    const layers = measured?.record?.sensitivity?.layers ?? [];
    // Most accuracy for each multiply-accumulate that becomes float; layers without a count come by their score.
    const order = [...layers].sort((a, b) => b.score / Math.max(1, b.macs) - a.score / Math.max(1, a.macs)).map((l) => l.node);
    const top = [...layers].sort((a, b) => b.score - a.score).map((l) => l.node);
    leading.next = 'misses the limit: its most sensitive layers are left in float';
    for (const list of [top, order]) {
      if (!list.length) continue;
      const tried = await this.#try(exclusions(leading.candidate, list).filter((c) => !this.trials.some((t) => JSON.stringify(t.candidate.quantize) === JSON.stringify(c.quantize))), { samples: undefined, latency: true });
      for (const t of tried) t.next = this.#verdict(t);
      if (tried.some((t) => this.#within(t))) break;
    }
  }

  #within(t: Tried): boolean { return t.outcome === 'ok' && this.limit !== undefined && t.drop !== undefined && t.drop <= this.limit; }
  #verdict(t: Tried): string { return t.outcome === 'failed' ? 'left out: it failed' : this.#within(t) ? 'keeps the limit on the search part' : 'misses the limit on the search part'; }

  /** A round, unless the time is up; `must` rounds are not left out. */
  async #try(candidates: readonly Candidate[], how: { readonly samples: number | undefined; readonly latency: boolean; readonly sensitivity?: number }, must = false): Promise<Tried[]> {
    if (!candidates.length) return [];
    const left = this.#o.timeBudgetMs - this.#spent() - 3 * this.#fullMs; // the look at the held-out part takes about so long
    const affordable = this.#fullMs ? Math.floor(left / this.#fullMs) : candidates.length;
    const taken = must ? candidates : candidates.slice(0, Math.max(0, affordable));
    if (taken.length < candidates.length) this.notes.push(`${candidates.length - taken.length} of ${candidates.length} recipes of round ${this.#round + 1} were left out: the time budget is short (${candidates.slice(taken.length).map((c) => c.label).join('; ')})`);
    if (!taken.length) return [];
    const round = ++this.#round;
    return this.#stage('try', async () => {
      const { base, onEvent = () => undefined, signal } = this.#o;
      const tried = await tryAll(taken, { base, round, share: this.#share, samples: how.samples, latencyRuns: how.latency ? LATENCY_RUNS : 0, sensitivity: how.sensitivity ?? 0, folder: this.#folder, onEvent, signal });
      this.trials.push(...tried);
      for (const t of tried) if (t.record) this.limit ??= limitOf(this.#o.maxAccuracyDrop, t.record);
      if (how.samples === undefined) this.#fullMs = Math.max(...tried.map((t) => t.perTrialMs));
      const ok = byLoss(tried);
      if (!ok.length && round === 1) fail('QUANTIZE_NOTHING', `none of the ${tried.length} recipes ran: ${tried[0]?.error ?? ''}`, {}, 'see quantize.include and quantize.exclude of the recipe');
      return [tried, `${tried.length} recipe${tried.length === 1 ? '' : 's'}${how.samples === undefined ? '' : how.samples > 1 ? `, at most ${how.samples} samples each` : ''} · closest to float: ${ok[0]?.label ?? 'none'}`];
    });
  }
}

/** What decides which kernels run: all but how ranges and codes are chosen. */
function kernelsOf({ candidate: { quantize: { format, activations, weights, layers, exclude, coding, weightOnly } } }: Tried): string {
  return JSON.stringify([format ?? 'qdq', activations?.dtype, activations?.granularity ?? 'tensor', weights?.dtype, weights?.granularity, layers ?? [], exclude ?? [], weightOnly ?? [], format === 'coded' ? coding : undefined]);
}

const familyOf = (format: string): Candidate['family'] => (format === 'dynamic' ? 'dynamic' : format === 'coded' ? 'stored' : 'static');
const byLoss = (list: readonly Tried[]): Tried[] => list.filter((t) => t.outcome === 'ok').sort((a, b) => (a.loss ?? Infinity) - (b.loss ?? Infinity));

/** The limit in the unit of the metric: points of a correlation are hundredths, as it is usually told × 100. */
export function limitOf(text: Margin, record: Pick<RunRecord, 'evaluation'>): number {
  const metric = compared(record) ?? fail('DATA_MISSING', 'a search needs evaluation data', {}, 'set evaluation.data or pass --evaluation-data');
  const limit = marginOf(text, metric, metric.float ?? 0);
  if (typeof limit === 'number') return limit;
  if (metric.unit === 'correlation' && typeof text === 'string') return Number(/[\d.]+/.exec(text)?.[0]) / 100;
  return fail('USAGE', limit, {}, '--max-accuracy-drop takes 0.5% for metrics in %, "1% relative", or a number in the unit of the metric');
}
