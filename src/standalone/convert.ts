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
import { saveModel } from '../onnx/files.js';
import { forgetInferred } from '../ops/infer.js';
import { assertHolds } from '../pipeline/emit.js';
import { OutputFolder, SIMULATED } from '../pipeline/output-folder.js';
import { loadFloatModel, optimizeModel, passesFor, planModel } from '../pipeline/prepare.js';
import { dataFiles } from '../pipeline/sources.js';
import { resolveRecipe, type ResolvedRecipe } from '../recipe/load.js';
import type { QuantizedGraph } from '../scheme/quantized.js';
import { EXACT, Session } from '../runtime/session.js';
import { readmeOf } from '../targets/shared/readme.js';
import type { Precision, StaysFloat, Target } from '../targets/types.js';
import { benchFeed, type BenchFeedOptions } from './bench-feed.js';
import { checkOutputs } from './optimize.js';
import { comparedIntegers } from '../ops/compared.js';

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
  const settings = { target: o.target, quantize: { format: o.precision === 'float16' ? 'float16' : 'float' } } as const;
  const recipe = o.recipe
    ? { ...o.recipe, recipe: { ...o.recipe.recipe, ...(await resolved(settings)).recipe } }
    : await resolved(settings);
  const target: Target = byName(recipe.plugins.targets, o.target);
  const known =
    target.emitter?.precisions ?? (target.formats.includes('float16') ? ['float32', 'float16'] : ['float32']);
  if (!known.includes(o.precision))
    fail('USAGE', `${target.name} is not written in ${o.precision}`, {}, `--precision ${known.join(' or ')}`);
  const model = loadFloatModel(o.file);
  const name = fileName(o.file);
  const folder = new OutputFolder(o.outDir, target.artefact === 'files' ? SIMULATED : undefined);
  refuseOverwriting([folder.dir], [o.file, ...dataFiles(model)]);
  requireTemporaryFolder();
  const example = await exampleOf(o);
  await optimizeModel(model, o.file, recipe.recipe.optimize, o.report, passesFor(recipe), true);
  const nothing: QuantizedGraph = { model, planned: NOTHING, params: new Map(), seed: 0 };
  folder.take();
  try {
    const { emitter } = target;
    let artefact = folder.name;
    let floats: readonly StaysFloat[] = [];
    if (emitter) {
      assertHolds(target, nothing);
      const none = async function* (): AsyncGenerator<Feed> {};
      const { precision } = o;
      const given = { graph: nothing, onnx: model, precision, example, samples: none, latency: new Map(), name };
      const made = await emitter.emit(given);
      for (const file of made.files) folder.add(file, target.name, 'nested');
      artefact = made.artefact ?? made.files.find((f) => f.role === 'model')?.path ?? folder.name;
      ({ floats } = made);
    }
    if (target.artefact === 'onnx') await writeOnnx(model, recipe, o, folder);
    const readme = readmeOf({ target, model: name, artefact, floats });
    folder.add({ path: 'README.md', role: 'sidecar', data: readme }, target.name, 'nested');
    const files = folder.files().map(({ path, bytes }) => ({ path, bytes }));
    folder.publish({});
    return { target: target.name, precision: o.precision, artefact, files, floats };
  } finally {
    folder.close();
  }
}

const resolved = (settings: Parameters<typeof withBase>[0]): Promise<ResolvedRecipe> =>
  resolveRecipe(withBase(settings));
const withBase = (settings: { readonly target: string; readonly quantize: { readonly format: 'float' | 'float16' } }) =>
  ({ version: 1, model: 'model.onnx', ...settings }) as const;
const NOTHING = {
  plan: new Map(),
  integerNodes: new Set<never>(),
  weightOnlyNodes: new Set<never>(),
  fusedClamps: new Map(),
  floatNodes: new Map(),
};
const fileName = (file: string): string =>
  (file.split(/[\\/]/).at(-1) ?? 'model')
    .replace(/\.(onnx|ort)$/i, '')
    .replace(/[^\w.-]+/g, '-')
    .slice(0, 60) || 'model';

/** Inputs of one run, in the sizes that are given or guessed. */
async function exampleOf(o: ConvertOptions): Promise<Feed> {
  const session = await Session.open(o.file, { ...EXACT, spinning: false });
  try {
    const shapes = o.shapes(session.inputs.map((i) => i.name));
    return await benchFeed(session, { batch: 1, shapes, recipe: o.recipe, report: o.report });
  } finally {
    await session.close();
  }
}

/** The cleaned model, in float16 where that is asked, run beside the original. */
async function writeOnnx(model: Model, recipe: ResolvedRecipe, o: ConvertOptions, folder: OutputFolder): Promise<void> {
  let out = model;
  if (o.precision === 'float16') {
    const { planned, target } = planModel(model, recipe.recipe, o.report, recipe.plugins);
    const graph = { model, planned, params: new Map(), seed: 0 };
    out = writeModel(byName(formats, 'float16'), graph, target, o.report).model;
  }
  out.producerName = 'quantbench';
  out.producerVersion = version;
  forgetInferred(out);
  if (o.precision === 'float32')
    await checkOutputs(out, { file: o.file, choices: comparedIntegers(model.graph), report: o.report });
  saveModel(out, folder.model);
}
