/** Rounds of a search: recipes run together on samples, as far as the time allows. */
import { item } from '../base/lists.js';
import { fail } from '../base/errors.js';
import { groupBy } from '../base/group.js';
import { secondsText } from '../base/text.js';
import { runsOn, type Candidate } from './candidates.js';
import type { Errand } from './forecast.js';
import type { Ledger } from './ledger.js';
import { formatsOf, limitOf } from './limit.js';
import { byLoss } from './order.js';
import { tryAll, type Allowance, type Tried } from './trials.js';
import type { AutoOptions, SearchSetting } from './types.js';

const PROXY_SAMPLES = 256;
/** Fewer tell recipes apart badly. */
const LEAST_SAMPLES = 48;
/** Samples of the probe: it only tells what things cost. */
const PROBE_SAMPLES = 8;
/** Candidates of the first round may take this share of the time; a third is aimed at, by fewer samples. */
const FIRST_ROUND = 0.45;
const FIRST_ROUND_AIM = 0.3;
const LATENCY_RUNS = 30;

export interface Measure {
  /** Of the search part; all where undefined. */ readonly samples: number | undefined;
  readonly latency: boolean;
  readonly sensitivity?: number;
  readonly profile?: number;
}
/** On the whole search part, with latency. */
export const WHOLE: Measure = { samples: undefined, latency: true };

export class Rounds {
  readonly #o: AutoOptions;
  readonly #s: SearchSetting;
  readonly #ledger: Ledger;
  #round = 0;
  /** Whether a recipe ran. */
  #tried = false;
  /** What the target runs beside float. */
  readonly formats: readonly string[];

  constructor(o: AutoOptions, setting: SearchSetting, ledger: Ledger) {
    this.#o = o;
    this.#s = setting;
    this.#ledger = ledger;
    this.formats = formatsOf(o.base);
  }

  /**
   * Runs the first candidate that can, on few samples: what it takes tells what all the others will. Finds the limit
   * too.
   */
  async probe(candidates: readonly Candidate[]): Promise<void> {
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
          this.#ledger.limit = limitOf(this.#o.maxAccuracyDrop, t.record);
          return [undefined, `${c.label} on ${t.samples} samples tells what others will take`];
        }
        if (t?.outcome === 'skipped') return this.#tooShort();
      }
      return [undefined, 'no recipe ran'];
    });
  }

  /** Fewer than usual where the first round would take too much of the time. */
  proxySamples(candidates: readonly Candidate[]): number {
    const { forecast, samples, share } = this.#s;
    const all = Math.min(PROXY_SAMPLES, Math.ceil(share * samples));
    const groups = [
      ...groupBy(candidates, (c) => JSON.stringify([c.compress, c.adjust, c.calibration, c.optimize])).values(),
    ];
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

  /** A round. What there is no time for is told of in its trial. */
  async try(proposed: readonly Candidate[], how: Measure, patience = 1): Promise<Tried[]> {
    const candidates = proposed.filter((c) => runsOn({ formats: this.formats }, c));
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
      this.#ledger.trials.push(...tried);
      // Of the most samples: a relative limit is a share of what float scores on them.
      const most = tried.filter((t) => t.record).sort((a, b) => b.samples - a.samples)[0]?.record;
      if (most && !how.sensitivity && !how.profile) this.#ledger.limit = limitOf(this.#o.maxAccuracyDrop, most);
      const skipped = tried.filter((t) => t.outcome === 'skipped');
      if (skipped.length)
        this.#ledger.notes.push(
          `round ${round}: the time budget left no room for ${skipped.map((t) => t.label).join('; ')}`,
        );
      const ok = byLoss(tried);
      if (!ok.length && round === 1) this.#nothing(tried);
      return [
        tried,
        `${tried.length - skipped.length} ` +
          `recipe${tried.length - skipped.length === 1 ? '' : 's'}${
            how.samples === undefined ? '' : how.samples > 1 ? `, at most ${how.samples} samples each` : ''
          } ` +
          '· closest to float: ' +
          `${ok[0]?.label ?? 'none'}${skipped.length ? ` · ${skipped.length} left out for lack of time` : ''}`,
      ];
    });
  }

  /**
   * ms that are kept for the look at the held-out part; where that would be most of the time, without what only
   * explains it.
   */
  #reserve(first: Candidate): number {
    const { forecast, samples } = this.#s;
    const { latency } = this.#o.base.recipe.evaluation;
    const next = (this.#ledger.ranked()[0] ?? this.#ledger.closest())?.candidate ?? first;
    const whole = forecast.look(next, samples, latency === false ? 0 : latency.runs);
    return whole < forecast.totalMs / 2 ? whole : forecast.bare(next, samples);
  }

  /** How many of a group fit into the time that is left when the held-out part has had its own. */
  #allow(errand: Errand, patience: number): Allowance {
    const { forecast } = this.#s;
    const { candidates } = errand;
    const of = (n: number): number => forecast.of({ ...errand, candidates: candidates.slice(0, n) });
    const left = forecast.left() - this.#reserve(item(candidates, 0)); // groups are not empty
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
    return this.#tooShort(tried[0]);
  }

  #tooShort(first?: Tried): never {
    const why = first ? `${first.label} was ${first.next}` : 'it ended before a single recipe was tried';
    return fail(
      'USAGE',
      `--time-budget ${secondsText(this.#s.forecast.totalMs)} is too short: ${why}`,
      {},
      'give more time, such as --time-budget 10m, or fewer samples with --set calibration.samples=64',
    );
  }
}
