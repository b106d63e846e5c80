/**
 * The story of a run: recipe → model → passes → plan → statistics → parameters → rewrite → verify → measure → record.
 * Recipes that differ only in how they quantize run together: what they share is done once.
 */
import { sampleFeed } from './calibration.js';
import { byName, item } from '../base/lists.js';
import { fail, type Diagnostic } from '../base/errors.js';
import { version } from '../base/version.js';
import { formats } from '../formats/index.js';
import { batchNormMoments } from '../channels/moments.js';
import { asksOf as asksOfGate, judgeRun } from '../gate/index.js';
import { countNodes } from '../ir/count.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { MixedFacts, RunRecord, Sensitivity } from '../record/index.js';
import { environment } from '../runtime/environment.js';
import { adjustModel, chooseWeights } from './adjust.js';
import { correctLowRank } from './low-rank-errors.js';
import { assertEmits, putOut, writesOf } from './emit.js';
import { encodeVariant } from './encode.js';
import { analyseSensitivity, analysisData, sensitivityText } from './analysis.js';
import { compressFront } from './compress.js';
import { calibrateTogether } from './calibrate-together.js';
import { atBatchOfOne } from './first-look.js';
import { fitToMemory } from './fit.js';
import { forecastOf } from './forecast.js';
import { openFront, type Front } from './front.js';
import { farFromFloat, withoutGain } from './gain.js';
import { readsOnce } from './large.js';
import { measureTogether } from './measure-together.js';
import { spendBudget } from './mixed.js';
import { sparsityFindings } from './sparsity.js';
import { bestOfRanges, type Try } from './other-ranges.js';
import { OutputFolder, SIMULATED } from './output-folder.js';
import type { RunListener, RunOptions, RunResult, RunsOptions } from './run-options.js';
import { optimizeModel, passesFor } from './prepare.js';
import { planTogether } from './plan-together.js';
import { saturationOf } from './saturation.js';
import { trainTogether } from './qat.js';
import { transportTogether } from './transport/transport.js';
import { asksOf, has, stagesTogether, type Asks, type StageName } from './stages.js';
import { targetOf } from './target-of.js';
import { Together } from './together.js';
import { trainFront, type TrainedFront } from './training/front.js';
import { withCaches } from './kv-cache.js';
import { asRounded, assignVariant, refineVariant } from './variant/assign.js';
import { recordOf, type SharedFacts } from './variant/record.js';
import type {
  AssignedVariant,
  PlannedVariant,
  RefinedVariant,
  TrainedVariant,
  Variant,
  WrittenVariant,
} from './variant/types.js';
import { writeVariant } from './variant/write.js';

export type { RunListener, RunOptions, RunResult, RunsOptions };

/**
 * Quantizes a model as a recipe says and verifies the result. The output folder gets model.onnx (external data beside
 * it where needed), run.json and what `render` makes; a run that fails leaves the folder's earlier files as they were.
 * Throws QuantError.
 */
export async function runRecipe({ recipe, outDir, ...o }: RunOptions): Promise<{ record: RunRecord; outDir: string }> {
  const attempt = async ({ recipe: own, wanted, told }: Try): Promise<{ record: RunRecord; outDir: string }> => {
    const complete = (r: RunRecord): RunRecord => {
      const whole = told ? { ...r, diagnostics: [...r.diagnostics, told] } : r;
      return o.complete?.(whole) ?? whole;
    };
    const runs = [{ recipe: own, outDir }];
    const [result] = await runRecipes({ ...o, complete, runs, title: own.name, ...(wanted ? { wanted } : {}) });
    if (!result || result.error) throw result?.error ?? new Error('no result'); // without keepGoing it has thrown
    return result;
  };
  return bestOfRanges(recipe, attempt, (diagnostic) => o.onEvent?.({ type: 'diagnostic', diagnostic }));
}

