/** A folder for a runtime, run in the runtime itself: accuracy, latency, and which layers compute in integers there. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { sha256File } from '../base/files.js';
import { byName, item } from '../base/lists.js';
import { batches } from '../data/batch.js';
import { compareModels } from '../evaluate/compare.js';
import { latenciesOf } from '../evaluate/latency.js';
import type { Feed, ValueInfo } from '../ir/feed.js';
import { openData } from '../pipeline/calibration.js';
import { chosenMetrics } from '../pipeline/check.js';
import { openFloatModel, type FloatModel } from '../pipeline/float-model.js';
import { randomFeed, resizeBatch } from '../pipeline/feeds.js';
import { sessionInputs } from '../pipeline/inputs.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { NodeFacts, RunRecord, TargetFacts, VerifiedFacts } from '../record/index.js';
import { Foreign, type Evidence } from '../runtime/foreign.js';
import { runtimeVersion, Session } from '../runtime/session.js';
import type { Precision, Target } from '../targets/types.js';
import { convertModel } from './convert.js';

export interface VerifyOptions {
  /** The folder of the run. */
  readonly folder: string;
  readonly record: RunRecord;
  /** Of the run: it names the float model, the data and the metrics. */
  readonly recipe: ResolvedRecipe;
  /** A Python with the packages of the runtime; without one, that of `environments`. */
  readonly python?: string | undefined;
  /** A folder with a virtual environment for each runtime, by its name. */
  readonly environments?: string | undefined;
  readonly samples?: number | undefined;
  readonly threads: number;
  readonly latency: false | { readonly rounds: number; readonly runs: number; readonly warmup: number };
  readonly report: (d: Diagnostic) => void;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Throws USAGE for a run that was written for no runtime, or one without an adapter or a Python;
 * VERIFY_RUNTIME with the
 * runtime's own words; DATA_*; QUANTIZE_* never: what is measured is told.
 */
export async function verifyRun(o: VerifyOptions): Promise<VerifiedFacts> {
  const { record, recipe, folder } = o;
  const facts = record.target ?? fail('USAGE', `'${folder}' holds no model for a runtime`, { file: folder }, MAKE);
  const target: Target = byName(recipe.plugins.targets, facts.name);
  const file = path.join(folder, facts.artefact);
  if (!existsSync(file)) fail('MODEL_MISSING', `'${file}' is not there`, { file }, 'run the recipe again');
  const given = openFloatModel(path.resolve(recipe.baseDir, recipe.recipe.model ?? ''));
  try {
    return await verifyThere(o, given, target, facts.artefact);
  } finally {
    given.close();
  }
}

async function verifyThere(
  o: VerifyOptions,
  given: FloatModel,
  target: Target,
  artefact: string,
): Promise<VerifiedFacts> {
  const { record, folder } = o;
  const float = await Session.open(given.file, { threads: o.threads, spinning: false, label: 'the float model' });
  const there = await openThere(target, path.join(folder, artefact), float, o);
  try {
    const { evaluation, feed } = await evaluate(float, sessionInputs(float, given.model), there, o);
    const evidence = await there.evidence(feed);
    const latency = o.latency ? await there.time(feed, o.latency) : undefined;
    const main = record.files.find((f) => f.path === artefact) ?? record.files.find((f) => f.role !== 'sidecar');
    return {
      runtime: `${target.name} ${there.version()}`,
      at: new Date().toISOString(),
      artefactSha256: main ? sha256File(path.join(folder, main.path)) : '',
      evidence: evidence.how,
      integerLayers: evidence.integer,
      floatLayers: evidence.floats,
      ...shareOf(record.nodes, evidence),
      ...(evaluation ? { evaluation } : {}),
      ...(latency ? { latency } : {}),
    };
  } finally {
    there.close();
    await float.close();
  }
}
const MAKE = 'make one: quantize --recipe R --target openvino --out FOLDER, then quantize verify FOLDER/openvino';

/** The model in its runtime. */
interface There {
  readonly quantized: Parameters<typeof compareModels>[0]['quantized'] & { readonly batch: number | undefined };
  version(): string;
  evidence(feed: Feed): Promise<Evidence>;
  time(feed: Feed, how: Exclude<VerifyOptions['latency'], false>): Promise<VerifiedFacts['latency']>;
  close(): void;
}

