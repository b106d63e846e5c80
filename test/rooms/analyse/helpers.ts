import { parse } from 'yaml';
import type { Diagnostic } from '../../../src/base/errors.js';
import { measureBodies } from '../../../src/calibrate/bodies.js';
import { calibrate } from '../../../src/calibrate/runner.js';
import type { TensorStats } from '../../../src/calibrate/types.js';
import { batches } from '../../../src/data/batch.js';
import type { Batches } from '../../../src/analyse/samples.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed, FeedTensor, Sample } from '../../../src/ir/feed.js';
import type { Value } from '../../../src/ir/graph.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { observedActivations } from '../../../src/pipeline/calibration.js';
import { fedInputs } from '../../../src/pipeline/inputs.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { optimizeModel, planModel, type Prepared } from '../../../src/pipeline/prepare.js';
import { assignParams, observerOf, type Assigned } from '../../../src/quantize/assign.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';

export const f32 = (values: readonly number[], dims: readonly number[] = [1, values.length]): FeedTensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from(values),
});
export const sample = (feed: Feed, id: string): Sample => ({ id, hash: id, feeds: [feed] });

/** A small float model with its plan and parameters, and the samples that calibrated it. */
export interface Case extends Prepared {
  readonly model: Model;
  readonly params: Assigned['params'];
  readonly assigned: Assigned;
  readonly stats: ReadonlyMap<Value, TensorStats>;
  readonly used: readonly Sample[];
  readonly diagnostics: Diagnostic[];
  /** The samples, at most `size` in a batch. */
  batchesOf(size: number): Batches;
}

export const header = '<ir_version: 8, opset_import: ["" : 17]>';

/** Cleans, plans and calibrates a graph in memory; four random samples where none are given. */
export async function prepareText(
  text: string,
  format: string,
  o: { settings?: string; feeds?: readonly Feed[] } = {},
): Promise<Case> {
  const model = parseModel(text, { randomInitializers: 1 });
  const quantize = { ...(o.settings ? (parse(o.settings) as object) : {}), format } as NonNullable<
    RecipeInput['quantize']
  >; // the recipe's own schema checks it
  const { recipe } = await resolveRecipe({
    version: 1,
    model: 'case.onnx',
    calibration: { data: { npy: 'x.npy' } },
    quantize,
  });
  const diagnostics: Diagnostic[] = [];
  const report = (d: Diagnostic): void => {
    diagnostics.push(d);
  };
  await optimizeModel(model, 'case.onnx', recipe.optimize, report);
  const inputs = fedInputs(model);
  const prepared = planModel(model, recipe, report);
  const samples = (o.feeds ?? Array.from({ length: 4 }, (_, i) => randomFeed(inputs, i + 1, 1))).map((feed, i) =>
    sample(feed, String(i)),
  );
  const inMain = new Set([...model.graph.inputs, ...[...model.graph.nodes].flatMap((n) => n.outputs)]);
  const observed = observedActivations(prepared.planned);
  const points = observed
    .filter(([v]) => inMain.has(v))
    .map(([value, spec]) => ({
      value,
      observer: observerOf(spec.observer),
      options: recipe.quantize.activations.observer,
      ...(spec.axis === undefined ? {} : { axis: spec.axis }),
    }));
  const batchesOf =
    (size: number): Batches =>
    () =>
      batches(samples, { size, inputs });
  const stats: ReadonlyMap<Value, TensorStats> =
    prepared.format.plan !== 'static'
      ? new Map()
      : (
          await calibrate({
            model,
            points,
            onNonFinite: 'fail',
            sampling: { maxValuesPerSample: 8192, seed: 0 },
            batches: batchesOf(1),
          })
        ).stats;
  const feeds = async function* (): AsyncGenerator<Feed> {
    for (const x of samples) yield* x.feeds;
    await Promise.resolve();
  };
  const bodies = await measureBodies({
    model,
    values: observed.map(([v]) => v).filter((v) => !inMain.has(v)),
    feeds,
    threads: 1,
    strict: true,
  });
  const assigned = assignParams(
    prepared.planned,
    new Map([...stats, ...bodies]),
    () => recipe.quantize.weights.observer,
  );
  return { ...prepared, model, params: assigned.params, assigned, stats, used: samples, diagnostics, batchesOf };
}

/** The float model from before the rewrite, the quantized model, and where its tensors went. */
export function rewrite(c: Case): {
  float: Model;
  quantized: Model;
  tensors: ReturnType<Case['format']['rewrite']>['tensors'];
} {
  const { model: float } = cloneModel(c.model);
  const { tensors } = c.format.rewrite({
    model: c.model,
    planned: c.planned,
    params: c.params,
    target: c.target,
    seed: 0,
  });
  return { float, quantized: c.model, tensors };
}
