/** From a model file to a smaller one with the same outputs: load, rewrite, compare in onnxruntime, save. */
import { item } from '../base/lists.js';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { requireTemporaryFolder } from '../base/environment-errors.js';
import { fail, nearest, type Diagnostic } from '../base/errors.js';
import { refuseOverwriting } from '../base/outputs.js';
import { countNodes } from '../ir/count.js';
import { Node, type Value } from '../ir/graph.js';
import { allGraphs, nameMaker, type Model } from '../ir/model.js';
import { inlineFunctions } from '../ir/inline.js';
import type { Tensor } from '../ir/tensor.js';
import { assertValid } from '../ir/verify.js';
import { loadModel, saveModel, type SavedFile } from '../onnx/files.js';
import { comparedIntegers } from '../ops/compared.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import { everyPass, optimizing, type OptimizeLevel } from '../passes/presets.js';
import { builtIn, type Plugins } from '../recipe/plugins.js';
import { runPasses, type Pass, type PassTrace } from '../rewrite/pass.js';
import { evaluateModel, openModel } from '../runtime/open.js';
import { probeModels } from '../runtime/probe.js';
import { Session, type SessionOptions } from '../runtime/session.js';
import { refuse } from '../pipeline/first-look.js';
import { fedInputs } from '../pipeline/inputs.js';
import { dataFiles } from '../pipeline/sources.js';
import { compareOnRandomFeeds, type Agreement, type Comparison } from './same-outputs.js';

/** Rounds until nothing changes; a pass that undoes another would go on for ever. */
const MAX_ROUNDS = 30;
/** Initializers need not be inputs since this IR version; before, that says nothing about whether callers feed them. */
const IR_WITH_DEFAULTS = 4;

/** For a few runs it does not pay to pack weights for the processor. */
const CHECK: SessionOptions = { optimization: 'disabled', config: { 'session.disable_prepacking': '1' } };

export interface OptimizeOptions {
  readonly level: OptimizeLevel;
  /** Only these passes, in the order of the lists; all of the level where absent. */
  readonly passes?: readonly string[] | undefined;
  readonly skip?: readonly string[] | undefined;
  /** A target whose operators beyond the standard may be built; only standard ones where absent. */
  readonly target?: string | undefined;
  /**
   * Adds passes and targets to those that may be named; its passes run after those of the level. Default: built-in
   * ones.
   */
  readonly plugins?: Pick<Plugins, 'passes' | 'targets'> | undefined;
  readonly report?: ((d: Diagnostic) => void) | undefined;
}
export interface OptimizedFile {
  /** Nodes in all graphs, Constants not counted. */
  readonly nodes: { readonly before: number; readonly after: number };
  /** Of the standard domain; undefined where the model has none. */
  readonly opset: { readonly before: number | undefined; readonly after: number | undefined };
  readonly traces: readonly PassTrace[];
  readonly agreement: Agreement;
  readonly files: readonly SavedFile[];
}

/**
 * The passes that options ask for. Throws USAGE for a name that no pass or target has, and for a pass that builds what
 * the target lacks.
 */
export function choosePasses({
  level,
  passes,
  skip = [],
  target,
  plugins = builtIn,
}: OptimizeOptions): readonly Pass[] {
  const { passes: all, targets } = plugins;
  const names = (list: readonly { readonly name: string }[]): string => list.map((x) => x.name).join(', ');
  for (const name of [...(passes ?? []), ...skip]) {
    if (all.some((p) => p.name === name)) continue;
    const near = nearest(
      name,
      all.map((p) => p.name),
    );
    fail('USAGE', `"${name}" is not a pass.${near ? ` Did you mean "${near}"?` : ''}`, {}, `passes: ${names(all)}`);
  }
  const chosen = targets.find((t) => t.name === target);
  if (target !== undefined && !chosen) fail('USAGE', `"${target}" is not a target`, {}, `targets: ${names(targets)}`);
  const own = new Set(chosen?.ownOps.map((o) => o.op));
  const runs = (p: Pass): boolean => p.needs === undefined || own.has(p.needs);
  const beyond = passes && all.find((p) => passes.includes(p.name) && !runs(p));
  if (beyond) {
    const lacks = target === undefined ? '' : ` and which ${target} does not have`;
    const having = targets.filter((t) => t.ownOps.some((o) => o.op === beyond.needs));
    const message = `pass "${beyond.name}" builds ${beyond.needs}, which is no standard operator${lacks}`;
    fail('USAGE', message, {}, `targets that have it: ${names(having)}`);
  }
  const added = all.filter((p) => !everyPass.includes(p));
  const listed = passes ? all.filter((p) => passes.includes(p.name)) : [...optimizing[level], ...added];
  return listed.filter((p) => runs(p) && !skip.includes(p.name));
}

/**
 * Rewrites a model in place until its passes find nothing more; the second run changes nothing. Model-local functions
 * are inlined. Initializers that are inputs too stay what callers may override, unless lift-initializers runs, or the
 * IR version is so old that every initializer is an input. Throws what passes throw, and USAGE.
 */
