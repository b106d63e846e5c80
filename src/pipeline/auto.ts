/**
 * Finds the recipe: rounds of candidates on the search part of the evaluation samples, then one look at the held-out part.
 * Rounds are successive halving (https://arxiv.org/abs/1502.07943): all on few samples, the best on the whole search part.
 */
import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { fail } from '../base/errors.js';
import { writeFileAtomic } from '../base/files.js';
import { groupBy } from '../base/group.js';
import { secondsText } from '../base/text.js';
import { judgeRun } from '../gate/index.js';
import { marginOf, type Margin } from '../gate/limits.js';
import { derive, resolveRecipe, type ResolvedRecipe } from '../recipe/load.js';
import type { RecipeInput } from '../recipe/schema.js';
import type { RunRecord, SearchFacts } from '../record/index.js';
import { exclusions, firstRound, mixtures, refinements, safest, type Candidate, type Objective, type Work } from './candidates.js';
import { compared } from './rank.js';
import { runRecipe, type RunListener } from './run.js';
import { publish, stagingDir } from './staging.js';
import { createStages } from './stages.js';
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

/** Share of the samples that choose, unless the recipe gives one. */
const SEARCH_SHARE = 0.4;
const PROXY_SAMPLES = 256;
const LATENCY_RUNS = 30;
/** Looks at the held-out part: each more widens the intervals. */
const LOOKS = 3;
/** Latencies closer than this are the same; so are sizes. */
const SAME: Readonly<Record<Objective, number>> = { latency: 1.05, size: 1.02 };

/**
 * Writes into `outDir` the model that is best by the objective among those that keep the limit, with recipe.yaml, which
 * makes the same file again. Where none keeps it on the held-out part, the closest goes to `outDir`/best-found instead.
 * Throws DATA_MISSING without evaluation data, USAGE for a limit that does not fit the metric, and the signal's reason.
 */
export async function findRecipe(o: AutoOptions): Promise<AutoResult> {
  const { base, signal } = o;
  const { evaluation, calibration } = base.recipe;
  if (!evaluation.data) fail('DATA_MISSING', 'a search compares recipes on evaluation data, and the recipe names none', {}, 'set evaluation.data or pass --evaluation-data');
  const started = performance.now();
  const spent = (): number => performance.now() - started;
  const onEvent = o.onEvent ?? ((): void => undefined);
  const { stage } = createStages(onEvent, signal);
  const share = evaluation.searchShare || SEARCH_SHARE;
  const staging = stagingDir(o.outDir);
  try {
    onEvent({ type: 'start', title: `auto · ${path.basename(base.recipe.model ?? '')} · smallest ${o.objective} with a drop of at most ${String(o.maxAccuracyDrop)}` });
    const work = await stage('look', async () => { const w = await workOf(base, calibration.data !== undefined, staging, signal); return [w, `${(100 * w.convolutions).toFixed(0)} % of the work is convolutions, ${(100 * w.products).toFixed(0)} % matrix products`]; });
    const search = new Search(o, share, staging, stage, spent);
    await search.explore(work);
    return await confirm(o, search, share, staging, spent, stage);
  } finally {
    rmSync(staging, { recursive: true, force: true });
    if (!readdirSync(o.outDir).length) rmdirSync(o.outDir);
  }
}

type Stage = ReturnType<typeof createStages>['stage'];

