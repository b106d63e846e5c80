/** The rounds of `quantize auto`: what is tried next, and why. */
import { fail } from '../base/errors.js';
import { groupBy } from '../base/group.js';
import { secondsText } from '../base/text.js';
import { marginOf, type Margin } from '../gate/limits.js';
import { derive, type ResolvedRecipe } from '../recipe/load.js';
import type { RunRecord, SearchFacts } from '../record/index.js';
import {
  FAMILIES,
  familyOf,
  firstRound,
  runsOn,
  safest,
  sectionsOf,
  weightBits,
  type Candidate,
  type Family,
  type Objective,
  type Work,
} from './candidates.js';
import { exclusions, mixtures, refinements, withoutLosses } from './refinements.js';
import type { Errand, Forecast } from './forecast.js';
import { filterOf } from '../pipeline/mixed.js';
import { bestFirst, byLoss, FLOAT_SPEED, SAME, sameSpeed } from './order.js';
import { comparedMetric } from '../compare/noise.js';
import type { RunListener } from '../pipeline/run.js';
import type { createStages } from '../pipeline/stage-clock.js';
import { tryAll, type Allowance, type Tried } from './trials.js';

export interface AutoOptions extends RunListener {
  /** Gives model, data, metric, target and what must stay float. */
  readonly base: ResolvedRecipe;
  /** Whether how `base` quantizes is a candidate too. Default: true. */
  readonly tryBase?: boolean;
  readonly outDir: string;
  readonly maxAccuracyDrop: Margin;
  readonly objective: Objective;
  readonly timeBudgetMs: number;
  /** Takes only a drop whose whole interval is within the limit. */
  readonly proven?: boolean;
}
export interface AutoResult {
  readonly record: RunRecord;
  readonly outDir: string;
  readonly search: SearchFacts;
}

const PROXY_SAMPLES = 256;
/** Fewer tell recipes apart badly. */
const LEAST_SAMPLES = 48;
/** Samples of the probe: it only tells what things cost. */
const PROBE_SAMPLES = 8;
/** Candidates of the first round may take this share of the time; a third is aimed at, by fewer samples. */
const FIRST_ROUND = 0.45;
const FIRST_ROUND_AIM = 0.3;
const LATENCY_RUNS = 30;
/** How many of a family go on to the whole search part. */
const SURVIVORS: Readonly<Record<Family, number>> = {
  static: 3,
  dynamic: 1,
  'weight-only': 2,
  stored: 3,
  half: 1,
  float: 1,
};
/** Above this share of the time of float, a static model is looked at for layers that lose by integers. */
const LOSSES = 0.8;
/** Profiled runs of such a look. */
const PROFILED = 20;
/**
 * A refinement that is not known to keep the limit may take this share of what is left, so that others get their turn.
 */
const PATIENCE = 0.5;
/** Narrower weights make a file at best so much smaller. */
const NARROWER = 0.5;

export type Stage = ReturnType<typeof createStages>['stage'];

interface Measure {
  /** Of the search part; all where undefined. */ readonly samples: number | undefined;
  readonly latency: boolean;
  readonly sensitivity?: number;
  readonly profile?: number;
}
const WHOLE: Measure = { samples: undefined, latency: true };

export interface SearchSetting {
  readonly share: number;
  /** Samples of search and held-out part together. */
  readonly samples: number;
  readonly folder: string;
  readonly stage: Stage;
  readonly forecast: Forecast;
}

/** The rounds of a search on the search part of the samples. */
export class Search {
  readonly trials: Tried[] = [];
  readonly notes: string[] = [];
  limit: number | undefined;
  readonly #o: AutoOptions;
  readonly #s: SearchSetting;
  #round = 0;
  /** Whether a recipe ran. */
  #tried = false;
  /** What the target runs beside float. */
  readonly #formats: readonly string[];

  constructor(o: AutoOptions, setting: SearchSetting) {
    this.#o = o;
    this.#s = setting;
    this.#formats = formatsOf(o.base);
  }