/** Runs recipes that share a model, its data and the target, each into its own folder. See {@link runRecipe}. */
export async function runRecipes(given: RunsOptions): Promise<RunResult[]> {
  const startedAt = new Date();
  const { runs, told } = fitToMemory(given.runs);
  const o = { ...given, runs };
  const asked = o.runs.map((r) => asksOf(r.recipe.recipe, o.detail, writesOf(o, r.recipe)));
  const all = new Together(o, stagesTogether(asked), o.runs.length);
  told.forEach(all.report);
  const opened = await openFront({
    runs: o.runs,
    lead: item(o.runs, 0).recipe, // at least one
    title: o.title,
    asked,
    dryRun: o.dryRun === true,
    lookedAt: o.lookedAt === true,
    report: all.report,
    ...all.listen,
  });
  const toClose: { close(): void }[] = [opened];
  try {
    const asks = o.runs.map((r, index) =>
      ask(opened.one ? atBatchOfOne(r.recipe) : r.recipe, r.outDir, index, all, asked),
    );
    const extent = o.dryRun ? 'plan' : o.searchOnly ? 'make' : 'measure';
    const compressed = await compressFront(opened, all, extent);
    toClose.unshift(compressed);
    const trained = await trainFront(compressed.front, item(asked, 0), all, o.dryRun === true);
    toClose.unshift(trained);
    return await runTrained(o, { ...trained, compression: compressed.facts }, asks, all, startedAt);
  } finally {
    for (const made of toClose) made.close();
  }
}

/** What follows once the model is the one that is quantized. */
async function runTrained(
  o: RunsOptions,
  trained: TrainedFront & { readonly compression: RunRecord['compression'] },
  asks: readonly Variant[],
  all: Together,
  startedAt: Date,
): Promise<RunResult[]> {
  const { front } = trained;
  const changed = await changeModel(front, all, {
    caches: o.runs.some((r) => r.recipe.recipe.quantize.kvCache !== undefined),
    tied: asks.every(keepsTied),
    reads: !o.dryRun && !o.runs.every((r) => readsOnce(front.model, r.recipe.recipe)),
  });
  const spent = o.dryRun ? asks : await spendBudgets(asks, front, all);
  const { planned, macs } = await planTogether(spent, front, all);
  const facts = (calibration?: SharedFacts['calibration']): SharedFacts => ({
    schema: 1,
    quantbench: version,
    startedAt: startedAt.toISOString(),
    durationMs: Date.now() - startedAt.getTime(),
    outcome: 'ok',
    environment: environment(),
    stages: all.stages(),
    float: { ...front.original, macs: macs.given },
    macs: macs.planned,
    calibration,
    diagnostics: all.diagnostics,
    passes: changed.passes,
    ...(trained.compression ? { compression: trained.compression } : {}),
    ...(trained.facts ? { training: trained.facts } : {}),
  });
  if (o.dryRun) {
    for (const v of planned) forecastOf(v).forEach(v.report);
    return results(asks, all, new Map(planned.map((v) => [v.index, recordOf(v, facts())])));
  }

  try {
    // before the work: a folder that cannot be written is told at once
    const taken = await all.each(planned, (v) => {
      assertEmits(v);
      v.folder.take();
      return v;
    });
    const calibrated = await calibrateTogether(taken, front, all);
    const looked = await dataToLookAt(taken, front, all, o.detail !== false);
    const assigned = await all.each(taken, (v) => assignVariant(v, calibrated.stats.get(v.index)));
    const sensitivities = await measureSensitivities(assigned, looked, all);
    const refined = await refineAll(assigned, changed.moments, front, all);
    const trained = await trainTogether(refined, front, all);
    const cheap = await transportTogether(trained, front, all);
    const written = await writeAll(cheap, front, all);
    const { measured, overlap } = await measureTogether(written, {
      front,
      all,
      looked,
      sensitivities,
      samples: calibrated.samples,
      detail: o.detail !== false,
      searchOnly: o.searchOnly,
    });
    front.sources.assertUnchanged();
    const calibration = calibrated.facts && { ...calibrated.facts, overlapWithEvaluation: overlap };
    const emitted = await putOut(measured, front, all);
    const records = await all.each(emitted, (v) => {
      const found = recordOf(v, facts(calibration));
      const { quantize } = v.recipe.recipe;
      const gains = [farFromFloat(found, quantize.format), withoutGain(found, quantize)].flatMap((d) => d ?? []);
      const told = [...gains, ...sparsityFindings(found)];
      told.forEach(v.report);
      const own = judged({ ...found, diagnostics: [...found.diagnostics, ...told] }, v.recipe);
      const record = o.complete?.(own) ?? own;
      if (o.wanted && !o.wanted(record)) return [v.index, record] as const;
      v.folder.publish({ ...(o.render?.(record) ?? {}), 'run.json': `${JSON.stringify(record, null, 1)}\n` });
      return [v.index, record] as const;
    });
    return results(asks, all, new Map(records));
  } finally {
    for (const v of asks) v.folder.close();
  }
}

