/** The course of `quantize auto`: what is tried next, and why. */
import type { Compression } from '../compress/types.js';
import { filterOf } from '../pipeline/mixed.js';
import { derive } from '../recipe/load.js';
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
  type Work,
} from './candidates.js';
import { Ledger } from './ledger.js';
import { byLoss, isLighter, SAME, sameSpeed } from './order.js';
import {
  bitsByLayer,
  exclusions,
  learned,
  mixtures,
  refinements,
  withoutLosses,
  worthLearning,
} from './refinements.js';
import { Rounds, WHOLE } from './rounds.js';
import { Shares, smaller } from './smaller.js';
import type { Tried } from './trials.js';
import type { AutoOptions, SearchSetting } from './types.js';

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

/** The rounds of a search on the search part of the samples. */
export class Search {
  readonly ledger: Ledger;
  readonly #o: AutoOptions;
  readonly #rounds: Rounds;

  constructor(o: AutoOptions, setting: SearchSetting) {
    this.#o = o;
    this.ledger = new Ledger(o.objective);
    this.#rounds = new Rounds(o, setting, this.ledger);
  }

  async explore(work: Work): Promise<void> {
    const { objective } = this.#o;
    const candidates = await this.#first(work);
    await this.#rounds.probe(candidates);
    const first = await this.#rounds.try(candidates, {
      samples: this.#rounds.proxySamples(candidates),
      latency: false,
    });
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
    const full = await this.#rounds.try(
      survivors.map((t) => t.candidate),
      WHOLE,
    );
    for (const t of full) t.next ||= this.ledger.verdict(t);
    const best = FAMILIES.flatMap((f) => byLoss(full.filter((t) => t.candidate.family === f)).slice(0, 1));
    const value = (t: Tried): number => (objective === 'size' ? t.sizeRatio : t.latencyRatio) ?? Infinity;
    const leanest = objective === 'latency' ? await this.#leaveLosses(best) : best;
    for (const t of leanest.sort((a, b) => value(a) - value(b))) await this.#improve(t, work);
    if (this.ledger.ranked().length) return;
    for (const t of await this.#rounds.try(
      safest(this.#o.base.recipe).filter((c) => !this.ledger.trials.some((t) => t.round > 1 && t.label === c.label)),
      WHOLE,
    ))
      t.next ||= this.ledger.verdict(t);
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
    const list: Candidate[] = tryBase && runsOn({ formats: this.#rounds.formats }, given) ? [given] : [];
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
    const [measured] = await this.#rounds.try(
      [whole.candidate],
      { samples: 1, latency: false, profile: PROFILED },
      PATIENCE,
    );
    if (measured?.outcome === 'ok') this.ledger.forget(measured); // it was only measured
    if (measured?.outcome === 'skipped') measured.next = `times of its layers: ${measured.next}`;
    const profile = measured?.record?.runtime?.profile;
    if (!profile) return [...best];
    const tried = await this.#whole(withoutLosses(whole.candidate, profile));
    const faster = tried
      .filter(
        // it has one, as found
        (t) => t.outcome === 'ok' && (t.latencyRatio ?? Infinity) < whole.latencyRatio! && !sameSpeed(t, whole),
      )
      .sort((a, b) => a.latencyRatio! - b.latencyRatio!)[0]; // as filtered
    if (faster)
      whole.next += `; without its slow layers it takes ${faster.latencyRatio!.toFixed(2)} × the time of float`;
    return best.map((t, i) => (i === at ? (faster ?? t) : t));
  }

  /** Refines the best of a family where that can win: it misses the limit, or could be nearer to float, or smaller. */
  async #improve(best: Tried, work: Work): Promise<void> {
    const { objective } = this.#o;
    const [winner] = this.ledger.ranked();
    const within = this.ledger.within(best);
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
    if (
      within &&
      (objective === 'latency' || best.candidate.family === 'stored') &&
      best.drop! <= this.ledger.limit! / 2
    ) {
      best.next += ', and is far from it';
      return;
    } // within() checked both
    best.next = `${within ? 'keeps' : 'misses'} the limit on the search part, closest to float of its family: refined`;
    const refined: Tried[] = [];
    // One after the other: each takes long, and the first that keeps the limit is enough.
    const bits = weightBits(best.candidate.quantize);
    const isNarrower = (c: Candidate): boolean => weightBits(c.quantize) < bits;
    for (const c of refinements(best.candidate, objective, work)) {
      if (
        objective === 'size' &&
        isNarrower(c) &&
        refined.some((t) => isNarrower(t.candidate) && !isLighter(t, best))
      ) {
        this.ledger.notes.push(`${c.label} was not tried: fewer bits make no smaller file for this target`);
        continue;
      }
      const [t] = await this.#whole([c]);
      if (!t) continue;
      refined.push(t);
      if (this.ledger.within(t)) break;
    }
    // fewer bits that weigh as much have nothing to gain by learning
    const gaining =
      objective === 'size' ? refined.filter((t) => !isNarrower(t.candidate) || isLighter(t, best)) : refined;
    refined.push(...(await this.#learn(gaining)));
    const leading = byLoss([
      best,
      ...refined.filter((t) => weightBits(t.candidate.quantize) === weightBits(best.candidate.quantize)),
    ])[0]!; // best is one
    if (!this.ledger.within(leading) && best.candidate.family !== 'stored') await this.#exclude(leading);
    const narrow = refined.filter(
      (t) =>
        t.outcome === 'ok' &&
        t.candidate.family === 'static' &&
        weightBits(t.candidate.quantize) === 4 &&
        weightBits(best.candidate.quantize) > 4,
    );
    if (
      narrow.length &&
      !refined.some((t) => weightBits(t.candidate.quantize) <= 4 && this.ledger.within(t)) &&
      this.ledger.within(leading)
    ) {
      // what ran has a file
      await this.#whole(mixtures(best.candidate, Math.min(...narrow.map((t) => t.sizeRatio!)), leading.sizeRatio!));
    }
    if (objective === 'size' && best.candidate.family === 'weight-only') await this.#bitsByLayer(leading, refined);
  }

  /** Bits by layer, where 4 bits for all keep the limit and 2 for all products do not: the middle, then to one side. */
  async #bitsByLayer(leading: Tried, refined: readonly Tried[]): Promise<void> {
    const { sizeRatio } = leading;
    const isTwo = (t: Tried): boolean => weightBits(t.candidate.quantize) === 2;
    if (sizeRatio === undefined || weightBits(leading.candidate.quantize) !== 4 || !this.ledger.within(leading)) return;
    if (refined.some((t) => isTwo(t) && this.ledger.within(t))) return;
    const two = sizeRatio * NARROWER; // tables in 2 bits too
    const at = (part: number): Promise<Tried[]> => this.#whole([bitsByLayer(leading.candidate, part, two, sizeRatio)]);
    const [middle] = await at(1 / 2);
    if (middle?.outcome === 'ok') await at(this.ledger.within(middle) ? 1 / 4 : 3 / 4);
  }

  /**
   * Makes the model of the leading recipe smaller first, as far as it keeps the limit: falling shares, and once the
   * limit is missed the middle of the last two.
   */
  async shrink(compression: Compression): Promise<void> {
    const [leading] = this.ledger.ranked();
    if (!leading) {
      this.ledger.notes.push(`${compression.name} was not tried: no recipe keeps the limit without it`);
      return;
    }
    const { base, objective } = this.#o;
    const steps = new Shares();
    for (let share = steps.next(); share !== undefined; share = steps.next()) {
      const c = smaller(leading.candidate, base.recipe, compression, share, objective);
      const [t] = await this.#whole([c]);
      if (!t || t.outcome !== 'ok') break; // there is no time for it, or no such share to be had
      steps.told(this.ledger.within(t));
    }
  }

  /**
   * Tries on the whole search part, in a share of the time that is left; each trial says how it stands to the limit.
   */
  async #whole(candidates: readonly Candidate[]): Promise<Tried[]> {
    const tried = await this.#rounds.try(candidates, WHOLE, PATIENCE);
    for (const t of tried) t.next ||= this.ledger.verdict(t);
    return tried;
  }

  /** Learns the codes of the refinement that misses the limit by little, where the time allows it. */
  async #learn(refined: readonly Tried[]): Promise<Tried[]> {
    const of = worthLearning(refined, (t) => this.ledger.within(t), this.ledger.limit ?? 0);
    if (!of) return [];
    of.next += ', by little: its codes are learned';
    return this.#whole([learned(of.candidate)]);
  }

  async #exclude(leading: Tried): Promise<void> {
    const { base } = this.#o;
    const [measured] = await this.#rounds.try(
      [leading.candidate],
      { samples: 1, latency: false, sensitivity: Math.min(64, base.recipe.calibration.samples) },
      PATIENCE,
    );
    if (measured?.outcome === 'ok') this.ledger.forget(measured); // it was only measured
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
      const tried = await this.#whole(
        exclusions(leading.candidate, list).filter(
          (c) => !this.ledger.trials.some((t) => JSON.stringify(t.candidate.quantize) === JSON.stringify(c.quantize)),
        ),
      );
      if (tried.some((t) => this.ledger.within(t))) break;
    }
  }
}
