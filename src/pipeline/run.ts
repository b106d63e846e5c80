/**
 * The story of a run: recipe → model → passes → plan → statistics → parameters → rewrite → verify → measure → record.
 * Recipes that differ only in how they quantize run together: what they share is done once.
 */
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail, QuantError, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { groupBy } from '../base/group.js';
import { bytesText, countText } from '../base/text.js';
import { version } from '../base/version.js';
import type { TensorStats } from '../calibrate/types.js';
import { countNodes } from '../ir/count.js';
import type { Model, Value } from '../ir/graph.js';
import { judgeRun } from '../gate/index.js';
import { checkFiles } from '../recipe/files.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { pluginKey } from '../recipe/plugins.js';
import type { CalibrationFacts, MixedFacts, NodeFacts, RunRecord } from '../record/index.js';
import { environment } from '../runtime/environment.js';
import { inspectOptimized } from '../runtime/inspect-optimized.js';
import { batchNormMoments } from '../channels/moments.js';
import { adjustKey } from './adjust-key.js';
import { adjustModel, chooseWeights } from './adjust.js';
import { analyseKernels, analyseLayers, analyseSensitivity, analysisData } from './analysis.js';
import { calibratePlans, exampleFeed, firstFeed, inputInfo } from './calibration.js';
import { calibrationFindings } from './calibration-findings.js';
import { chosenMetrics, evaluateAll, timeAll, type Checked, type SearchOnly } from './check.js';
import { macsByNode, modelFacts } from '../facts/model.js';
import { modelClasses, withClasses } from './classes.js';
import { atBatch, randomFeed } from './feeds.js';
import { atBatchOfOne, lookAtFloat } from './first-look.js';
import { lookAhead, startMetrics } from './look-ahead.js';
import { spendBudget } from './mixed.js';
import { checkOutputs } from './overwriting.js';
import { withoutGain } from './gain.js';
import { loadFloatModel, optimizeModel, passesFor } from './prepare.js';
import { tellOfSaturation } from './saturation.js';
import { bytesOnDisk, watchSources } from './sources.js';
import { createStages } from './stage-clock.js';
import { asksOf, has, stagesTogether, type StageName } from './stages.js';
import { Variant } from './variant.js';

export interface RunListener {
  readonly onEvent?: OnEvent;
  readonly signal?: AbortSignal;
  /** Turns a record into further files of its output folder (report.md, report.html). */
  readonly render?: (record: RunRecord) => Readonly<Record<string, string>>;
  /** Adds to a record what the run itself does not know, before it is rendered. */
  readonly complete?: (record: RunRecord) => RunRecord;
}
export interface RunOptions extends RunListener {
  readonly recipe: ResolvedRecipe;
  /** Receives model.onnx and, through the caller, the reports. Created where it does not exist. */
  readonly outDir: string;
  /** Stops after planning: nothing is measured or written. */
  readonly dryRun?: boolean;
}
export interface RunsOptions extends RunListener {
  /** At least one; all of the same {@link frontOf}. */
  readonly runs: readonly { readonly recipe: ResolvedRecipe; readonly outDir: string }[];
  readonly title: string;
  readonly dryRun?: boolean;
  /** Whether layers, sensitivity and kernels are looked into, where the recipe asks for it. Default: true. */
  readonly detail?: boolean;
  /** Whether a recipe that fails is left out and told of, instead of stopping all. */
  readonly keepGoing?: boolean;
  /** Evaluates on the search part of the samples alone. */
  readonly searchOnly?: SearchOnly;
  /** The caller has looked at the float model with {@link lookAtFloat}. */
  readonly lookedAt?: boolean;
}
export type RunResult =
  | { readonly outDir: string; readonly record: RunRecord; readonly error?: undefined }
  | { readonly outDir: string; readonly error: QuantError };

/**
 * Quantizes a model as a recipe says and verifies the result. The output folder gets model.onnx (external data beside
 * it where needed), run.json and what `render` makes; a run that fails leaves the folder's earlier files as they were.
 * Throws QuantError.
 */
