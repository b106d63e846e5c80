/**
 * The clock of a search: what is left of its budget, and how long recipes will take, told from what the stages of
 * earlier ones took. What was never measured is taken for a number of runs of the float model: too little rather than
 * too much, for a trial that takes longer than it may is stopped.
 */
import type { RunRecord } from '../record/index.js';
import type { Candidate } from './candidates.js';
import { isRefined, methodName, STAGES, type Asks, type Work } from '../pipeline/stages.js';

/** What a group of candidates that run together does. */
export interface Errand {
  readonly candidates: readonly Candidate[];
  /** That each model is evaluated on. */
  readonly samples: number;
  readonly latency: boolean;
  /** Samples that the sensitivity of layers is measured with; 0 for none. */
  readonly sensitivity: number;
  /** Whether the errors of layers are measured. Default: false. */
  readonly layers?: boolean;
}

/** Samples that methods, corrections and adjustments look at, where the candidate does not say. */
const METHOD_SAMPLES = 256;
/** What a full run does besides: errors of layers on 16 samples, whole tensors at a time. */
const DETAIL_RUNS = 400;
/** About what opening data and sessions takes, until two evaluations were measured. */
const OPENING_MS = 200;
/** Two processes that only load and run a model. */
const PROCESSES_MS = 1000;
/** Forecasts are this much too low now and then; the held-out part must fit all the same. */
const SAFETY = 1.3;

export class Forecast {
  readonly totalMs: number;
  readonly #calibrationData: boolean;
  /** Names of the compressions that every candidate without its own has. */
  readonly #compress: readonly string[];
  readonly #emits: boolean;
  readonly #started = performance.now();
  /** ms by stage; of those that each recipe has alone, for one. Methods and changes by their own names. */
  readonly #known = new Map<string, number>();
  /** Evaluations with the fewest and with the most runs: opening data and sessions takes its time too. */
  readonly #evaluations: { readonly runs: number; readonly ms: number }[] = [];
  #layers = 1;
  #look: number | undefined;

  /**
   * `calibrationData`: whether the recipes have some, which float16 looks at too; `compress`: names of what makes their
   * model smaller; `emits`: whether each trial writes files of a runtime.
   */
  constructor(totalMs: number, calibrationData = false, compress: readonly string[] = [], emits = false) {
    this.totalMs = totalMs;
    this.#emits = emits;
    this.#calibrationData = calibrationData;
    this.#compress = compress;
  }

  spent(): number {
    return performance.now() - this.#started;
  }
  left(): number {
    return this.totalMs - this.spent();
  }
  /** Whether anything was measured yet. */
  get knows(): boolean {
    return this.#evaluations.length > 0;
  }

  /** One run of one model on one sample. */
  get #runMs(): number {
    const [few, many] = [this.#evaluations[0], this.#evaluations.at(-1)];
    if (!few || !many) return 0;
    return many.runs >= 3 * few.runs
      ? Math.max(0, many.ms - few.ms) / (many.runs - few.runs)
      : Math.max(many.ms - OPENING_MS, 0.2 * many.ms) / many.runs;
  }

  #evaluation(runs: number): number {
    const [few] = this.#evaluations;
    return few ? Math.max(0, few.ms - few.runs * this.#runMs) + runs * this.#runMs : 0;
  }

  /** Learns from a group that ran; `record` is of any of its recipes, for they share their stages. */
  learn(e: Errand, record: RunRecord): void {
    const n = e.candidates.length;
    const refined = e.candidates.filter((c) => methodKey(c) !== undefined);
    for (const { name, ms } of record.stages) {
      const { shared } = STAGES.find((x) => x.name === name) ?? { shared: 'once' }; // changes have their own names
      if (shared === 'pass') this.#see(Math.max(1, (record.evaluation?.samples ?? 1) * (n + 1)), ms);
      else if (name === 'weights')
        for (const c of refined) this.#know(methodKey(c)!, ms / refined.length); // filtered
      else this.#know(name, shared === 'each' ? ms / n : ms);
    }
    this.#layers = Math.max(1, record.nodes.filter((x) => x.macs > 0).length);
  }

