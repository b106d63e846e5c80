/** Measured → written for the runtime: files that it loads, how a program does that, and what stays float there. */
import path from 'node:path';
import { item } from '../base/lists.js';
import { fail, type Diagnostic } from '../base/errors.js';
import { bytesText } from '../base/text.js';
import { medianOf, timeModels, timesOf } from '../evaluate/rounds.js';
import { pixelValues } from '../data/preprocess.js';
import type { Feed } from '../ir/feed.js';
import { label } from '../ir/graph.js';
import { lintModel } from '../lint/index.js';
import type { TargetFacts } from '../record/index.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { relativePath } from '../recipe/override.js';
import type { QuantizedGraph } from '../scheme/quantized.js';
import { readmeOf } from '../targets/shared/readme.js';
import type { EmitInput, Emitted, StaysFloat, Target } from '../targets/types.js';
import { calibrationBatches } from './adjust.js';
import { sampleFeed } from './calibration.js';
import { atBatch } from './feeds.js';
import type { Front } from './front.js';
import type { OutputFolder } from './output-folder.js';
import type { Together } from './together.js';
import { layOutVariant } from './layouts.js';
import type { RunsOptions } from './run-options.js';
import { isForRuntime, loadsOther, targetOf } from './target-of.js';
import { graphOf } from './variant/write.js';
import type { MeasuredVariant, PlannedVariant } from './variant/types.js';

/** Throws EXPORT_UNSUPPORTED, before any work, for nodes that the files of a runtime cannot hold. */
export const assertEmits = (v: PlannedVariant): void =>
  assertHolds(targetOf(v.recipe), { model: v.model, planned: v.prepared.planned });

/** The same, for a model that is in no run. */
export function assertHolds(target: Target, graph: Pick<QuantizedGraph, 'model' | 'planned'>): void {
  const refused = target.emitter?.refuses(graph) ?? [];
  const [first] = refused;
  if (!first) return;
  const others = refused.slice(1, 4).map((r) => `'${r.node}' (${r.op}): ${r.because}`);
  const more = refused.length > 4 ? `, and ${refused.length - 4} more` : '';
  fail(
    'EXPORT_UNSUPPORTED',
    `${target.name} cannot hold '${first.node}' (${first.op}): ${first.because}` +
      (others.length ? `; nor ${others.join('; ')}${more}` : ''),
    { node: first.node },
    'run these nodes elsewhere, before or behind the model, or choose a target that reads ONNX',
  );
}

/** Name of a model by its file: letters, digits and . _ - */
export const modelName = (file: string): string =>
  (file.split(/[\\/]/).at(-1) ?? '')
    .replace(/\.(onnx|ort)$/i, '')
    .replace(/[^\w.-]+/g, '-')
    .slice(0, 60) || 'model';

/** Puts what an emitter gave, and README.md, into a folder that was taken. Gives what the runtime loads. */
export function putArtefact(
  folder: OutputFolder,
  {
    target,
    name,
    emitted,
    floats,
  }: { readonly target: Target; readonly name: string } & {
    readonly emitted: Emitted | undefined;
    readonly floats: readonly StaysFloat[];
  },
): string {
  const files = emitted?.files ?? [];
  const artefact = emitted?.artefact ?? files.find((f) => f.role === 'model')?.path ?? folder.name;
  const readme = readmeOf({ target, model: name, artefact, floats, note: emitted?.note });
  for (const file of [...files, { path: 'README.md', role: 'sidecar', data: readme } as const])
    folder.add(file, target.name, 'nested');
  return artefact;
}

/** Which folders a run writes beside its model. A search compares files of runtimes by what they weigh. */
export const writesOf = (
  { searchOnly, layouts }: Pick<RunsOptions, 'searchOnly' | 'layouts'>,
  recipe: ResolvedRecipe,
): { readonly runtime: boolean; readonly layout: boolean } => ({
  runtime: isForRuntime(recipe) && (!searchOnly || loadsOther(targetOf(recipe))),
  layout: !searchOnly && layouts !== false,
});

/** What lies beside the models: files of runtimes, and folders of libraries of language models. */
export async function putOut(
  list: readonly MeasuredVariant[],
  front: Front,
  all: Together,
): Promise<MeasuredVariant[]> {
  const emitted = await emitTogether(list, front, all);
  const asked = all.alive(emitted).filter((v) => v.asks.layout);
  if (!asked.length) return emitted;
  const made = await all.stage('layout', async () => {
    const done = await all.each(asked, (v) => ({ ...v, layout: layOutVariant(v) }));
    return [done, all.about(done.map((v) => `${v.layout.name}: ${v.layout.variants.map((x) => x.file).join(', ')}`))];
  });
  return all.alive(emitted).map((v) => made.find((m) => m.index === v.index) ?? v);
}

