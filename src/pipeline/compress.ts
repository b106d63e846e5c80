/** The steps of `compress`: a float model made smaller, and what each step cost and gained. */
import { sampleFeed } from './calibration.js';
import { feedsOf } from '../data/batch.js';
import { createHash } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../base/environment-errors.js';
import { sha256File } from '../base/files.js';
import { byName, item } from '../base/lists.js';
import { compressionsWith } from '../compress/index.js';
import type { CompressContext, PruneScan } from '../compress/types.js';
import { constantsOf } from '../cost/constants.js';
import { measureLatencies } from '../evaluate/latency.js';
import { macsByNode } from '../facts/model.js';
import { cloneModel } from '../ir/clone.js';
import type { Feed } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { saveModel } from '../onnx/files.js';
import { inferShapes } from '../ops/infer.js';
import type { Recipe } from '../recipe/schema.js';
import type { CompressionFacts } from '../record/index.js';
import { measureOwnProcesses } from '../runtime/own-process.js';
import { cleaned } from '../train/students/derive.js';
import { calibrationBatches } from './adjust.js';
import { calibrationScores } from './calibration-scores.js';
import { atBatch } from './feeds.js';
import type { Front } from './front.js';
import type { Together } from './together.js';
import { sparsityFacts } from './sparsity.js';
import { scoresOf } from './training/scores.js';
import { trainModel } from './training/train.js';

export interface CompressedFront {
  readonly front: Front;
  readonly facts?: CompressionFacts;
  /** Removes what only the run needs. */
  close(): void;
}

interface State {
  readonly name: string;
  readonly line?: string;
  readonly seconds?: number;
  readonly scan?: PruneScan | undefined;
  readonly file: string;
  readonly model: Model;
}

/**
 * How far it goes: `plan` looks at no samples, `make` at those of calibration, and `measure` judges
 * every state too.
 */
export type CompressExtent = 'plan' | 'make' | 'measure';

/** Makes the model smaller as the recipe says. */
export async function compressFront(front: Front, all: Together, extent: CompressExtent): Promise<CompressedFront> {
  const steps = front.lead.recipe.compress;
  if (!steps.length) return { front, close: () => undefined };
  const folder = temporaryFolder();
  const close = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const states: State[] = [{ name: AS_GIVEN, file: front.floatFile, model: front.model }];
    const model = await cleaned(front.model, true);
    inferShapes(model);
    for (const [i, step] of steps.entries())
      await all.stage(step.name, async () => {
        const started = performance.now();
        const { line, scan } = await take(step, model, front, all, extent);
        const file = path.join(folder, `compressed-${i}.onnx`);
        saveModel(model, file);
        const seconds = (performance.now() - started) / 1000;
        states.push({ name: step.name, line, seconds, scan, file, model: cloneModel(model).model });
        return [undefined, line];
      });
    const { file } = item(states, states.length - 1);
    const facts = extent === 'measure' ? await measure(states, front, all) : undefined;
    return { front: fromFile(front, model, file), ...(facts ? { facts } : {}), close };
  } catch (error) {
    close();
    throw error;
  }
}
/** The name of the first state. */
const AS_GIVEN = 'as given';

async function take(
  { name, ...options }: Recipe['compress'][number],
  model: Model,
  front: Front,
  all: Together,
  extent: CompressExtent,
): Promise<{ readonly line: string; readonly scan: PruneScan | undefined }> {
  const { lead, inputs, scores } = front;
  const { report, listen } = all;
  const compression = byName(compressionsWith(lead.plugins.importances), name);
  const { data, samples, threads } = lead.recipe.calibration;
  const seen = () => calibrationBatches(lead, { inputs, report, ...listen }, samples, `compress: ${name}`);
  const looks = extent !== 'plan';
  const hasData = data !== undefined && looks;
  const timing = looks ? () => timingOf(lead, inputs) : undefined;
  const finetune = finetuneBetween(model, front, all, !looks);
  const seeing = { feeds: () => feedsOf(seen()), batches: seen, hasData, dryRun: !looks, timing };
  const score = looks
    ? calibrationScores({ batches: seen, metrics: scores.metrics, threads, signal: listen.signal })
    : undefined;
  let scan: PruneScan | undefined;
  const onScan = (made: PruneScan): void => {
    scan = made;
  };
  const context = { model, ...seeing, threads, report, finetune, score, onScan, ...listen };
  const line = await compression.run(context, options);
  inferShapes(model);
  return { line, scan };
}

