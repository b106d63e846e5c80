/** A float model in the form that a runtime loads, without quantization. */
import { fail } from '../base/errors.js';
import { byName } from '../base/lists.js';
import { requireTemporaryFolder } from '../base/environment-errors.js';
import { refuseOverwriting } from '../base/outputs.js';
import { version } from '../base/version.js';
import { formats } from '../formats/index.js';
import { writeModel } from '../formats/write.js';
import type { Feed } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { loadModel, saveModel } from '../onnx/files.js';
import { comparedIntegers } from '../ops/compared.js';
import { forgetInferred } from '../ops/infer.js';
import { assertHolds, modelName, putArtefact } from '../pipeline/emit.js';
import { openFloatModel, type FloatModel } from '../pipeline/float-model.js';
import { OutputFolder, SIMULATED } from '../pipeline/output-folder.js';
import { fedInputs, sessionInputs } from '../pipeline/inputs.js';
import { optimizeModel, passesFor, planModel } from '../pipeline/prepare.js';
import { dataFiles } from '../pipeline/sources.js';
import { resolveRecipe, type ResolvedRecipe } from '../recipe/load.js';
import { unquantized } from '../scheme/quantized.js';
import { EXACT, Session } from '../runtime/session.js';
import type { Precision, StaysFloat, Target } from '../targets/types.js';
import { benchFeed, type BenchFeedOptions } from './bench-feed.js';
import { checkOutputs } from './optimize.js';

export interface ConvertOptions extends Pick<BenchFeedOptions, 'recipe' | 'report'> {
  readonly file: string;
  /** Sizes of inputs by name, given those that the model has. */
  readonly shapes: (inputs: readonly string[]) => NonNullable<BenchFeedOptions['shapes']>;
  readonly target: string;
  readonly precision: Precision;
  readonly outDir: string;
}
export interface Converted {
  readonly target: string;
  readonly precision: Precision;
  /** What the runtime loads, relative to the folder. */
  readonly artefact: string;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  /** What does not run in that precision there, or not there at all. */
  readonly floats: readonly StaysFloat[];
}

/**
 * Writes the model for a runtime. Where that is given ONNX, the result was run beside the original here; files of its
 * own were not: `quantize verify` runs them there. Throws USAGE for a precision that the runtime is not written in,
 * EXPORT_UNSUPPORTED with the nodes that it cannot hold, OPTIMIZE_VERIFY, OUTPUT_WRITE, and what loading throws.
 */
export async function convertModel(o: ConvertOptions): Promise<Converted> {
  const recipe = await resolveRecipe({
    version: 1,
    model: o.file,
    target: o.target,
    quantize: { format: o.precision === 'float16' ? 'float16' : 'float' },
  });
  const target: Target = byName(recipe.plugins.targets, o.target);
  const known =
    target.emitter?.precisions ?? (target.formats.includes('float16') ? ['float32', 'float16'] : ['float32']);
  if (!known.includes(o.precision))
    fail('USAGE', `${target.name} is not written in ${o.precision}`, {}, `--precision ${known.join(' or ')}`);
  const float = openFloatModel(o.file);
  try {
    return await convertFloat(o, float, recipe, target);
  } finally {
    float.close();
  }
}

async function convertFloat(
  o: ConvertOptions,
  { model, file, told }: FloatModel,
  recipe: ResolvedRecipe,
  target: Target,
): Promise<Converted> {
  if (told) o.report(told);
  const name = modelName(o.file);
  const folder = new OutputFolder(o.outDir, target.artefact === 'files' ? SIMULATED : undefined);
  refuseOverwriting([folder.dir], [o.file, ...dataFiles(model)]);
  requireTemporaryFolder();
  const example = await exampleOf(o, file);
  await optimizeModel(model, o.file, recipe.recipe.optimize, o.report, { among: passesFor(recipe), tied: true });
  const graph = unquantized(model);
  folder.take();
  try {
    const { precision } = o;
    const { emitter } = target;
    assertHolds(target, graph);
    const none = async function* (): AsyncGenerator<Feed> {};
    const given = { graph, onnx: model, precision, example, samples: none, latency: new Map<number, number>(), name };
    const emitted = await emitter?.emit(given);
    if (target.artefact === 'onnx') await writeOnnx(model, recipe, { ...o, file }, folder);
    const floats = emitted?.floats ?? [];
    const artefact = putArtefact(folder, { target, name, emitted, floats });
    const files = folder.files().map(({ path, bytes }) => ({ path, bytes }));
    folder.publish({});
    return { target: target.name, precision, artefact, files, floats };
  } finally {
    folder.close();
  }
}

/** Inputs of one run, in the sizes that are given or guessed. */
async function exampleOf(o: ConvertOptions, file: string): Promise<Feed> {
  const session = await Session.open(file, { ...EXACT, spinning: false });
  try {
    const shapes = o.shapes(session.inputs.map((i) => i.name));
    const inputs = sessionInputs(session, loadModel(file));
    return await benchFeed(session, { inputs, batch: 1, shapes, recipe: o.recipe, report: o.report });
  } finally {
    await session.close();
  }
}

/** The cleaned model, in float16 where that is asked, run beside the original. */
async function writeOnnx(model: Model, recipe: ResolvedRecipe, o: ConvertOptions, folder: OutputFolder): Promise<void> {
  let out = model;
  if (o.precision === 'float16') {
    const { planned, target } = planModel(model, recipe.recipe, o.report, recipe.plugins);
    out = writeModel(byName(formats, 'float16'), { ...unquantized(model), planned }, target, o.report).model;
  }
  out.producerName = 'quantbench';
  out.producerVersion = version;
  forgetInferred(out);
  if (o.precision === 'float32')
    await checkOutputs(out, {
      file: o.file,
      inputs: fedInputs(model),
      choices: comparedIntegers(model.graph),
      report: o.report,
    });
  saveModel(out, folder.model);
}
