/** The story of a run: recipe → model → passes → plan → statistics → parameters → rewrite → verify → measure → record. */
import { existsSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { sha256File, writeFileAtomic } from '../base/files.js';
import { bytesText, countText } from '../base/text.js';
import { version } from '../base/version.js';
import { assertValid } from '../ir/verify.js';
import type { Model } from '../ir/graph.js';
import { saveModel } from '../onnx/files.js';
import { forgetInferred } from '../ops/infer.js';
import { assignParams } from '../quantize/assign.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { environment } from '../runtime/environment.js';
import { inspectOptimized, type KernelOf } from '../runtime/inspect-optimized.js';
import { calibratePlan, exampleFeed, inputInfo, type Calibrated } from './calibration.js';
import { evaluatePair, timePair, type CheckInput } from './check.js';
import { macsByNode, modelFacts, nodeFacts, pointFacts } from './facts.js';
import { loadFloatModel, optimizeModel, planModel } from './prepare.js';
import type { NodeFacts, RunRecord } from '../record/index.js';
import { watchSources } from './sources.js';
import { createStages } from './stages.js';
import { publish, stagingDir } from './staging.js';

export interface RunOptions {
  readonly recipe: ResolvedRecipe;
  /** Receives model.onnx and, through the caller, the reports. Created where it does not exist. */
  readonly outDir: string;
  /** Stops after planning: nothing is measured or written. */
  readonly dryRun?: boolean;
  readonly onEvent?: OnEvent;
  readonly signal?: AbortSignal;
  /** Turns the record into further files of the output folder (report.md, report.html). */
  readonly render?: (record: RunRecord) => Readonly<Record<string, string>>;
}

/**
 * Quantizes a model as a recipe says and verifies the result. The output folder gets model.onnx (external data beside it
 * where needed), run.json and what `render` makes; a run that fails leaves the folder's earlier files as they were.
 * Throws QuantError.
 */
export async function runRecipe(o: RunOptions): Promise<{ record: RunRecord; outDir: string }> {
  const { recipe } = o.recipe;
  const startedAt = new Date();
  const diagnostics: Diagnostic[] = [];
  // Whatever a stage finds belongs into the record, whoever listens.
  const onEvent: OnEvent = (e) => { if (e.type === 'diagnostic') diagnostics.push(e.diagnostic); o.onEvent?.(e); };
  const report = (diagnostic: Diagnostic): void => onEvent({ type: 'diagnostic', diagnostic });
  const { stage, stages } = createStages(onEvent, o.signal);
  const listen = { onEvent, ...(o.signal ? { signal: o.signal } : {}) };

  if (!recipe.model) fail('RECIPE_INVALID', 'the recipe names no model', o.recipe.file ? { file: o.recipe.file } : {}, 'set model: in the recipe or pass --model');
  const floatFile = path.resolve(o.recipe.baseDir, recipe.model);
  const sources = watchSources(floatFile);
  const model = loadFloatModel(floatFile);
  sources.add(model);
  const inputs = inputInfo(model).filter((i) => !model.graph.inputs.find((v) => v.name === i.name)?.data);
  const original = floatFacts(model, floatFile, sources.sha256);
  onEvent({ type: 'start', title: `${o.recipe.name} · ${path.basename(floatFile)} (opset ${original.opset}, ${countText(original.parameters)} parameters, ${bytesText(original.bytes)}) → ${recipe.target}` });

  const passes = await stage('optimise', async () => {
    const traces = await optimizeModel(model, floatFile, recipe.optimize, report);
    return [traces, `${original.nodes} → ${model.graph.nodes.size} nodes`];
  });
  const { planned, format, target, nodes, macs } = await stage('plan', async () => {
    const prepared = planModel(model, recipe, report);
    const counted = macsByNode(model, await exampleFeed(o.recipe, inputs));
    const facts = nodeFacts(model, prepared.planned, counted);
    return [{ ...prepared, nodes: facts, macs: [...counted.values()].reduce((n, m) => n + m, 0) }, planText(facts)];
  });
  const float = { ...original, macs };
  const record = (more: Partial<RunRecord>): RunRecord => ({
    schema: 1, quantbench: version, startedAt: startedAt.toISOString(), durationMs: Date.now() - startedAt.getTime(), outcome: 'ok',
    recipe: { name: o.recipe.name, ...(o.recipe.file ? { file: path.basename(o.recipe.file) } : {}), resolved: recipe, yaml: o.recipe.yaml },
    environment: environment(), seeds: { calibration: recipe.calibration.seed, rounding: recipe.quantize.seed },
    model: { float }, stages: stages(), passes: passes.map(({ pass, changes, nodesBefore, nodesAfter }) => ({ pass, changes, nodesBefore, nodesAfter })),
    points: pointFacts(planned, new Map(), undefined), nodes: nodes.map(({ outputs: _outputs, constants: _constants, ...n }) => n), diagnostics, files: [], ...more,
  });
  if (o.dryRun) return { record: record({}), outDir: o.outDir };

  const staging = stagingDir(o.outDir); // before the work: a folder that cannot be written is told at once
  try {
    const calibrated: Calibrated | undefined = format.name === 'dynamic' ? undefined : await stage('calibrate', async () => {
      const c = await calibratePlan({ model, contentSha256: () => sources.contentSha256(), planned, recipe: o.recipe, report, ...listen });
      return [c, `${c.facts.samples} samples · ${c.facts.tensors} tensors · ${c.facts.observer}${c.facts.cache === 'hit' ? ' · reused statistics (same model, same data)' : ''}`];
    });
    const stats: Calibrated['stats'] = calibrated?.stats ?? new Map();
    const stagedModel = path.join(staging, 'model.onnx');
    const points = await stage('quantize', () => {
      const assigned = assignParams(planned.plan, stats, (point, observer) => observerOptions(recipe.quantize, 'uses' in point && !point.data ? 'activations' : 'weights', observer));
      assigned.diagnostics.forEach(report);
      const facts = pointFacts(planned, stats, assigned);
      const { changes } = format.rewrite({ model, planned, params: assigned.params, target, seed: recipe.quantize.seed });
      model.producerName = 'quantbench';
      model.producerVersion = version;
      assertValid(model);
      forgetInferred(model); // onnxruntime infers them again; in the file they only cost bytes
      saveModel(model, stagedModel);
      return [facts, `${format.name} form, ${changes} nodes rewritten · ${bytesText(statSync(stagedModel).size)}`];
    });
    const check: CheckInput = { floatFile, quantizedFile: stagedModel, recipe: o.recipe, inputs, calibrationSamples: calibrated?.samples ?? [], report, ...listen };
    const checked = await stage('evaluate', async () => {
      const c = await evaluatePair(check);
      return [c, c.evaluation ? `${c.evaluation.samples} samples` : 'loaded and ran'];
    });
    const { kernels, ...runtime } = await stage('verify', async () => {
      const r = await inspectOptimized(stagedModel, nodes);
      return [r, `${(100 * r.integerMacsShare).toFixed(1)} % of MACs in integer kernels · ${r.unfused.length} Q/DQ left unfused`];
    });
    const latency = recipe.evaluation.latency === false ? undefined : await stage('latency', async () => {
      const l = await timePair(check, checked.feed);
      return [l, l ? `float ${l.floatMs.p50.toFixed(2)} ms, quantized ${l.quantizedMs.p50.toFixed(2)} ms` : 'skipped'];
    });
    sources.assertUnchanged();
    const files = readdirSync(staging).map((name) => ({ path: name, bytes: statSync(path.join(staging, name)).size, sha256: sha256File(path.join(staging, name)) }));
    const quantized = modelFacts(model, 'model.onnx', files.reduce((n, f) => n + f.bytes, 0), files.find((f) => f.path === 'model.onnx')?.sha256 ?? '', float.macs);
    const done = record({
      model: { float, quantized }, stages: stages(), points, runtime, files,
      nodes: nodes.map(({ outputs: _outputs, constants: _constants, ...n }) => withKernel(n, kernels)),
      ...(calibrated ? { calibration: { ...calibrated.facts, overlapWithEvaluation: checked.overlap } } : {}),
      ...(checked.evaluation ? { evaluation: checked.evaluation } : {}),
      ...(latency ? { latency } : {}),
    });
    const texts = { ...o.render?.(done), 'run.json': `${JSON.stringify(done, null, 1)}\n` };
    for (const [name, text] of Object.entries(texts)) writeFileAtomic(path.join(staging, name), text);
    publish(staging, o.outDir, [...files.map((f) => f.path).filter((f) => f !== 'model.onnx'), 'model.onnx', ...Object.keys(texts)]);
    return { record: done, outDir: o.outDir };
  } finally {
    rmSync(staging, { recursive: true, force: true });
    if (existsSync(o.outDir) && !readdirSync(o.outDir).length) rmdirSync(o.outDir); // nothing was made: leave no empty folder behind
  }
}

/** Such as `15 of 16 Conv, Gemm in integers (99.2 % of MACs)`. */
function planText(nodes: readonly NodeFacts[]): string {
  const compute = nodes.filter((n) => n.macs > 0);
  const integer = compute.filter((n) => n.planned === 'integer');
  const sum = (list: readonly NodeFacts[]): number => list.reduce((n, x) => n + x.macs, 0);
  const share = sum(compute) ? ` (${(100 * sum(integer) / sum(compute)).toFixed(1)} % of MACs)` : '';
  return `${integer.length} of ${compute.length} ${[...new Set(compute.map((n) => n.op))].slice(0, 4).join(', ')} in integers${share}`;
}

function floatFacts(model: Model, file: string, sha256: string) {
  return modelFacts(model, path.basename(file), statSync(file).size, sha256, undefined);
}

function withKernel(n: NodeFacts, kernels: readonly KernelOf[]): NodeFacts {
  const found = kernels.find((k) => k.name === n.name);
  return { ...n, ...(found?.kernel !== undefined ? { kernel: found.kernel } : {}), ...(found?.ranInteger !== undefined ? { ranInteger: found.ranInteger } : {}) };
}

/** Options of the observer that a point uses: the recipe gives one observer for activations and one for weights. */
function observerOptions(q: ResolvedRecipe['recipe']['quantize'], role: 'activations' | 'weights', observer: string): unknown {
  const { name, ...options } = q[role].observer;
  return name === observer ? options : {};
}