export async function optimizeGraph(model: Model, options: OptimizeOptions): Promise<PassTrace[]> {
  const passes = choosePasses(options);
  inlineFunctions(model);
  const old = model.irVersion < IR_WITH_DEFAULTS;
  const lift = everyPass.filter(
    (p) =>
      p.name === 'lift-initializers' &&
      old &&
      !passes.includes(p) &&
      !options.passes &&
      !options.skip?.includes(p.name),
  );
  const all = [...lift, ...passes];
  const restore = all.some((p) => p.name === 'lift-initializers') ? undefined : hideDefaults(model);
  inferShapes(model);
  const traces = await runPasses(model, all, {
    evaluate: evaluateModel,
    rounds: MAX_ROUNDS,
    ...(options.report ? { report: options.report } : {}),
  });
  restore?.();
  keepNode(model);
  assertValid(model);
  return traces;
}

/**
 * A graph of no nodes is a model that nobody reads, we neither: an Identity stays for what gives its inputs or
 * constants back.
 */
function keepNode(model: Model): void {
  const { graph } = model;
  const [output] = graph.outputs;
  if (graph.nodes.size || !output) return;
  const free = nameMaker(graph);
  const name = output.name;
  // its name is taken: the copy has no user
  if (graph.isInput(output)) {
    graph.add(new Node('Identity', [output], [free(`${name}_copy`)]));
    return;
  }
  const copy = item(graph.add(new Node('Identity', [output], [name])).outputs, 0); // made with one output
  output.name = free(`${name}_constant`);
  copy.dtype = output.dtype;
  copy.shape = output.shape;
  for (const [i, o] of graph.outputs.entries()) if (o === output) graph.setOutput(i, copy);
}

/** Takes the data of inputs with defaults away, so that no pass takes them for constants; gives what puts them back. */
function hideDefaults(model: Model): () => void {
  const hidden: { readonly value: Value; readonly data: Tensor; readonly initializers: Set<Value> }[] = [];
  for (const graph of allGraphs(model.graph)) {
    for (const value of graph.inputs) {
      if (!value.data || !graph.initializers.delete(value)) continue;
      hidden.push({ value, data: value.data, initializers: graph.initializers });
      value.data = undefined;
    }
  }
  return () => {
    for (const { value, data, initializers } of hidden) {
      value.data = data;
      initializers.add(value);
    }
  };
}

/**
 * Optimizes the model in `file` and saves it as `out`. onnxruntime must load both and give equal outputs on random
 * inputs; else nothing is written. Throws OPTIMIZE_VERIFY, MODEL_RUNTIME where the original itself does not run,
 * OUTPUT_WRITE (also where `out` is the model or a data file of it), USAGE, and what loading throws.
 */
export async function optimizeFile(file: string, out: string, options: OptimizeOptions): Promise<OptimizedFile> {
  choosePasses(options); // before anything slow
  const model = loadModel(file);
  refuseOverwriting([out], [file, ...dataFiles(model)]);
  requireTemporaryFolder();
  const before = countNodes(model);
  const opset = model.opsets.get('');
  const choices = comparedIntegers(model.graph);
  const inputs = fedInputs(model);
  const traces = await optimizeGraph(model, options);
  forgetInferred(model); // onnxruntime infers them again; in the file they only cost bytes
  await assertNoCrash(model, file);
  const agreement = await checkOutputs(model, { file, inputs, choices, report: options.report });
  const { files } = saveModel(model, out);
  return {
    nodes: { before, after: countNodes(model) },
    opset: { before: opset, after: model.opsets.get('') },
    traces,
    agreement,
    files,
  };
}

/**
 * Loads both with all optimizations of the runtime, in a process of their own. Throws MODEL_RUNTIME where the model in
 * `file` crashes it, OPTIMIZE_VERIFY where its rewrite does, or no longer loads.
 */
async function assertNoCrash(model: Model, file: string): Promise<void> {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-'));
  try {
    const rewritten = path.join(dir, 'model.onnx');
    saveModel(model, rewritten);
    const [before, after] = (await probeModels([{ file }, { file: rewritten }])).map((p) => p.trouble);
    if (before?.at === 'crash') refuse(file, before);
    const hint =
      'nothing was written; this is a bug in quantbench: please report it with the model. --skip leaves passes out';
    if (after && !before)
      fail(
        'OPTIMIZE_VERIFY',
        `onnxruntime ${after.at === 'crash' ? 'crashes with' : 'does not load'} the optimized model: ${after.message}`,
        { file },
        hint,
      );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/**
 * Runs a model beside the one in `file`, of which it is a rewrite, on random inputs. Throws OPTIMIZE_VERIFY where
 * onnxruntime does not take it or outputs differ, MODEL_RUNTIME where the original does not run.
 */
export async function checkOutputs(model: Model, comparison: Comparison): Promise<Agreement> {
  const { file } = comparison;
  const original = await Session.open(file, CHECK);
  try {
    const optimized = await openModel(model, { ...CHECK, label: 'the optimized model' }).catch((cause: unknown) =>
      fail(
        'OPTIMIZE_VERIFY',
        (cause as Error).message,
        { file },
        'this is a bug in quantbench: please report it with the model; --skip leaves passes out',
        cause,
      ),
    ); // session errors are Errors
    try {
      return await compareOnRandomFeeds(original, optimized, comparison);
    } finally {
      await optimized.close();
    }
  } finally {
    await original.close();
  }
}