function ask(recipe: ResolvedRecipe, outDir: string, index: number, all: Together, asked: readonly Asks[]): Variant {
  const diagnostics: Diagnostic[] = [];
  return {
    index,
    recipe,
    folder: new OutputFolder(outDir, targetOf(recipe).artefact === 'files' ? SIMULATED : undefined),
    asks: item(asked, index), // one for each
    diagnostics,
    report: (d) => {
      diagnostics.push(d);
      all.tell(d);
    },
  };
}

function results(asks: readonly Variant[], all: Together, records: ReadonlyMap<number, RunRecord>): RunResult[] {
  return asks.map((v) => {
    const [error, record, outDir] = [all.errorOf(v), records.get(v.index), v.folder.dir];
    if (error) return { outDir, error };
    return record ? { outDir, record } : fail('INTERNAL', `bug in quantbench: '${outDir}' has no record and no error`);
  });
}

const asking = <V extends Variant>(list: readonly V[], name: StageName): V[] => list.filter((v) => has(v.asks, name));

/** Whether weights stay in floating point, so that layers may go on sharing them. */
const keepsTied = ({ recipe: { recipe } }: Variant): boolean =>
  ['none', 'half', 'coded'].includes(byName(formats, recipe.quantize.format).plan);

/** Cleans and adjusts the model, in place. */
async function changeModel(
  { lead, floatFile, model, inputs, original }: Front,
  all: Together,
  given: { readonly tied: boolean; readonly reads: boolean; readonly caches: boolean },
): Promise<{ passes: RunRecord['passes']; moments: ReturnType<typeof batchNormMoments> }> {
  const moments = batchNormMoments(model);
  const { report, listen } = all;
  const traces = await all.stage('optimise', async () => {
    const how = { among: passesFor(lead), ...given };
    const done = await optimizeModel(model, floatFile, lead.recipe.optimize, report, how);
    return [done, `${original.nodes} → ${countNodes(model)} nodes (Constants not counted)`];
  });
  for (const named of lead.recipe.adjust)
    await all.stage(named.name, async () => [
      undefined,
      await adjustModel(model, named, { moments, recipe: lead, inputs, report, ...listen }),
    ]);
  const passes = traces.map(({ pass, changes, nodesBefore, nodesAfter }) => ({
    pass,
    changes,
    nodesBefore,
    nodesAfter,
  }));
  return { passes, moments };
}

/** With types for each layer, where a recipe gives a budget for them. */
async function spendBudgets(asks: readonly Variant[], front: Front, all: Together): Promise<Variant[]> {
  const budgets = asking(asks, 'budget');
  if (!budgets.length) return [...asks];
  const { model, inputs, sources } = front;
  const floatFile = front.trainedFile ?? front.floatFile;
  const made = await all.stage('budget', async () => {
    const contentSha256 = (): string => sources.contentSha256();
    const spent = await all.each(budgets, async (v): Promise<Variant & { readonly mixed: MixedFacts }> => {
      const given = { recipe: v.recipe, model, floatFile, contentSha256, inputs, report: all.report, ...all.listen };
      const { recipe, facts: mixed } = await spendBudget(given);
      return { ...v, recipe, mixed };
    });
    const lines = spent.map((v) => mixedText(v.mixed));
    return [spent, all.about(lines)];
  });
  return asks.map((v) => made.find((m) => m.index === v.index) ?? v);
}