class Search {
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
      const refined = await this.#try(refinements(best.candidate, objective), { samples: undefined, latency: true });
      for (const t of refined) t.next = this.#verdict(t);
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

/** What does the work, by a plan alone. */
async function workOf(base: ResolvedRecipe, hasData: boolean, outDir: string, signal: AbortSignal | undefined): Promise<Work> {
  // Format coded plans every model that has a weight, whatever its operators.
  const plain = await derive(base, { adjust: [], quantize: { format: 'coded' } }, { baseDir: base.baseDir });
  const { record } = await runRecipe({ recipe: plain, outDir, dryRun: true, ...(signal ? { signal } : {}) });
  const sum = (test: (op: string) => boolean): number => record.nodes.filter((n) => test(n.op)).reduce((n, x) => n + x.macs, 0);
  const all = sum(() => true) || 1;
  const convolutions = sum((op) => op.startsWith('Conv')) / all;
  return { convolutions, products: sum((op) => op === 'MatMul' || op === 'Gemm') / all, hasData };
}

/** The limit in the unit of the metric: points of a correlation are hundredths, as it is usually told × 100. */
export function limitOf(text: Margin, record: Pick<RunRecord, 'evaluation'>): number {
  const metric = compared(record) ?? fail('DATA_MISSING', 'a search needs evaluation data', {}, 'set evaluation.data or pass --evaluation-data');
  const limit = marginOf(text, metric, metric.float ?? 0);
  if (typeof limit === 'number') return limit;
  if (metric.unit === 'correlation' && typeof text === 'string') return Number(/[\d.]+/.exec(text)?.[0]) / 100;
  return fail('USAGE', limit, {}, '--max-accuracy-drop takes 0.5% for metrics in %, "1% relative", or a number in the unit of the metric');
}

async function confirm(o: AutoOptions, search: Search, share: number, staging: string, spent: () => number, stage: Stage): Promise<AutoResult> {
  const order = search.ranked();
  const closest = search.closest() ?? fail('QUANTIZE_VERIFY', 'no recipe ran on the search part', {}, 'look at the recipe alone: quantize --recipe');
  const limit = search.limit!; // a trial ran, so there is one
  const looks: (SearchFacts['heldOut'][number] & { readonly folder: string; readonly record: RunRecord; readonly label: string; readonly made: ResolvedRecipe })[] = [];
  const queue = order.length ? order : [closest];
  let current: Tried | undefined = queue[0];
  while (current && looks.length < LOOKS) {
    const tried: Tried = current;
    const folder = path.join(staging, `held-out-${looks.length}`);
    const made = await finalRecipe(o, tried.candidate, share);
    const facts = await stage('held out', async () => {
      let found: SearchFacts | undefined;
      let look: SearchFacts['heldOut'][number] | undefined;
      const { record } = await runRecipe({
        recipe: made, outDir: folder, ...(o.signal ? { signal: o.signal } : {}), ...(o.render ? { render: o.render } : {}),
        onEvent: (e) => { if (e.type === 'progress' || (e.type === 'diagnostic' && e.diagnostic.severity !== 'note')) o.onEvent?.(e); },
        complete: (own) => {
          look = lookAt(own, tried.label, limit, looks.length + 1, o.proven === true);
          found = factsOf(o, search, own, tried, limit, [...looks, look], spent());
          return { ...own, search: found };
        },
      });
      return [{ record, look: look!, found: found! }, look!.text]; // complete() ran before the record was given
    });
    looks.push({ ...facts.look, folder, record: facts.record, made });
    if (facts.look.met) {
      publishRun(folder, o.outDir, facts.record, made, o);
      return { record: facts.record, outDir: o.outDir, search: facts.found };
    }
    // The next is one that moved the outputs less: the objective gives way to the limit.
    const missed: Tried = tried;
    current = queue.filter((t) => (t.loss ?? Infinity) < (missed.loss ?? Infinity) && !looks.some((l) => l.label === t.label))[0];
  }
  const best = [...looks].sort((a, b) => a.drop - b.drop)[0]!; // at least one look
  const folder = path.join(o.outDir, 'best-found');
  rmSync(stagingDir(folder), { recursive: true, force: true }); // makes the folder, and tells where it cannot
  publishRun(best.folder, folder, best.record, await finalRecipe({ ...o, outDir: folder }, search.trials.find((t) => t.label === best.label && t.round > 1)!.candidate, share), o); // it was looked at
  return { record: best.record, outDir: folder, search: best.record.search! }; // complete() added it
}

/** The recipe of a candidate as a file in the output folder gives it: parsed from the text that is written. */
async function finalRecipe(o: AutoOptions, c: Candidate, share: number): Promise<ResolvedRecipe> {
  const { base } = o;
  const name = `${base.recipe.name ?? base.name} auto`;
  const made = await derive(base, { adjust: c.adjust, quantize: c.quantize, evaluation: { ...base.recipe.evaluation, searchShare: share } }, { baseDir: o.outDir, name });
  const moved = await derive(made, {}, { baseDir: o.outDir });
  return resolveRecipe(parse(moved.yaml) as RecipeInput, { baseDir: o.outDir, name }); // the schema checks it
}

function publishRun(from: string, to: string, record: RunRecord, made: ResolvedRecipe, o: AutoOptions): void {
  const lines = made.yaml.split('\n').slice(1).join('\n');
  writeFileAtomic(path.join(from, 'recipe.yaml'), `# Found by quantize auto; makes the model beside it again, byte for byte: quantize --recipe recipe.yaml\n${lines}`);
  const texts = Object.keys(o.render?.(record) ?? {});
  publish(from, to, [...record.files.map((f) => f.path).filter((f) => f !== 'model.onnx'), 'model.onnx', 'recipe.yaml', ...texts, 'run.json']);
}

/** The verdict on the held-out part; with each look the confidence of the intervals is raised, so that all together err as one would. */
function lookAt(record: RunRecord, label: string, limit: number, looks: number, proven: boolean): SearchFacts['heldOut'][number] {
  const metric = compared(record)!; // trials had one
  const drop = (metric.higherIsBetter ? 1 : -1) * ((metric.float ?? NaN) - metric.quantized);
  const judged = record.evaluation?.metrics.length ? judgeRun(record, { confidence: 1 - 0.05 / looks, accuracyDrop: { max: metric.unit === '%' ? `${limit} points` : limit } }).rules[0] : undefined;
  const verdict = judged?.verdict ?? (drop <= limit ? 'undecided' : 'fail');
  const met = drop <= limit && (!proven || verdict === 'pass');
  const text = judged?.text ?? `${metric.name} dropped by ${drop.toPrecision(3)}`;
  return { label, drop, ...(judged?.interval ? { interval: judged.interval } : {}), verdict, met, text };
}

function factsOf(o: AutoOptions, search: Search, record: RunRecord, chosen: Tried, limit: number, heldOut: SearchFacts['heldOut'], ms: number): SearchFacts {
  const metric = compared(record)!; // trials had one
  const last = heldOut.at(-1)!; // at least the one that is asked about
  const floatMs = record.latency?.floatMs.p50;
  const full = Math.max(...search.trials.map((t) => t.samples));
  return {
    objective: o.objective, metric: metric.name, unit: metric.unit, limit, limitText: String(o.maxAccuracyDrop), timeBudgetMs: o.timeBudgetMs, ms,
    searchSamples: full, heldOutSamples: record.evaluation?.samples ?? 0, ...(floatMs === undefined ? {} : { floatLatencyMs: floatMs }),
    trials: search.trials.map(({ candidate: _c, record: _r, perTrialMs: _p, next, ...t }) => ({ ...t, next: t.label === chosen.label && t.round === chosen.round ? 'chosen, and looked at on the held-out part' : next })),
    heldOut: heldOut.map(({ label, drop, interval, verdict, met, text }) => ({ label, drop, ...(interval ? { interval } : {}), verdict, met, text })),
    chosen: chosen.label, outcome: last.met ? 'met' : 'missed',
    sentence: last.met
      ? `${chosen.label} keeps the limit on the held-out samples${last.verdict === 'pass' ? ', and the whole interval does' : '; more samples would be needed to prove it'}: ${last.text}. Found in ${secondsText(ms)}.`
      : `No recipe is known to keep the limit on the held-out samples; ${chosen.label} is the best that was found: ${last.text}.`,
    notes: search.notes,
  };
}
