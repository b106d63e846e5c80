/** What an input goes through. Anything but a QuantError that comes out is a finding. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fail, QuantError } from '../../src/base/errors.js';
import { memoryPlan } from '../../src/cost/memory.js';
import { modelCost, sized } from '../../src/cost/nodes.js';
import { openDataset } from '../../src/data/dataset.js';
import { distinguishBodies, type Model } from '../../src/ir/model.js';
import { inlineFunctions } from '../../src/ir/inline.js';
import { printModel } from '../../src/ir/text/print.js';
import { verify } from '../../src/ir/verify.js';
import { decodeModel } from '../../src/onnx/decode.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { decodeTensorFile } from '../../src/onnx/tensor.js';
import { inferShapes } from '../../src/ops/infer.js';
import { cleaning, optimizing } from '../../src/passes/presets.js';
import { feedOf } from '../../src/pipeline/feeds.js';
import { planModel } from '../../src/pipeline/prepare.js';
import { loadRecipes } from '../../src/recipe/load.js';
import { recipeSpec, type RecipeInput } from '../../src/recipe/schema.js';
import { runPasses, type Pass } from '../../src/rewrite/pass.js';
import type { DataCase } from './data.js';

/** An answer that is no QuantError, or one that blames a model which was found valid. */
export class Finding extends Error {
  override readonly name = 'Finding';
}

/** Runs `step`; gives its value, or undefined where it threw a QuantError that is not our own fault. */
async function attempt<T>(step: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof QuantError && error.code !== 'INTERNAL') return undefined;
    throw error;
  }
}

/** Once a model has passed verification, no step of ours may break it. */
async function unbroken<T>(what: string, step: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof QuantError) || error.code === 'INTERNAL') throw error;
    if (/^GRAPH_|^MODEL_FORMAT|^MODEL_EMPTY|^MODEL_TENSOR/.test(error.code))
      throw new Finding(`${what}: ${error.code} ${error.message}`, { cause: error });
    return undefined;
  }
}

const FORMATS: readonly RecipeInput['quantize'][] = [
  { format: 'qdq', activations: { observer: 'minmax' } },
  { format: 'dynamic' },
  { format: 'weight-only', weights: { dtype: 'uint4', bits: 4 } },
  { format: 'float16' },
];
/** A run takes any constant for what onnxruntime computes; here nothing is run. */
const evaluate = (): never => fail('MODEL_RUNTIME', 'constants are not computed here');

/** decode → print → verify → inline → infer → cost → plan → passes → encode → decode. */
export async function runModel(bytes: Uint8Array): Promise<void> {
  const load = (): Model => decodeModel(bytes, { file: 'fuzz.onnx' });
  const model = await attempt(load);
  if (!model) return;
  printModel(model, { maxElements: 16 });
  const sound = verify(model).length === 0;
  const guarded = sound ? unbroken : (_what: string, step: () => unknown) => attempt(step);
  await guarded('encode', () => reread(model));
  const refused = await attempt(() => {
    inlineFunctions(model);
    inferShapes(model);
    return false;
  });
  if (refused === undefined) return;
  await attempt(() => {
    const whole = sized(model, new Map());
    modelCost(whole);
    memoryPlan(whole);
  });
  await guarded('inlined', () => {
    assertSound(model);
    reread(model);
  });
  for (const passes of [cleaning, optimizing.aggressive]) await optimized(load(), passes, guarded);
  for (const quantize of FORMATS) await attempt(() => planned(load(), quantize));
}

function assertSound(model: Model): void {
  const [first] = verify(model);
  if (first) fail('GRAPH_INVALID', first.message, first.where);
}
function reread(model: Model): void {
  if (model.graph.nodes.size === 0 || model.graph.outputs.length === 0) return;
  decodeModel(encodeModel(model));
}

async function optimized(
  model: Model,
  passes: readonly Pass[],
  guarded: (what: string, step: () => unknown) => Promise<unknown>,
): Promise<void> {
  const ready = await attempt(() => {
    inlineFunctions(model);
    inferShapes(model);
    return true;
  });
  if (!ready) return;
  const done = await attempt(async () => {
    await runPasses(model, passes, { evaluate, rounds: 30 });
    return true;
  });
  if (done)
    await guarded('passes', () => {
      assertSound(model);
      reread(model);
    });
}

function planned(model: Model, quantize: RecipeInput['quantize']): void {
  inlineFunctions(model);
  distinguishBodies(model.graph);
  inferShapes(model);
  planModel(
    model,
    recipeSpec.parse({ version: 1, model: 'm.onnx', calibration: { data: { npy: 'x.npy' } }, quantize }),
    () => undefined,
  );
}

/** A recipe as a file: text, schema, filters, defaults, printed again. */
export async function runRecipeText(text: Uint8Array, folder: string): Promise<void> {
  const file = path.join(folder, 'recipe.yaml');
  writeFileSync(file, text);
  await attempt(() => loadRecipes(file));
}

/** Opens data and reads some samples. */
export async function runData({ files, spec, inputs }: DataCase, folder: string): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), bytes);
  }
  await attempt(async () => {
    const dataset = await openDataset(spec, inputs, {
      baseDir: folder,
      seed: 1,
      decodeTensor: (b) => feedOf(decodeTensorFile(b)),
    });
    for await (const sample of dataset.samples({ limit: 4 })) void sample;
  });
}