  async explore(work: Work): Promise<void> {
    const { objective } = this.#o;
    const candidates = await this.#first(work);
    await this.#probe(candidates);
    const first = await this.#try(candidates, { samples: this.#proxySamples(candidates), latency: false });
    const survivors = FAMILIES.flatMap((f) =>
      byLoss(first.filter((t) => t.candidate.family === f)).slice(0, SURVIVORS[f]),
    );
    for (const t of first)
      t.next ||=
        t.outcome === 'failed'
          ? 'left out: it failed'
          : survivors.includes(t)
            ? 'one of the closest to float in its family: measured on the whole search part'
            : 'others of its family are closer to float';
    const full = await this.#try(
      survivors.map((t) => t.candidate),
      WHOLE,
    );
    for (const t of full) t.next ||= this.#verdict(t);
    const best = FAMILIES.flatMap((f) => byLoss(full.filter((t) => t.candidate.family === f)).slice(0, 1));
    const value = (t: Tried): number => (objective === 'size' ? t.sizeRatio : t.latencyRatio) ?? Infinity;
    const leanest = objective === 'latency' ? await this.#leaveLosses(best) : best;
    for (const t of leanest.sort((a, b) => value(a) - value(b))) await this.#improve(t, work);
    if (this.ranked().length) return;
    for (const t of await this.#try(
      safest(this.#o.base.recipe).filter((c) => !this.trials.some((t) => t.round > 1 && t.label === c.label)),
      WHOLE,
    ))
      t.next ||= this.#verdict(t);
  }

  /**
   * Runs the first candidate that can, on few samples: what it takes tells what all the others will. Finds the limit
   * too.
   */
  async #probe(candidates: readonly Candidate[]): Promise<void> {
    const { base, signal } = this.#o;
    const { share, folder, stage, forecast } = this.#s;
    await stage('probe', async () => {
      for (const c of candidates) {
        const list = [c];
        const [t] = await tryAll(list, {
          base,
          round: 0,
          share,
          samples: PROBE_SAMPLES,
          latencyRuns: 0,
          sensitivity: 0,
          profile: 0,
          folder,
          onEvent: () => undefined,
          signal,
          allow: () => ({ take: forecast.left() > 0 ? 1 : 0, ms: forecast.left(), why: '' }),
          ran: (ran, record) =>
            forecast.learn(
              { candidates: ran, samples: record.evaluation?.samples ?? 0, latency: false, sensitivity: 0 },
              record,
            ),
        });
        if (t?.record) {
          this.limit = limitOf(this.#o.maxAccuracyDrop, t.record);
          return [undefined, `${c.label} on ${t.samples} samples tells what others will take`];
        }
        if (t?.outcome === 'skipped') return this.#tooShort();
      }
      return [undefined, 'no recipe ran'];
    });
  }

  /** Fewer than usual where the first round would take too much of the time. */
  #proxySamples(candidates: readonly Candidate[]): number {
    const { forecast, samples, share } = this.#s;
    const all = Math.min(PROXY_SAMPLES, Math.ceil(share * samples));
    const groups = [...groupBy(candidates, (c) => JSON.stringify([c.adjust, c.calibration, c.optimize])).values()];
    const ms = (n: number): number =>
      groups.reduce(
        (sum, list) => sum + forecast.of({ candidates: list, samples: n, latency: false, sensitivity: 0 }),
        0,
      );
    const [fixed, each] = [ms(0), (ms(all) - ms(0)) / all];
    return Math.max(
      Math.min(LEAST_SAMPLES, all),
      Math.min(all, Math.floor((FIRST_ROUND_AIM * forecast.totalMs - fixed) / each)),
    );
  }

  /** The recipe as it was given, and every candidate of the first round that is not the same. */
  async #first(work: Work): Promise<Candidate[]> {
    const { base, objective, tryBase = true } = this.#o;
    const given: Candidate = {
      label: 'as given',
      why: 'the recipe that was given',
      family: familyOf(base.recipe.quantize.format),
      adjust: base.recipe.adjust,
      quantize: base.recipe.quantize,
    };
    const list: Candidate[] = tryBase && runsOn({ formats: this.#formats }, given) ? [given] : [];
    for (const c of firstRound(base.recipe, work, objective)) {
      const { recipe } = await derive(base, sectionsOf(c, base.recipe), { baseDir: base.baseDir });
      if (
        !tryBase ||
        JSON.stringify([recipe.adjust, recipe.quantize, recipe.calibration]) !==
          JSON.stringify([base.recipe.adjust, base.recipe.quantize, base.recipe.calibration])
      )
        list.push(c);
    }
    return list;
  }

  /** The best static model, or it without the layers that lose by integers where that is faster. */
  async #leaveLosses(best: readonly Tried[]): Promise<Tried[]> {
    const at = best.findIndex((t) => t.candidate.family === 'static' && (t.latencyRatio ?? 0) > LOSSES);
    const whole = best[at];
    if (!whole) return [...best];
    const [measured] = await this.#try([whole.candidate], { samples: 1, latency: false, profile: PROFILED }, PATIENCE);
    if (measured?.outcome === 'ok') this.trials.splice(this.trials.indexOf(measured), 1); // it was only measured
    if (measured?.outcome === 'skipped') measured.next = `times of its layers: ${measured.next}`;
    const profile = measured?.record?.runtime?.profile;
    if (!profile) return [...best];
    const tried = await this.#try(withoutLosses(whole.candidate, profile), WHOLE, PATIENCE);
    for (const t of tried) t.next ||= this.#verdict(t);
    const faster = tried
      .filter(
        (t) => t.outcome === 'ok' && (t.latencyRatio ?? Infinity) < whole.latencyRatio! && !sameSpeed(t, whole), // it has one, as found
      )
      .sort((a, b) => a.latencyRatio! - b.latencyRatio!)[0]; // as filtered
    if (faster)
      // as above
      whole.next += `; without its slow layers it takes ${faster.latencyRatio!.toFixed(2)} × the time of float`;
    return best.map((t, i) => (i === at ? (faster ?? t) : t));
  }

  /** Refines the best of a family where that can win: it misses the limit, or could be nearer to float, or smaller. */
  async #improve(best: Tried, work: Work): Promise<void> {
    const { objective } = this.#o;
    const [winner] = this.ranked();
    const within = this.#within(best);
    const other = winner !== undefined && winner !== best;
    if (
      other &&
      objective === 'latency' &&
      !((best.latencyRatio ?? 0) * SAME.latency < (winner.latencyRatio ?? Infinity))
    ) {
      best.next += `; no faster than ${winner.label}, so it is not refined`;
      return;
    }
    if (
      other &&
      objective === 'size' &&
      !(
        (best.sizeRatio ?? 0) * (best.candidate.family === 'stored' ? 1 / SAME.size : NARROWER) <
        (winner.sizeRatio ?? Infinity)
      )
    ) {
      best.next += `; cannot become smaller than ${winner.label}`;
      return;
    }
    // Corrections cost nothing at run time, but gain no speed either: where the limit is far they are left.
    if (within && (objective === 'latency' || best.candidate.family === 'stored') && best.drop! <= this.limit! / 2) {
      best.next += ', and is far from it';
      return;
    } // within() checked both
    best.next = `${within ? 'keeps' : 'misses'} the limit on the search part, closest to float of its family: refined`;
    const refined: Tried[] = [];
    // One after the other: each takes long, and the first that keeps the limit is enough.
    for (const c of refinements(best.candidate, objective, work)) {
      const [t] = await this.#try([c], WHOLE, PATIENCE);
      if (!t) continue;
      t.next ||= this.#verdict(t);
      refined.push(t);
      if (this.#within(t)) break;
    }
    const leading = byLoss([
      best,
      ...refined.filter((t) => weightBits(t.candidate.quantize) === weightBits(best.candidate.quantize)),
    ])[0]!; // best is one
    if (!this.#within(leading) && best.candidate.family !== 'stored') await this.#exclude(leading);
    const narrow = refined.filter(
      (t) =>
        t.outcome === 'ok' &&
        t.candidate.family === 'static' &&
        weightBits(t.candidate.quantize) === 4 &&
        weightBits(best.candidate.quantize) > 4,
    );
    if (
      narrow.length &&
      !refined.some((t) => weightBits(t.candidate.quantize) <= 4 && this.#within(t)) &&
      this.#within(leading)
    ) {
      const mixed = await this.#try(
        mixtures(best.candidate, Math.min(...narrow.map((t) => t.sizeRatio!)), leading.sizeRatio!),
        WHOLE,
        PATIENCE,
      ); // what ran has a file
      for (const t of mixed) t.next ||= this.#verdict(t);
    }
  }

  /** {@link keeping} without those that are slower than float, where latency is the objective. */
  ranked(): Tried[] {
    return this.keeping().filter((t) => this.#o.objective !== 'latency' || !((t.latencyRatio ?? 0) > FLOAT_SPEED));
  }

  /** Trials that keep the limit, best first. */
  keeping(): Tried[] {
    return bestFirst(
      this.#judged().filter((t) => this.#within(t)),
      this.#o.objective,
    );
  }

  /** The one that lost least. */
  closest(): Tried | undefined {
    return [...this.#judged()].sort(
      (a, b) => (a.drop ?? Infinity) - (b.drop ?? Infinity) || (a.loss ?? Infinity) - (b.loss ?? Infinity),
    )[0];
  }

  /** Those on the whole search part; where the time allowed none, those of the first round. */
  #judged(): Tried[] {
    const ok = this.trials.filter((t) => t.outcome === 'ok');
    const whole = ok.filter((t) => t.round > 1);
    return whole.length ? whole : ok;
  }

  async #exclude(leading: Tried): Promise<void> {
    const { base } = this.#o;
    const [measured] = await this.#try(
      [leading.candidate],
      { samples: 1, latency: false, sensitivity: Math.min(64, base.recipe.calibration.samples) },
      PATIENCE,
    );
    if (measured?.outcome === 'ok') this.trials.splice(this.trials.indexOf(measured), 1); // it was only measured
    if (measured?.outcome === 'skipped') measured.next = `sensitivity of its layers: ${measured.next}`;
    const layers = (measured?.record?.sensitivity?.layers ?? []).filter(
      (l) => leading.candidate.family === 'weight-only' || l.op !== 'Gather',
    ); // tables read no inputs that could be float
    // Most accuracy for each multiply-accumulate that becomes float; layers without a count come by their score.
    const order = [...layers]
      .sort((a, b) => b.score / Math.max(1, b.macs) - a.score / Math.max(1, a.macs))
      .map((l) => filterOf(l.node));
    const top = [...layers].sort((a, b) => b.score - a.score).map((l) => filterOf(l.node));
    if (layers.length) leading.next = 'misses the limit: its most sensitive layers are spared';
    for (const list of [top, order]) {
      if (!list.length) continue;
      const tried = await this.#try(
        exclusions(leading.candidate, list).filter(
          (c) => !this.trials.some((t) => JSON.stringify(t.candidate.quantize) === JSON.stringify(c.quantize)),
        ),
        WHOLE,
        PATIENCE,
      );
      for (const t of tried) t.next ||= this.#verdict(t);
      if (tried.some((t) => this.#within(t))) break;
    }
  }

  #within(t: Tried): boolean {
    return t.outcome === 'ok' && this.limit !== undefined && t.drop !== undefined && t.drop <= this.limit;
  }
  #verdict(t: Tried): string {
    return t.outcome === 'failed'
      ? 'left out: it failed'
      : this.#within(t)
        ? 'keeps the limit on the search part'
        : 'misses the limit on the search part';
  }

  /**
   * ms that are kept for the look at the held-out part; where that would be most of the time, without what only
   * explains it.
   */
  #reserve(first: Candidate): number {
    const { forecast, samples } = this.#s;
    const { latency } = this.#o.base.recipe.evaluation;
    const next = (this.ranked()[0] ?? this.closest())?.candidate ?? first;
    const whole = forecast.look(next, samples, latency === false ? 0 : latency.runs);
    return whole < forecast.totalMs / 2 ? whole : forecast.bare(next, samples);
  }

  /** How many of a group fit into the time that is left when the held-out part has had its own. */
  #allow(errand: Errand, patience: number): Allowance {
    const { forecast } = this.#s;
    const { candidates } = errand;
    const of = (n: number): number => forecast.of({ ...errand, candidates: candidates.slice(0, n) });
    const left = forecast.left() - this.#reserve(candidates[0]!); // groups are not empty
    const ms =
      patience * (this.#round === 1 ? Math.min(left, FIRST_ROUND * forecast.totalMs - forecast.spent()) : left);
    if (!forecast.knows) return { take: left > 0 ? candidates.length : 0, ms: left, why: 'left out: the time was up' };
    let take = candidates.length;
    while (take > 0 && of(take) > ms) take--;
    // One recipe must be tried, whatever its share.
    if (!take && !this.#tried && of(1) <= left) return { take: 1, ms: left, why: 'left out: the time is short' };
    return {
      take,
      ms,
      why:
        `left out: ${take ? 'with those before, it takes' : 'it takes'} about ${secondsText(of(take + 1))}, and ` +
        `the search has ${secondsText(Math.max(0, ms))} for ${take ? 'them' : 'it'}`,
    };
  }

  /** A round. What there is no time for is told of in its trial. */
  async #try(proposed: readonly Candidate[], how: Measure, patience = 1): Promise<Tried[]> {
    const candidates = proposed.filter((c) => runsOn({ formats: this.#formats }, c));
    if (!candidates.length) return [];
    const round = ++this.#round;
    const { share, samples: all, folder, stage, forecast } = this.#s;
    const samples = Math.min(how.samples ?? Infinity, Math.ceil(share * all));
    const errand = (list: readonly Candidate[]): Errand => ({
      candidates: list,
      samples,
      latency: how.latency,
      sensitivity: how.sensitivity ?? 0,
    });
    return stage('try', async () => {
      const { base, onEvent = () => undefined, signal } = this.#o;
      const tried = await tryAll(candidates, {
        base,
        round,
        share,
        samples: how.samples,
        latencyRuns: how.latency ? LATENCY_RUNS : 0,
        sensitivity: how.sensitivity ?? 0,
        profile: how.profile ?? 0,
        folder,
        onEvent,
        signal,
        allow: (list) => this.#allow(errand(list), patience),
        ran: (list, record) => {
          this.#tried = true;
          forecast.learn(errand(list), record);
        },
        stopped: (list, ms) => {
          forecast.stopped(errand(list), ms);
        },
      });
      this.trials.push(...tried);
      // Of the most samples: a relative limit is a share of what float scores on them.
      const most = tried.filter((t) => t.record).sort((a, b) => b.samples - a.samples)[0]?.record;
      if (most && !how.sensitivity && !how.profile) this.limit = limitOf(this.#o.maxAccuracyDrop, most);
      const skipped = tried.filter((t) => t.outcome === 'skipped');
      if (skipped.length)
        this.notes.push(`round ${round}: the time budget left no room for ${skipped.map((t) => t.label).join('; ')}`);
      const ok = byLoss(tried);
      if (!ok.length && round === 1) this.#nothing(tried);
      return [
        tried,
        `${tried.length - skipped.length} ` +
          `recipe${tried.length - skipped.length === 1 ? '' : 's'}${how.samples === undefined ? '' : how.samples > 1 ? `, at most ${how.samples} samples each` : ''} ` +
          '· closest to float: ' +
          `${ok[0]?.label ?? 'none'}${skipped.length ? ` · ${skipped.length} left out for lack of time` : ''}`,
      ];
    });
  }

  #nothing(tried: readonly Tried[]): never {
    const failed = tried.find((t) => t.error !== undefined);
    if (failed)
      fail(
        'QUANTIZE_NOTHING',
        `none of the ${tried.length} recipes ran: ${failed.error ?? ''}`,
        {},
        'see quantize.include and quantize.exclude of the recipe',
      );
    if (!tried.length)
      fail(
        'QUANTIZE_NOTHING',
        'there is no recipe to try: the model has no convolution or matrix product that could be quantized',
        {},
        'see the model with `quantize inspect`, or try --objective size',
      );
    return this.#tooShort();
  }

  #tooShort(): never {
    return fail(
      'USAGE',
      `--time-budget ${secondsText(this.#s.forecast.totalMs)} is too short: it ended before a single recipe was tried`,
      {},
      'give more time, such as --time-budget 10m, or fewer samples with --set calibration.samples=64',
    );
  }
}

/** What the target of a recipe runs beside float. */
export function formatsOf({ recipe, plugins }: ResolvedRecipe): readonly string[] {
  return plugins.targets.find((t) => t.name === recipe.target)!.formats; // the schema allows names of the list only
}

/** The limit in the unit of the metric: points of a correlation are hundredths, as it is usually told × 100. */
export function limitOf(text: Margin, record: Pick<RunRecord, 'evaluation'>): number {
  const metric =
    comparedMetric(record) ??
    fail('DATA_MISSING', 'a search needs evaluation data', {}, 'set evaluation.data or pass --evaluation-data');
  return limitFor(text, metric, metric.float ?? 0);
}

/** As {@link limitOf}, of a metric that scores `before` for float. Throws USAGE where the unit is not the metric's. */
export function limitFor(
  text: Margin,
  metric: { readonly name: string; readonly unit: string },
  before: number,
): number {
  const limit = marginOf(text, metric, before);
  if (typeof limit === 'number') return limit;
  if (metric.unit === 'correlation' && typeof text === 'string') return Number(/[\d.]+/.exec(text)?.[0]) / 100;
  return fail(
    'USAGE',
    limit,
    {},
    '--max-accuracy-drop takes 0.5% for metrics in %, "1% relative", or a number in the unit of the metric',
  );
}