export async function runRecipe({ recipe, outDir, ...o }: RunOptions): Promise<{ record: RunRecord; outDir: string }> {
  const [result] = await runRecipes({ ...o, runs: [{ recipe, outDir }], title: recipe.name });
  if (!result || result.error) throw result?.error ?? new Error('no result'); // without keepGoing it has thrown
  return result;
}

/** What recipes must have in common to run together. */
export function frontOf({ recipe: r, baseDir, plugins }: ResolvedRecipe): string {
  return JSON.stringify([
    r.model && path.resolve(baseDir, r.model),
    baseDir,
    r.optimize,
    adjustKey(r),
    r.calibration,
    r.evaluation,
    r.target,
    pluginKey(plugins),
  ]);
}

/** Runs recipes that share a model, its data and the target, each into its own folder. See {@link runRecipe}. */
export async function runRecipes(o: RunsOptions): Promise<RunResult[]> {
  let lead = o.runs[0]!.recipe; // at least one
  const startedAt = new Date();
  const diagnostics: Diagnostic[] = [];
  // Whatever a stage finds belongs into the records, whoever listens.
  const onEvent: OnEvent = (e) => {
    if (e.type === 'diagnostic') diagnostics.push(e.diagnostic);
    o.onEvent?.(e);
  };
  const report = (diagnostic: Diagnostic): void => onEvent({ type: 'diagnostic', diagnostic });
  // Before a budget is spent, which changes what a recipe asks for.
  const asked = o.runs.map((r) => asksOf(r.recipe.recipe, o.detail));
  const { stage, stages } = createStages(onEvent, o.signal, stagesTogether(asked));
  const runs =
    (name: StageName) =>
    (v: Variant): boolean => {
      const asks = asked[variants.indexOf(v)];
      return asks !== undefined && has(asks, name);
    };

  const listen = { onEvent, ...(o.signal ? { signal: o.signal } : {}) };

  if (!lead.recipe.model)
    fail(
      'RECIPE_INVALID',
      'the recipe names no model',
      lead.file ? { file: lead.file } : {},
      'set model: in the recipe or pass --model',
    );
  const floatFile = path.resolve(lead.baseDir, lead.recipe.model);
  if (!o.dryRun) {
    checkOutputs(o.runs); // what would be lost is told before what is missing
    checkFiles(lead);
  }
  const sources = watchSources(floatFile);
  const model = loadFloatModel(floatFile);
  sources.add(model);
  if (!o.dryRun) checkOutputs(o.runs, model);
  const inputs = inputInfo(model).filter((i) => !model.graph.inputs.find((v) => v.name === i.name)?.data);
  const original = modelFacts(
    model,
    path.basename(floatFile),
    bytesOnDisk(floatFile, model),
    sources.sha256,
    undefined,
  );
  onEvent({
    type: 'start',
    title:
      `${o.title} · ${path.basename(floatFile)} (${opsetText(model)}, ${countText(original.parameters)} ` +
      `parameters, ${bytesText(original.bytes)}) → ${lead.recipe.target}`,
  });

  const one =
    !o.dryRun &&
    !o.lookedAt &&
    (await lookAtFloat({ file: floatFile, recipe: lead, inputs, report, signal: o.signal }));
  if (one) lead = atBatchOfOne(lead);
  // Loads the user's own metrics before the work, so that a mistake in them is told at once; so with classes.
  const scores = { metadata: model.metadata, outputs: model.graph.outputs, metrics: await chosenMetrics(lead) };
  startMetrics(lead, scores);
  lead = await withClasses(lead, {
    ...scores,
    report: (d) => {
      if (!o.lookedAt) report(d);
    },
  });
  if (!o.dryRun && !o.lookedAt) await lookAhead(lead, inputs, scores, asked, o.signal);
  const { recipe } = lead;
  const variants = o.runs.map(
    (r) =>
      new Variant(one ? atBatchOfOne(r.recipe) : r.recipe, r.outDir, (diagnostic) =>
        o.onEvent?.({ type: 'diagnostic', diagnostic }),
      ),
  );
  const alive = (): Variant[] => variants.filter((v) => !v.error);
  const attempt = async <T>(v: Variant, step: () => T | Promise<T>): Promise<T | undefined> => {
    await nextTurn(); // much of a step blocks the thread: signals and timers get their turn here
    o.signal?.throwIfAborted();
    try {
      return await step();
    } catch (error) {
      if (!o.keepGoing || !(error instanceof QuantError)) throw error;
      v.error = error;
      v.report({ severity: 'error', code: error.code, message: `${v.recipe.name}: ${error.message}` });
      return undefined;
    }
  };
  /** What only explains a result must not cost it: a failure is told, and the run goes on. */
  const lookInto = (v: Variant, step: () => Promise<void>): Promise<void> =>
    step().catch((error: unknown) => {
      if (!(error instanceof QuantError) || o.signal?.aborted) throw error;
      v.report({
        severity: 'warning',
        code: 'ANALYSIS_FAILED',
        message: `an analysis was left out: ${error.message}`,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
    });
  /** One line about all: that of the only one, or how many. */
  const about = (lines: readonly string[]): string =>
    variants.length === 1 ? (lines[0] ?? '') : `${lines.length} of ${variants.length} recipes`;

  const moments = batchNormMoments(model);
  const traces = await stage('optimise', async () => {
    const done = await optimizeModel(model, floatFile, recipe.optimize, report, passesFor(lead));
    return [done, `${original.nodes} → ${countNodes(model)} nodes (Constants not counted)`];
  });
  for (const named of recipe.adjust)
    await stage(named.name, async () => [
      undefined,
      await adjustModel(model, named, { moments, recipe: lead, inputs, report, ...listen }),
    ]);
  const budgets = o.dryRun ? [] : variants.filter(runs('budget'));
  if (budgets.length) {
    await stage('budget', async () => {
      for (const v of budgets)
        await attempt(v, async () => {
          const { recipe: made, facts } = await spendBudget({
            recipe: v.recipe,
            model,
            floatFile,
            contentSha256: () => sources.contentSha256(),
            inputs,
            report,
            ...listen,
          });
          v.recipe = made;
          v.measured.mixed = facts;
        });
      return [undefined, about(budgets.flatMap((v) => (v.measured.mixed ? [mixedText(v.measured.mixed)] : [])))];
    });
  }
  const macs = await stage('plan', async () => {
    const example = await exampleFeed(lead, inputs);
    for (const v of alive()) await attempt(v, () => v.plan(model, (m) => macsByNode(m, example)));
    return [
      [...macsByNode(model, example).values()].reduce((n, x) => n + x, 0),
      about(alive().map((v) => planText(v.nodes, v.bodies))),
    ];
  });
  const float = { ...original, macs };
  let calibration: Omit<CalibrationFacts, 'observer'> | undefined;
  const recordOf = (v: Variant): RunRecord =>
    v.record({
      schema: 1,
      quantbench: version,
      startedAt: startedAt.toISOString(),
      durationMs: Date.now() - startedAt.getTime(),
      outcome: 'ok',
      environment: environment(),
      stages: stages(),
      float,
      calibration,
      diagnostics,
      passes: traces.map(({ pass, changes, nodesBefore, nodesAfter }) => ({ pass, changes, nodesBefore, nodesAfter })),
    });
  const results = (give: (v: Variant) => RunRecord): RunResult[] =>
    variants.map((v) => (v.error ? { outDir: v.outDir, error: v.error } : { outDir: v.outDir, record: give(v) }));
  if (o.dryRun) return results(recordOf);

  try {
    // before the work: a folder that cannot be written is told at once
    for (const v of alive()) await attempt(v, () => v.stage());
    const stats = new Map<Variant, ReadonlyMap<Value, TensorStats>>();
    const statics = alive().filter(runs('calibrate'));
    let samples: readonly { id: string; hash: string }[] = [];
    if (statics.length) {
      calibration = await stage('calibrate', async () => {
        let facts: Awaited<ReturnType<typeof calibratePlans>>['facts'] | undefined;
        // Copies of one opset have the same tensors.
        for (const same of groupBy(statics, (v) => v.model.opsets.get('')).values()) {
          const c = await calibratePlans({
            model: same[0]!.model,
            contentSha256: () => sources.contentSha256(),
            plans: same.map((v) => ({
              planned: v.prepared.planned,
              observerOptions: v.recipe.recipe.quantize.activations.observer,
            })),
            recipe: lead,
            report,
            ...listen,
          }); // groups are not empty
          same.forEach((v, i) => {
            stats.set(v, c.stats[i]!);
            v.observer = v.recipe.recipe.quantize.activations.observer.name;
          }); // one for each plan
          if (!facts) for (const d of calibrationFindings(c.stats[0] ?? new Map(), c.facts.samples)) report(d);
          facts ??= c.facts;
          samples = c.samples;
        }
        const names = [...new Set(statics.map((v) => v.observer!))]; // set above
        return [
          { ...facts!, overlapWithEvaluation: [] },
          `${facts!.samples} samples · ${facts!.tensors} tensors · ` +
            `${names.join(', ')}${facts!.cache === 'hit' ? ' · reused statistics (same model, same data)' : ''}`,
        ]; // at least one group
      });
    }
    const inside =
      o.detail !== false &&
      (recipe.evaluation.profile !== false || alive().some((v) => runs('sensitivity')(v) || runs('layers')(v)));
    const looked = inside ? await analysisData({ floatFile, recipe: lead, inputs, report, ...listen }) : undefined;
    if (looked && alive().some(runs('sensitivity'))) {
      await stage('sensitivity', async () => {
        const lines: string[] = [];
        for (const v of alive())
          await attempt(v, async () => {
            v.assign(stats.get(v) ?? new Map());
            await lookInto(v, async () => {
              lines.push(await analyseSensitivity(v, looked, listen));
            });
          });
        return [undefined, about(lines)];
      });
    }
    for (const v of alive()) await attempt(v, () => v.assign(stats.get(v) ?? new Map()));
    const refined = alive().filter(runs('weights'));
    if (refined.length) {
      await stage('weights', async () => {
        const lines: string[] = [];
        for (const v of refined)
          await attempt(v, async () => {
            lines.push(
              await v.refine((own, reference) => chooseWeights(own, reference, { moments, inputs, report, ...listen })),
            );
          });
        return [undefined, about(lines)];
      });
    }
    await stage('quantize', async () => {
      const lines: string[] = [];
      for (const v of alive())
        await attempt(v, () => {
          lines.push(v.rewrite());
        });
      for (const v of alive())
        if (v.saturating.length)
          await lookInto(v, async () =>
            tellOfSaturation(v, atBatch((await firstFeed(lead, inputs)) ?? randomFeed(inputs, 0), inputs, 1)),
          );
      return [undefined, about(lines)];
    });
    const check = {
      floatFile,
      recipe: lead,
      inputs,
      calibrationSamples: samples,
      report,
      attempt,
      searchOnly: o.searchOnly,
      classNames: modelClasses(scores),
      ...listen,
    };
    const checked: Checked = await stage('evaluate', async () => {
      const c = await evaluateAll(check, alive());
      return [c, c.samples === undefined ? 'loaded and ran' : `${c.samples} samples`];
    });
    if (calibration) calibration = { ...calibration, overlapWithEvaluation: checked.overlap };
    if (looked && alive().some(runs('layers'))) {
      await stage('layers', async () => {
        const lines: string[] = [];
        for (const v of alive())
          await lookInto(v, async () => {
            lines.push(await analyseLayers(v, looked, listen));
          });
        return [undefined, about(lines)];
      });
    }
    await stage('verify', async () => {
      const lines: string[] = [];
      for (const v of alive()) {
        await attempt(v, async () => {
          if (v.prepared.target.host === 'simulated') {
            lines.push(`loads in onnxruntime; kernels of ${v.prepared.target.name} are not known here`);
            return;
          }
          const { kernels, ...runtime } = await inspectOptimized(v.file, v.nodes);
          Object.assign(v.measured, {
            kernels,
            runtime: { ...runtime, ...(v.saturation ? { saturation: v.saturation } : {}) },
          });
          if (o.detail !== false)
            await lookInto(v, () => analyseKernels(v, looked, checked.feed, { inputs, ...listen }));
          lines.push(
            `${(100 * runtime.integerMacsShare).toFixed(1)} % of MACs in integer kernels · ` +
              `${runtime.unfused.length} Q/DQ left unfused`,
          );
        });
      }
      return [undefined, about(lines)];
    });
    if (alive().some(runs('latency'))) {
      await stage('latency', async () => {
        const timed = alive().filter((v) => v.prepared.target.host === 'here');
        if (timed.length) await timeAll(check, timed, checked.feed);
        return [
          undefined,
          about(
            alive().map((v) => {
              const l = v.measured.latency;
              return l
                ? `float ${l.floatMs.p50.toFixed(2)} ms, quantized ${l.quantizedMs.p50.toFixed(2)} ms`
                : 'skipped';
            }),
          ),
        ];
      });
    }
    sources.assertUnchanged();
    const records = new Map<Variant, RunRecord>();
    for (const v of alive()) {
      await attempt(v, () => {
        const measured = recordOf(v);
        const told = withoutGain(measured, v.recipe.recipe.quantize);
        if (told) v.report(told);
        const own = judged(told ? { ...measured, diagnostics: [...measured.diagnostics, told] } : measured, v.recipe);
        const record = o.complete?.(own) ?? own;
        v.publish(record, o.render?.(record) ?? {});
        records.set(v, record);
      });
    }
    return results((v) => records.get(v)!); // those alive have one
  } finally {
    for (const v of variants) v.close();
  }
}

/** With the verdict of the recipe's gate, where it has one. */
const judged = (record: RunRecord, { recipe: { gate }, plugins }: ResolvedRecipe): RunRecord =>
  gate ? { ...record, gate: judgeRun(record, gate, undefined, plugins.gates) } : record;

/** That of the standard domain; where the model has none, of the others. */
const opsetText = ({ opsets }: Model): string =>
  opsets.has('')
    ? `opset ${opsets.get('')}`
    : [...opsets].map(([domain, v]) => `${domain} opset ${v}`).join(', ') || 'no opset';

/** Such as `12 × weights dtype int8, 8 × weights dtype int4 · sizeRatio 0.199 of 0.2`. */
function mixedText({ choices, layers, budget, spent, limit }: MixedFacts): string {
  return (
    `${choices.map((c, i) => `${layers.filter((l) => l.chosen === i).length} × ${c}`).join(', ')} · ${budget} ` +
    `${Number(spent.toPrecision(4))} of ${limit}`
  );
}

/** Such as `15 of 16 Conv, Gemm in integers (99.2 % of MACs)`. */
function planText(nodes: readonly NodeFacts[], bodies: Variant['bodies']): string {
  const compute = nodes.filter((n) => n.macs > 0);
  const integer = compute.filter((n) => n.planned === 'integer');
  const sum = (list: readonly NodeFacts[]): number => list.reduce((n, x) => n + x.macs, 0);
  const share = sum(compute) ? ` (${((100 * sum(integer)) / sum(compute)).toFixed(1)} % of MACs)` : '';
  const inBodies = bodies.all
    ? `${bodies.integer} of ${bodies.all} ${bodies.ops.slice(0, 4).join(', ')} in integers in branches and bodies`
    : '';
  if (!compute.length && inBodies) return inBodies;
  return (
    `${integer.length} of ${compute.length} ${[...new Set(compute.map((n) => n.op))].slice(0, 4).join(', ')} in ` +
    `integers${share}${inBodies ? `; ${inBodies}` : ''}`
  );
}