/** Samples to look into layers with, where something is looked into. */
async function dataToLookAt(
  list: readonly PlannedVariant[],
  { floatFile, trainedFile, lead, inputs }: Front,
  all: Together,
  detail: boolean,
): ReturnType<typeof analysisData> {
  const alive = all.alive(list);
  const some = lead.recipe.evaluation.profile !== false;
  if (!detail || !(some || asking(alive, 'sensitivity').length || asking(alive, 'layers').length)) return undefined;
  return analysisData({ floatFile: trainedFile ?? floatFile, recipe: lead, inputs, report: all.report, ...all.listen });
}

/** By index; none where nothing asks for them, or there are no data. */
async function measureSensitivities(
  list: readonly AssignedVariant[],
  looked: Awaited<ReturnType<typeof analysisData>>,
  all: Together,
): Promise<ReadonlyMap<number, Sensitivity>> {
  const found = new Map<number, Sensitivity>();
  if (!looked || !asking(list, 'sensitivity').length) return found;
  await all.stage('sensitivity', async () => {
    await all.each(list, (v) =>
      all.lookInto(v, async () => {
        const made = await analyseSensitivity(v, looked, all.listen);
        if (made) found.set(v.index, made);
      }),
    );
    return [undefined, all.about([...found.values()].map(sensitivityText))];
  });
  return found;
}

async function refineAll(
  list: readonly AssignedVariant[],
  moments: ReturnType<typeof batchNormMoments>,
  { inputs, sources }: Front,
  all: Together,
): Promise<RefinedVariant[]> {
  const cached = async (some: readonly RefinedVariant[]): Promise<RefinedVariant[]> =>
    all.each(some, (v) => withCaches(v, { inputs, report: all.report, ...all.listen }));
  // what is chosen while it is written needs no stage
  const asked = asking(list, 'weights').filter((v) => [...v.assigned.params.values()].some((p) => !p.later));
  if (!asked.length) return cached(list.map(asRounded));
  const made = await all.stage('weights', async () => {
    const how = { moments, inputs, contentSha256: () => sources.contentSha256(), report: all.report, ...all.listen };
    const done = await all.each(asked, async (v) =>
      v.prepared.format.plan === 'coded'
        ? encodeVariant(v, how)
        : correctLowRank(await refineVariant(v, (own, from) => chooseWeights(own, from, how)), how),
    );
    return [done.map((d) => d.refined), all.about(done.map((d) => d.line))];
  });
  return cached(all.alive(list).map((v) => made.find((m) => m.index === v.index) ?? asRounded(v)));
}

async function writeAll(list: readonly TrainedVariant[], front: Front, all: Together): Promise<WrittenVariant[]> {
  return all.stage('quantize', async () => {
    const { lead, inputs } = front;
    const done = await all.each(list, (v) => writeVariant(v, () => sampleFeed(lead, inputs)));
    const written = await all.each(
      done.map((d) => d.written),
      async (v) => ({ ...v, saturation: await saturationOf(v, front, all) }),
    );
    return [written, all.about(done.map((d) => d.line))];
  });
}

/** With the verdict of the recipe's gate, where it has one. */
const judged = (record: RunRecord, { recipe: { gate }, plugins }: ResolvedRecipe): RunRecord =>
  gate && asksOfGate(record, gate, plugins.gates)
    ? { ...record, gate: judgeRun(record, gate, undefined, plugins.gates) }
    : record;

/** Such as `12 × weights dtype int8, 8 × weights dtype int4 · sizeRatio 0.199 of 0.2`. */
function mixedText({ choices, layers, budget, spent, limit }: MixedFacts): string {
  return (
    `${choices.map((c, i) => `${layers.filter((l) => l.chosen === i).length} × ${c}`).join(', ')} · ${budget} ` +
    `${Number(spent.toPrecision(4))} of ${limit}`
  );
}
