/** What a search has tried so far, and how it stands to the limit. */
import { secondsText } from '../base/text.js';
import type { StageName } from '../pipeline/stages.js';
import type { Objective } from './candidates.js';
import { bestFirst, FLOAT_SPEED } from './order.js';
import type { Tried } from './trials.js';

export class Ledger {
  readonly trials: Tried[] = [];
  readonly notes: string[] = [];
  /** In the unit of the metric; known once a recipe ran. */
  limit: number | undefined;
  readonly #objective: Objective;
  constructor(objective: Objective) {
    this.#objective = objective;
  }

  /** {@link keeping} without those that are slower than float, where latency is the objective. */
  ranked(): Tried[] {
    return this.keeping().filter((t) => this.#objective !== 'latency' || !((t.latencyRatio ?? 0) > FLOAT_SPEED));
  }

  /** Trials that keep the limit, best first. */
  keeping(): Tried[] {
    return bestFirst(
      this.#judged().filter((t) => this.within(t)),
      this.#objective,
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

  /** Whether a trial keeps the limit. */
  within(t: Tried): boolean {
    return t.outcome === 'ok' && this.limit !== undefined && t.drop !== undefined && t.drop <= this.limit;
  }

  /** What is said of a trial that nothing else is said of. */
  verdict(t: Tried): string {
    if (t.outcome === 'failed') return 'left out: it failed';
    const ms = t.record?.stages.find((s) => s.name === ('weights' satisfies StageName))?.ms;
    return (
      `${this.within(t) ? 'keeps' : 'misses'} the limit on the search part` +
      (ms === undefined ? '' : `; choosing codes took ${secondsText(ms)}`)
    );
  }

  /** Takes away a trial that only measured something. */
  forget(t: Tried): void {
    this.trials.splice(this.trials.indexOf(t), 1);
  }
}