/** One sample, or as many as the recipe measures times with. */
async function timingOf(recipe: Front['lead'], inputs: Front['inputs']): Promise<{ feed: Feed; threads: number }> {
  const { latency } = recipe.recipe.evaluation;
  const feed = await sampleFeed(recipe, inputs);
  return latency ? { feed: atBatch(feed, inputs, latency.batch), threads: latency.threads } : { feed, threads: 1 };
}

/** Training as the recipe has it, for a while, in place; a dry run has nothing to train. */
function finetuneBetween(
  model: Model,
  { lead, given, inputs }: Front,
  { report, listen }: Together,
  dryRun: boolean,
): CompressContext['finetune'] {
  const { train } = lead.recipe;
  if (!train) return undefined;
  return async ({ epochs, steps, rate = train.rate }) => {
    if (dryRun) return;
    const own = { ...train, epochs, steps, rate, control: false };
    const recipe = { ...lead, recipe: { ...lead.recipe, distill: undefined, train: own } };
    const { model: trained } = await trainModel({ recipe, model, given, inputs, report, ...listen });
    const learned = new Map([...trained.graph.initializers].map((v) => [v.name, v.data]));
    for (const v of model.graph.initializers) v.data = learned.get(v.name) ?? v.data;
  };
}

/** The front of a smaller model: statistics are of it, accuracy is compared with the model of the recipe. */
export function fromFile(front: Front, model: Model, trainedFile: string): Front {
  const { sources } = front;
  return {
    ...front,
    model,
    trainedFile,
    sources: {
      add: (m) => {
        sources.add(m);
      },
      get sha256() {
        return sources.sha256;
      },
      // Statistics are others than those of the file.
      contentSha256: () =>
        createHash('sha256').update(sources.contentSha256()).update(sha256File(trainedFile)).digest('hex'),
      assertUnchanged: () => {
        sources.assertUnchanged();
      },
    },
  };
}

/** Accuracy, time and memory of each state, of all in turn. */
async function measure(states: readonly State[], front: Front, all: Together): Promise<CompressionFacts> {
  const { lead: recipe, inputs, scores } = front;
  const feed = await sampleFeed(recipe, inputs);
  const scored = await scoresOf(states, { recipe, inputs, scores, report: all.report, signal: all.listen.signal });
  const l = recipe.recipe.evaluation.latency;
  const files = states.map((s) => s.file);
  const about = l && { feed: atBatch(feed, inputs, l.batch), threads: l.threads, ...all.listen };
  const times =
    l && about
      ? await measureLatencies(item(files, 0), files.slice(1), { ...about, runs: l.runs, warmup: l.warmup })
      : undefined;
  const own = l && about && l.memory ? await measureOwnProcesses(files, about) : undefined;
  return {
    states: states.map(({ name, line, seconds, scan, file, model }, i) => {
      const timed = i === 0 ? undefined : times?.[i - 1];
      const [first] = times ?? [];
      const p50 = timed ? timed.quantizedMs.p50 : first?.floatMs.p50;
      const interval = timed?.speedupInterval;
      const peak = own?.[i]?.peakBytes;
      return {
        name,
        ...(line === undefined ? {} : { line }),
        ...(seconds === undefined ? {} : { seconds }),
        ...(scan ? { scan } : {}),
        parameters: [...constantsOf(model)].reduce((n, t) => n + t.size, 0),
        macs: [...macsByNode(model, feed).values()].reduce((n, m) => n + m, 0),
        bytes: statSync(file).size,
        ...sparsityFacts(model),
        metrics: scored.find((s) => s.name === name)?.metrics ?? [],
        ...(p50 === undefined
          ? {}
          : {
              latency: {
                p50,
                ratio: timed ? 1 / timed.speedup : 1,
                ...(interval ? { interval: [1 / interval[1], 1 / interval[0]] as const } : {}),
              },
            }),
        ...(peak === undefined ? {} : { peakBytes: peak }),
      };
    }),
  };
}