  /** Learns from a group that was stopped: what was not known of it takes at least so long. */
  stopped(e: Errand, ms: number): void {
    const rest = ms - this.of(e);
    const keys = e.candidates
      .flatMap((c) => [methodKey(c), ...namesIn(c.adjust), ...namesIn(c.compress ?? [])])
      .filter((k) => k !== undefined && !this.#known.has(k));
    const [key] = keys;
    if (key !== undefined) this.#know(key, Math.max(ms / e.candidates.length, rest));
  }

  /** ms that a group takes. */
  of(e: Errand): number {
    return this.stages(e).reduce((sum, { ms }) => sum + ms, 0);
  }

  /** The stages that a group has, in their order, and the ms that each takes. */
  stages(e: Errand): { readonly name: string; readonly ms: number }[] {
    const asked = e.candidates.map((c) => ({ candidate: c, asks: this.#asks(c, e) }));
    return STAGES.flatMap((spec) => {
      const these = asked.filter(({ asks }) => spec.when(asks));
      if (!these.length) return [];
      const { name } = spec;
      if (name === 'adjust' || name === 'compress')
        return [...new Set(these.flatMap(({ asks }) => asks[name]))].map((change) => ({
          name: change,
          ms: this.#stage(change, spec.runs(this.#work(e), change)),
        }));
      const one = ({ candidate }: { readonly candidate: Candidate }): number =>
        this.#stage(
          (spec.name === 'weights' && methodKey(candidate)) || spec.name,
          spec.runs(this.#work(e, candidate), methodName(candidate.quantize.weights)),
        );
      const ms =
        spec.shared === 'pass'
          ? this.#evaluation((e.candidates.length + 1) * e.samples)
          : spec.shared === 'each'
            ? these.reduce((sum, x) => sum + one(x), 0)
            : one(these[0]!); // there is one
      return [{ name: spec.name, ms }];
    });
  }

  #stage(key: string, runs: number): number {
    return this.#known.get(key) ?? runs * this.#runMs;
  }

  #work({ sensitivity }: Errand, c?: Candidate): Work {
    return { layers: this.#layers, samples: c?.quantize.weights?.samples ?? METHOD_SAMPLES, sensitivity };
  }

  #asks({ adjust, compress, quantize, calibration }: Candidate, e: Errand): Asks {
    return {
      compress: compress ? namesIn(compress) : this.#compress,
      training: undefined, // it is done once, before a search looks at anything
      adjust: namesIn(adjust),
      format: quantize.format ?? 'qdq',
      budget: quantize.budget !== undefined,
      refined: isRefined(quantize),
      transport: false,
      qat: false, // what a search looks for has no section `train`
      calibrationData: this.#calibrationData || calibration?.data !== undefined,
      evaluationData: true, // a search has them
      sensitivity: e.sensitivity > 0,
      layers: e.layers ?? false,
      latency: e.latency,
      generation: false, // said of what is found, not of what is tried
      runtime: this.#emits,
      layout: false,
    };
  }

  /** ms that a look at `samples` held-out and search samples takes, with everything that a full run measures. */
  look(c: Candidate, samples: number, latencyRuns: number): number {
    if (!this.knows) return 0;
    const detail = this.#look ?? DETAIL_RUNS * this.#runMs + 2 * latencyRuns * this.#runMs + PROCESSES_MS;
    return SAFETY * (this.of({ candidates: [c], samples, latency: true, sensitivity: 0 }) + detail);
  }

  /** The same without what only explains the result: making the model, and its accuracy. */
  bare(c: Candidate, samples: number): number {
    return SAFETY * (this.knows ? this.of({ candidates: [c], samples, latency: true, sensitivity: 0 }) : 0);
  }

  /** Learns what a look took over making and evaluating its model. */
  looked(c: Candidate, samples: number, ms: number): void {
    this.#look = Math.max(0, ms - this.of({ candidates: [c], samples, latency: true, sensitivity: 0 }));
  }

  #see(runs: number, ms: number): void {
    const all = [...this.#evaluations, { runs, ms }].sort((a, b) => a.runs - b.runs);
    this.#evaluations.splice(0, Infinity, all[0]!, ...(all.length > 1 ? [all.at(-1)!] : [])); // one was just added
  }

  /** The longest that was measured counts: the machine has other work now and then. */
  #know(key: string, ms: number): void {
    this.#known.set(key, Math.max(ms, this.#known.get(key) ?? 0));
  }
}

const namesIn = (list: readonly (string | { readonly name: string })[]): string[] =>
  list.map((x) => (typeof x === 'string' ? x : x.name));

/** What decides how long the codes of weights take; undefined where they are rounded. */
function methodKey({ quantize }: Candidate): string | undefined {
  const { format, weights: w } = quantize;
  return isRefined(quantize)
    ? JSON.stringify(['weights', format ?? 'qdq', methodName(w), w?.correct ?? [], w?.samples])
    : undefined;
}
