/**
 * The float model tried in a process of its own before any work: that it loads, that it runs, and on how many samples.
 */
import { item } from '../base/lists.js';
import { existsSync } from 'node:fs';
import { fail, QuantError, type Diagnostic } from '../base/errors.js';
import { batches } from '../data/batch.js';
import type { Feed, ValueInfo } from '../ir/feed.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { probeModels, type Probe, type Shapes, type Trouble } from '../runtime/probe.js';
import { openData } from './calibration.js';
import { resizeBatch } from './feeds.js';

interface Look {
  readonly file: string;
  readonly recipe: ResolvedRecipe;
  readonly inputs: readonly ValueInfo[];
  readonly report: (d: Diagnostic) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Whether the model runs on one sample at a time only, though its inputs leave the batch open (an inner Reshape to
 * [1, …], say). Throws MODEL_RUNTIME where onnxruntime crashes with the model.
 */
export async function lookAtFloat(o: Look): Promise<boolean> {
  const { calibration: c, evaluation: e } = o.recipe.recipe;
  const open =
    o.inputs.length > 0 && o.inputs.every((i) => !i.shape || (i.shape.length > 0 && typeof i.shape[0] !== 'number'));
  const many = open && Math.max(c.batchSize, e.batchSize, e.latency === false ? 1 : e.latency.batch) > 1;
  const feeds = await firstFeeds(o, many).catch((error: unknown): Feed[] => {
    if (!(error instanceof QuantError) || o.signal?.aborted) throw error;
    return []; // data that cannot be read are told of where they are needed, for some recipes need none
  });
  const probed = { file: o.file, feeds };
  // one for each
  const [{ trouble, shapes }] = (await probeModels([probed], { threads: c.threads, signal: o.signal })) as [Probe];
  if (trouble?.at === 'crash') refuse(o.file, trouble);
  // What does not load, or fails on one sample, fails again where it is needed, with a better word.
  if (trouble ? !trouble.feed : !ignoresBatch(shapes)) return false;
  o.report({
    severity: 'note',
    code: 'BATCH_OF_ONE',
    message: 'the model runs on one sample at a time, though its inputs leave the batch open: batches of one are used',
    hint:
      'calibration.batchSize: 1 and evaluation.batchSize: 1 say the same; an export whose inner shapes leave the ' +
      'batch open too runs faster',
  });
  return true;
}

/**
 * Whether a second sample changes no axis from 1 to 2: its rows were taken for more of the first sample, or left out.
 */
function ignoresBatch([one, two]: Shapes): boolean {
  const ranked = Object.entries(one ?? {}).filter(([, dims]) => dims.length > 0);
  return (
    two !== undefined &&
    ranked.length > 0 &&
    ranked.every(([name, dims]) => dims[0] === 1 && !dims.some((d, i) => d === 1 && two[name]?.[i] === 2))
  );
}

/** The recipe with one sample in each run. */
export function atBatchOfOne(r: ResolvedRecipe): ResolvedRecipe {
  const { calibration, evaluation } = r.recipe;
  const latency = evaluation.latency === false ? evaluation.latency : { ...evaluation.latency, batch: 1 };
  return {
    ...r,
    recipe: {
      ...r.recipe,
      calibration: { ...calibration, batchSize: 1 },
      evaluation: { ...evaluation, batchSize: 1, latency },
    },
  };
}

/** One sample, and the same one twice in one feed where the model may take more than one. */
async function firstFeeds({ recipe, inputs }: Look, two: boolean): Promise<Feed[]> {
  const spec = recipe.recipe.evaluation.data ?? recipe.recipe.calibration.data;
  if (!spec) return [];
  // what it has to say is said when it is read for its purpose
  const dataset = await openData(spec, inputs, recipe, () => undefined);
  for await (const {
    feeds: [feed],
  } of batches(dataset.samples({ limit: 1 }), { size: 1, inputs, padding: dataset.padding })) {
    if (feed) return two && Object.values(feed).every((t) => t.dims[0] === 1) ? [feed, resizeBatch(feed, 2)] : [feed];
  }
  return [];
}

/** Throws MODEL_RUNTIME for a model that does not load, and for one that crashes the runtime. */
export function refuse(file: string, trouble: Trouble): never {
  if (trouble.at === 'crash') {
    return fail(
      'MODEL_RUNTIME',
      `onnxruntime crashes with ${file}: ${trouble.message}`,
      { file },
      'it crashes for users of the model too: export it otherwise, or report it to onnxruntime',
    );
  }
  return fail('MODEL_RUNTIME', `onnxruntime does not ${trouble.at} ${file}: ${trouble.message}`, { file });
}

/**
 * Models that are used as they are: throws MODEL_RUNTIME for the first one that does not load, or crashes the runtime.
 */
export async function assertLoads(files: readonly string[], signal?: AbortSignal): Promise<void> {
  const there = files.filter((file) => existsSync(file)); // the others are told of where they are opened
  const probes = await probeModels(
    there.map((file) => ({ file })),
    { signal },
  );
  probes.forEach(({ trouble }, i) => {
    if (trouble) refuse(item(there, i), trouble);
  }); // one for each
}