/** Writes what each runtime loads into its folder, with what was measured of it. */
async function emitTogether(list: readonly MeasuredVariant[], front: Front, all: Together): Promise<MeasuredVariant[]> {
  const asked = all.alive(list).filter((v) => v.asks.runtime);
  if (!asked.length) return [...list];
  const made = await all.stage('emit', async () => {
    const lines: string[] = [];
    const example = await sampleFeed(front.lead, front.inputs);
    const done = await all.each(asked, async (v) => {
      const target = await emitOne(v, example, front, all);
      lines.push(`${target.artefact} · ${bytesText(v.folder.bytes())}`);
      return { ...v, target };
    });
    return [done, all.about(lines)];
  });
  return all.alive(list).map((v) => made.find((m) => m.index === v.index) ?? v);
}

async function emitOne(v: MeasuredVariant, example: Feed, front: Front, all: Together): Promise<TargetFacts> {
  const target = targetOf(v.recipe);
  const name = modelName(v.recipe.recipe.model ?? '');
  const emitted = await target.emitter?.emit({
    graph: graphOf(v),
    onnx: v.written,
    precision: 'float32',
    example,
    samples: () => samplesOf(v, front, all),
    latency: await timesByBatch(v, target, example, front, all),
    ...pixelsOf(v, front),
    name,
  });
  if (target.artefact === 'onnx') for (const d of lintFindings(v, target)) v.report(d);
  const left = [...v.prepared.planned.floatNodes].map(([n, because]): StaysFloat => ({
    node: label(n),
    op: n.op,
    because,
  }));
  const floats = [...left, ...(emitted?.floats ?? [])];
  return {
    name: target.name,
    hardware: target.hardware,
    runtime: target.host === 'here' ? 'here' : 'elsewhere',
    artefact: putArtefact(v.folder, { target, name, emitted, floats }),
    recipeFolder: relativePath(path.resolve(v.folder.dir), v.recipe.baseDir),
    floats,
  };
}

/** How a server can take pixels, where the recipe says how images are read. */
function pixelsOf({ recipe: { recipe } }: MeasuredVariant, { inputs }: Front): Pick<EmitInput, 'pixels'> {
  const spec = recipe.calibration.data ?? recipe.evaluation.data;
  return spec?.preprocess ? { pixels: pixelValues(spec, inputs) } : {};
}

const MOST_FINDINGS = 20;
/** What the rules of the runtime say of the model, the first of them. */
const lintFindings = (v: MeasuredVariant, target: Target): Diagnostic[] =>
  lintModel(v.written, target)
    .slice(0, MOST_FINDINGS)
    .map((f) => ({
      severity: 'warning',
      code: 'TARGET_LINT',
      message: `${target.name}, rule ${f.rule}: '${f.node}' (${f.op}): ${f.message}`,
      where: { node: f.node },
      hint: `${f.fix} (${f.source})`,
    }));

async function* samplesOf(v: MeasuredVariant, { inputs }: Front, all: Together): AsyncGenerator<Feed> {
  const { calibration } = v.recipe.recipe;
  if (!calibration.data) return;
  const o = { inputs, report: all.report, ...all.listen };
  const batches = calibrationBatches(v.recipe, o, calibration.samples, 'the calibration of the runtime');
  for await (const { samples } of batches) for (const sample of samples) yield* sample.feeds;
}

/** Batches are told apart by much more than a few percent. */
const BATCH_RUNS = 8;
/** Milliseconds by samples in a run, where the emitter asks and the model takes such batches. */
async function timesByBatch(
  v: MeasuredVariant,
  { emitter }: Target,
  example: Feed,
  { inputs }: Front,
  { listen: { signal } }: Together,
): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  const { latency } = v.recipe.recipe.evaluation;
  if (!emitter?.timedBatches || latency === false) return found;
  const fixed = inputs.some((i) => typeof i.shape?.[0] === 'number');
  for (const batch of fixed ? [1] : emitter.timedBatches) {
    const { runs, threads } = latency;
    const how = { feed: atBatch(example, inputs, batch), runs: Math.min(runs, BATCH_RUNS), warmup: 1, threads, signal };
    found.set(batch, medianOf(timesOf(item(await timeModels([v.folder.model], how), 0)))); // of one
  }
  return found;
}
