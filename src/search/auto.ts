/**
 * Finds the recipe: rounds of candidates on the search part of the evaluation samples, then one look at the held-out
 * part. Rounds are successive halving (https://arxiv.org/abs/1502.07943): all on few samples, the best on the whole
 * search part.
 */
import { byName } from '../base/lists.js';
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { batchNormMoments } from '../channels/moments.js';
import { fail, type Diagnostic } from '../base/errors.js';
import type { DataSpec } from '../data/spec.js';
import type { Node } from '../ir/graph.js';
import { uniqueLabels } from '../ir/labels.js';
import { isConvolution, isMatrixProduct } from '../ops/kinds.js';
import { MAT_MUL_N_BITS } from '../formats/weight-only.js';
import { checkFiles } from '../recipe/files.js';
import { exampleFeed, openData } from '../pipeline/calibration.js';
import { fedInputs } from '../pipeline/inputs.js';
import type { Work } from './candidates.js';
import { chosenMetrics } from '../pipeline/check.js';
import { confirm } from './confirm.js';
import { macsByNode } from '../facts/model.js';
import { atBatchOfOne } from '../pipeline/first-look.js';
import { Forecast } from './forecast.js';
import { decoderOf } from '../pipeline/own-text.js';
import { lookAtAll } from '../pipeline/front.js';
import { openFloatModel, type FloatModel } from '../pipeline/float-model.js';
import { optimizeModel, passesFor } from '../pipeline/prepare.js';
import { allowedOf } from './smaller.js';
import { loadsOther } from '../pipeline/target-of.js';
import { checkOutputs, FOUND_RECIPE } from '../pipeline/overwriting.js';
import { comparedByDefault } from '../evaluate/compare.js';
import { formatsOf, limitFor } from './limit.js';
import { Search } from './search.js';
import type { AutoOptions, AutoResult } from './types.js';
import { stagingDir } from '../pipeline/staging.js';
import { createStages } from '../pipeline/stage-clock.js';
import { asksOf } from '../pipeline/stages.js';

/** Share of the samples that choose, unless the recipe gives one. */
const SEARCH_SHARE = 0.4;
/** Samples of data that do not tell how many they are. */
const UNKNOWN_COUNT = 2000;

/**
 * Writes into `outDir` the model that is best by the objective among those that keep the limit, with recipe.yaml, which
 * makes the same file again. Where none keeps it on the held-out part, the closest goes to `outDir`/best-found instead.
 * Throws DATA_MISSING without evaluation data, USAGE for a limit that does not fit the metric, for latency that is not
 * measured and for a time budget that ends before one recipe was looked at, and the signal's reason.
 */
export async function findRecipe({ base: given, ...rest }: AutoOptions): Promise<AutoResult> {
  let base = given;
  const { signal } = rest;
  const { evaluation } = base.recipe;
  if (!evaluation.data)
    fail(
      'DATA_MISSING',
      'a search compares recipes on evaluation data, and the recipe names none',
      {},
      'set evaluation.data or pass --evaluation-data',
    );
  if (rest.objective === 'latency' && evaluation.latency === false)
    fail(
      'USAGE',
      'the objective is latency, and evaluation.latency of the recipe is false',
      {},
      'leave it to its default, or use --objective size',
    );
  const target = byName(base.plugins.targets, base.recipe.target);
  if (rest.objective === 'latency' && target.host === 'simulated')
    fail(
      'USAGE',
      `the objective is latency, and target ${
        target.name
      } does not run here: its numbers are simulated, its times unknown`,
      {},
      `use --objective size, or a target that runs here: ${base.plugins.targets
        .filter((t) => t.host === 'here')
        .map((t) => t.name)
        .join(', ')}`,
    );
  const [named] = (await chosenMetrics(base)) ?? [];
  if (named) limitFor(rest.maxAccuracyDrop, named.metric, 1);
  const allowed = allowedOf(rest.allow ?? []);
  checkOutputs([{ recipe: base, outDir: rest.outDir }], undefined, [FOUND_RECIPE]);
  checkFiles(base);
  const forecast = new Forecast(
    rest.timeBudgetMs,
    base.recipe.calibration.data !== undefined,
    base.recipe.compress.map((c) => c.name),
    loadsOther(target),
  );
  const onEvent = rest.onEvent ?? ((): void => undefined);
  const { stage } = createStages(onEvent, signal);
  const share = evaluation.searchShare || SEARCH_SHARE;
  const folder = stagingDir(rest.outDir);
  try {
    onEvent({
      type: 'start',
      title:
        `auto · ${path.basename(base.recipe.model ?? '')} · smallest ${rest.objective}, at most ` +
        `${String(rest.maxAccuracyDrop)} worse`,
    });
    const { work, samples } = await stage('look', async () => {
      const float = openFloatModel(path.resolve(base.baseDir, base.recipe.model ?? '')); // the schema asks for one
      const told = (diagnostic: Diagnostic): void => onEvent({ type: 'diagnostic', diagnostic });
      // data were checked above
      const found = await look(float, { ...rest, base }, evaluation.data!, signal, told).finally(float.close);
      if (found.one) base = atBatchOfOne(base);
      return [
        found,
        `${(100 * found.work.convolutions).toFixed(0)} % of the work is convolutions, ` +
          `${(100 * found.work.products).toFixed(0)} % matrix products`,
      ];
    });
    const o = { ...rest, base };
    const setting = { share, samples, folder, stage, forecast };
    const search = new Search(o, setting);
    await search.explore(work);
    for (const compression of allowed) await search.shrink(compression);
    return await confirm(o, search.ledger, setting);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    if (existsSync(rest.outDir) && !readdirSync(rest.outDir).length) rmdirSync(rest.outDir);
  }
}

