/** Evaluation and latency of model files as they are: float or quantized, ours or not. */
import { item } from '../base/lists.js';
import type { Diagnostic } from '../base/errors.js';
import { fail } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { batches } from '../data/batch.js';
import { evaluateModels, type Comparison } from '../evaluate/compare.js';
import { batchOf, measureLatencies, runTimes } from '../evaluate/latency.js';
import { timeModels, timesOf } from '../evaluate/rounds.js';
import type { ChosenMetric } from '../evaluate/types.js';
import type { Feed } from '../ir/feed.js';
import { loadModel } from '../onnx/files.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { LatencyFacts, ProcessFacts, RunTimes } from '../record/index.js';
import { measureOwnProcesses } from '../runtime/own-process.js';
import { Session } from '../runtime/session.js';
import { openData } from '../pipeline/calibration.js';
import { benchFeed, type BenchFeedOptions } from './bench-feed.js';
import { atBatch } from '../pipeline/feeds.js';
import { sessionInputs } from '../pipeline/inputs.js';
import { modelClasses, withClasses } from '../pipeline/classes.js';
import { assertLoads, lookAtFloat } from '../pipeline/first-look.js';
import { bytesOnDisk } from '../pipeline/sources.js';

interface Listen {
  readonly report: (d: Diagnostic) => void;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface EvaluateFilesOptions extends Listen {
  /** The first is what the others are compared with. */
  readonly files: readonly string[];
  /** For its evaluation section: data, samples, batch size, threads. */
  readonly recipe: ResolvedRecipe;
  readonly metrics?: readonly ChosenMetric[] | undefined;
}
export interface EvaluatedFiles {
  readonly samples: number;
  readonly reference: {
    readonly file: string;
    readonly metrics: readonly {
      readonly name: string;
      readonly unit: string;
      readonly higherIsBetter: boolean;
      readonly value: number | undefined;
    }[];
  };
  readonly others: readonly ({ readonly file: string } & Comparison)[];
}

/**
 * Scores models on the recipe's evaluation data. Throws DATA_MISSING without data, MODEL_RUNTIME, and what reading the
 * data throws.
 */
export async function evaluateFiles(o: EvaluateFilesOptions): Promise<EvaluatedFiles> {
  const e = o.recipe.recipe.evaluation;
  const spec =
    e.data ?? fail('DATA_MISSING', 'there are no evaluation data', {}, 'give --data, or --recipe with evaluation.data');
  const [first, ...rest] = o.files;
  if (first === undefined) fail('USAGE', 'no model was given');
  await assertLoads(o.files, o.signal);
  const sessions: Session[] = [];
  try {
    for (const file of [first, ...rest])
      sessions.push(await Session.open(file, { threads: e.threads, spinning: false }));
    const [float, ...candidates] = sessions;
    const model = loadModel(first);
    const inputs = sessionInputs(float!, model); // opened first
    const one = await lookAtFloat({ file: first, recipe: o.recipe, inputs, report: o.report, signal: o.signal });
    const scores = {
      metadata: model.metadata,
      outputs: float!.outputs,
      metrics: o.metrics,
      report: o.report,
    };
    const recipe = await withClasses(o.recipe, scores);
    const dataset = await openData(recipe.recipe.evaluation.data ?? spec, inputs, recipe, o.report);
    const limit = e.samples ?? Infinity;
    const found = await evaluateModels({
      float: float!,
      candidates,
      metrics: o.metrics,
      onEvent: o.onEvent,
      signal: o.signal,
      totalSamples: dataset.count === undefined ? e.samples : Math.min(dataset.count, limit),
      batches: () =>
        batches(dataset.samples({ limit, ...(o.signal ? { signal: o.signal } : {}) }), {
          size: one ? 1 : e.batchSize,
          inputs,
          padding: dataset.padding,
          outputs: float!.outputs,
        }),
      onDiagnostic: o.report,
      classNames: dataset.classes ?? modelClasses(scores),
      guessedClasses: dataset.guessedClasses,
      vocabulary: dataset.vocabulary,
    });
    return {
      samples: found.samples,
      reference: {
        file: first,
        metrics: found.float.map((s) => ({
          name: s.metric.name,
          unit: s.metric.unit,
          higherIsBetter: s.metric.higherIsBetter,
          value: s.value(),
        })),
      },
      others: found.candidates.map((c, i) => ({ file: item(rest, i), ...c })), // one for each
    };
  } finally {
    for (const s of sessions) await s.close();
  }
}

export interface BenchOptions extends Listen {
  /** The first is what the others are compared with. */
  readonly files: readonly string[];
  readonly runs: number;
  readonly warmup: number;
  readonly threads: number;
  readonly batch: number;
  /** Inputs to run; default: what {@link benchFeed} makes. */
  readonly feed?: Feed | undefined;
  /** Shapes of inputs by name, for random inputs. */
  readonly shapes?: BenchFeedOptions['shapes'];
  /** Gives a real sample instead. */
  readonly recipe?: ResolvedRecipe | undefined;
}
export interface BenchedFile {
  readonly file: string;
  readonly bytes: number;
  readonly ms: RunTimes;
  readonly samplesPerSecond: number;
  readonly process: ProcessFacts;
  /** Against the first file. */ readonly speedup?: number;
  readonly speedupInterval?: LatencyFacts['speedupInterval'];
}

export interface Benched {
  readonly batch: number;
  /** Counted runs of each: more than were asked for where the machine is busy. */
  readonly runs: number;
  readonly inputShapes: LatencyFacts['inputShapes'];
  readonly models: readonly BenchedFile[];
}

/** Times models in turn, and each in a process of its own. Throws MODEL_RUNTIME, and what {@link benchFeed} throws. */
export async function benchFiles(o: BenchOptions): Promise<Benched> {
  const [first, ...rest] = o.files;
  if (first === undefined) fail('USAGE', 'no model was given');
  await assertLoads(o.files, o.signal);
  const sessions: Session[] = [];
  try {
    for (const file of o.files) sessions.push(await Session.open(file, { threads: o.threads }));
    const session = item(sessions, 0); // opened first
    const inputs = sessionInputs(session, loadModel(first));
    const feed = o.feed ? atBatch(o.feed, inputs, o.batch) : await benchFeed(session, { ...o, inputs });
    const settings = { feed, runs: o.runs, warmup: o.warmup, threads: o.threads, onEvent: o.onEvent, signal: o.signal };
    const [reference, ...others] = sessions;
    const pairs = rest.length ? await measureLatencies(reference!, others, settings) : []; // opened first
    const alone = rest.length ? [] : (await timeModels([reference!], settings)).map(timesOf); // the only one
    const batch = batchOf(feed);
    const own = await measureOwnProcesses(o.files, { feed, threads: o.threads, signal: o.signal });
    const models: BenchedFile[] = [];
    for (const [i, file] of o.files.entries()) {
      const pair = pairs[i - 1];
      const ms = pair?.quantizedMs ?? pairs[0]?.floatMs ?? runTimes(item(alone, 0)); // one of the three was measured
      models.push({
        file,
        bytes: bytesOnDisk(file, loadModel(file)),
        ms,
        samplesPerSecond: (1000 * batch) / ms.p50,
        process: item(own, i), // one for each
        ...(pair
          ? { speedup: pair.speedup, ...(pair.speedupInterval ? { speedupInterval: pair.speedupInterval } : {}) }
          : {}),
      });
    }
    const inputShapes = Object.fromEntries(Object.entries(feed).map(([name, t]) => [name, t.dims]));
    return { batch, runs: pairs[0]?.runs ?? item(alone, 0).length, inputShapes, models }; // one of both was measured
  } finally {
    for (const s of sessions) await s.close();
  }
}