async function openThere(target: Target, artefact: string, float: Session, o: VerifyOptions): Promise<There> {
  const { adapter, name } = target;
  if (!adapter || adapter.kind === 'npm')
    return fail(
      'USAGE',
      adapter
        ? `${name} runs in onnxruntime ${runtimeVersion()} here: the run has verified it`
        : `${name} does not run on plain machines: nothing can be verified there`,
      {},
      adapter ? 'quantize evaluate and quantize bench measure it again' : `quantize lint ${artefact} --target ${name}`,
    );
  const here = path.dirname(fileURLToPath(import.meta.url));
  const file = (...parts: string[]): string => path.join(here, '..', 'targets', ...parts);
  const foreign = new Foreign({
    python: pythonOf(name, o),
    program: file('shared', 'adapter.py'),
    adapter: file(name, 'adapter.py'),
    threads: o.threads,
    inputs: float.inputs,
    outputs: float.outputs,
    name,
    packages: adapter.packages,
    signal: o.signal,
  });
  const floatForm = mkdtempSync(path.join(os.tmpdir(), 'quantbench-float-'));
  const close = (): void => {
    foreign.close();
    rmSync(floatForm, { recursive: true, force: true });
  };
  try {
    const quantized = await foreign.open('quantized', artefact);
    return {
      quantized,
      version: () => foreign.version,
      evidence: (feed) => foreign.evidence(feed),
      close,
      async time(feed, how) {
        await foreign.open('float', await floatFor(target, floatForm, o));
        const [quantizedMs = [], floatMs = []] = await foreign.time(['quantized', 'float'], feed, how);
        const settings = { feed, threads: o.threads, warmup: how.warmup, onEvent: o.onEvent };
        return item(latenciesOf(floatMs, [quantizedMs], settings), 0); // of one
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

function pythonOf(name: string, { python, environments }: VerifyOptions): string {
  if (python !== undefined) return python;
  const found = environments === undefined ? undefined : path.join(environments, name, 'bin', 'python');
  if (found !== undefined && existsSync(found)) return found;
  return fail(
    'USAGE',
    found === undefined ? `no Python was given that has ${name}` : `'${found}' is not there`,
    {},
    `--python FILE, or --environments FOLDER with a virtual environment ${name}/ in it (QUANTBENCH_RUNTIMES)`,
  );
}

/** The float model in the form of the runtime. */
async function floatFor(target: Target, outDir: string, o: VerifyOptions): Promise<string> {
  const file = path.resolve(o.recipe.baseDir, o.recipe.recipe.model ?? '');
  const precision: Precision = 'float32';
  if (!target.emitter?.precisions.includes(precision)) return file;
  const { recipe, report } = o;
  const made = await convertModel({
    file,
    target: target.name,
    precision,
    outDir,
    shapes: () => new Map(),
    recipe,
    report,
  });
  return path.join(outDir, made.artefact);
}

/** Accuracy on the evaluation samples, and inputs of one run. */
async function evaluate(
  float: Session,
  inputs: readonly ValueInfo[],
  { quantized }: There,
  o: VerifyOptions,
): Promise<{ readonly evaluation: VerifiedFacts['evaluation']; readonly feed: Feed }> {
  const { evaluation: e, calibration } = o.recipe.recipe;
  const spec = e.data ?? calibration.data;
  if (!spec) return { evaluation: undefined, feed: resizeBatch(randomFeed(inputs, 0), quantized.batch ?? 1) };
  const dataset = await openData(spec, inputs, o.recipe, o.report);
  const limit = o.samples ?? e.samples;
  const size = quantized.batch ?? e.batchSize;
  let feed: Feed | undefined;
  const evaluation = await compareModels({
    float,
    quantized,
    classNames: dataset.classes,
    guessedClasses: dataset.guessedClasses,
    vocabulary: dataset.vocabulary,
    batches: async function* () {
      const samples = dataset.samples({
        ...(limit === undefined ? {} : { limit }),
        ...(o.signal ? { signal: o.signal } : {}),
      });
      for await (const b of batches(samples, { size, inputs, padding: dataset.padding })) {
        feed ??= b.samples[0]?.feeds[0];
        yield b;
      }
    },
    metrics: await chosenMetrics(o.recipe),
    totalSamples: dataset.count === undefined ? limit : Math.min(dataset.count, limit ?? Infinity),
    onEvent: o.onEvent,
    signal: o.signal,
    onDiagnostic: (d) => {
      o.report(d);
    },
  });
  return { evaluation: { ...evaluation, data: dataset.describe }, feed: feed ?? randomFeed(inputs, 0) };
}

/** Integer layers by their work, where each layer of the model is among those of the runtime. */
function shareOf(nodes: readonly NodeFacts[], { integer, floats }: Evidence): { integerMacsShare?: number } {
  const work = nodes.filter((n) => n.macs > 0);
  const named = (rows: readonly string[], n: NodeFacts): boolean =>
    rows.some((r) => r.split(/[\s,:]+/).some((word) => word === n.name || (n.makes ?? []).includes(word)));
  let [all, inIntegers] = [0, 0];
  for (const n of work) {
    const there = named(integer, n);
    if (!there && !named(floats, n)) return {};
    all += n.macs;
    if (there) inIntegers += n.macs;
  }
  return all ? { integerMacsShare: inIntegers / all } : {};
}

/** The record with what was measured there. */
export const withVerified = (record: RunRecord, target: TargetFacts, verified: VerifiedFacts): RunRecord => ({
  ...record,
  target: { ...target, verified },
});