interface Looked {
  readonly work: Work;
  readonly samples: number;
  readonly one: boolean;
}
/** What does the work, how many samples there are, and whether the model takes one at a time only. */
async function look(
  { file, model, told }: FloatModel,
  { base, outDir, maxAccuracyDrop }: Pick<AutoOptions, 'base' | 'outDir' | 'maxAccuracyDrop'>,
  data: DataSpec,
  signal: AbortSignal | undefined,
  report: (d: Diagnostic) => void,
): Promise<Looked> {
  const { recipe } = base;
  checkOutputs([{ recipe: base, outDir }], model, [FOUND_RECIPE]);
  if (told) report(told);
  const moments = batchNormMoments(model).size > 0;
  const inputs = fedInputs(model);
  // Most trials calibrate, whatever the recipe itself asks for.
  const asked = [asksOf({ ...recipe, quantize: { ...recipe.quantize, format: 'qdq' } })];
  const { one, scores } = await lookAtAll({ file, model, inputs, recipe: base, asked, looks: true, report, signal });
  const dataset = await openData(data, inputs, base, () => undefined); // what it has to say is said when it is read
  if (!scores.metrics)
    for await (const first of dataset.samples({ limit: 1 })) {
      limitFor(maxAccuracyDrop, comparedByDefault(first, model.graph.outputs), 1);
    }
  signal?.throwIfAborted();
  await optimizeModel(model, file, recipe.optimize, () => undefined, { among: passesFor(base) }); // said when a trial plans
  const macs = macsByNode(model, await exampleFeed(base, inputs));
  const work = [...uniqueLabels(model.graph.topological())].map(([n, name]) => ({
    node: n,
    macs: macs.get(name) ?? 0,
  }));
  const all = work.reduce((n, x) => n + x.macs, 0) || 1;
  const share = (test: (n: Node) => boolean): number => work.reduce((n, x) => n + (test(x.node) ? x.macs : 0), 0) / all;
  return {
    one,
    samples: Math.min(dataset.count ?? UNKNOWN_COUNT, recipe.evaluation.samples ?? Infinity),
    work: {
      convolutions: share(isConvolution),
      products: share(isMatrixProduct),
      hasData: recipe.calibration.data !== undefined,
      ownText: decoderOf(model) !== undefined,
      moments,
      formats: formatsOf(base),
      synthetic: recipe.calibration.data === undefined ? madeUp(data) : undefined,
      blockKernels:
        base.plugins.targets.find((t) => t.name === recipe.target)?.ownOps.some((x) => x.op === MAT_MUL_N_BITS) ===
        true,
    },
  };
}

/** Made-up images that are read as the real ones are; undefined where the data are none. */
function madeUp({ images, imageList, webdataset, preprocess, input }: DataSpec): Work['synthetic'] {
  if (images === undefined && imageList === undefined && webdataset === undefined) return undefined;
  return {
    synthetic: 'both',
    ...(preprocess === undefined ? {} : { preprocess }),
    ...(input === undefined ? {} : { input }),
  };
}
