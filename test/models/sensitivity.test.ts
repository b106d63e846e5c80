/**
 * The sensitivity ranking of ResNet-20 against the truth: what each layer, quantized alone, costs in top-1 on 2,000
 * images. On the sound model in int8 there is no truth to rank by: on 20,000 labelled images no drop is beyond 0.1
 * points (see bench/sensitivity.mjs, which prints all settings). So it is judged where layers do cost something: on the
 * model with unequal channels.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { measureSensitivity, quantizeOne, type SensitivityOptions } from '../../src/analyse/sensitivity.js';
import { batches, type Batch } from '../../src/data/batch.js';
import { argmax, numbersOf } from '../../src/evaluate/tensors.js';
import { pearsonOf, ranks } from '../../src/evaluate/statistics.js';
import { uniqueLabels } from '../../src/ir/labels.js';
import type { Model } from '../../src/ir/model.js';
import { calibratePlans, openData } from '../../src/pipeline/calibration.js';
import { inputInfo } from '../../src/pipeline/inputs.js';
import { loadFloatModel, optimizeModel, planModel } from '../../src/pipeline/prepare.js';
import { assignParams } from '../../src/quantize/assign.js';
import { loadRecipe } from '../../src/recipe/load.js';
import { openModel } from '../../src/runtime/open.js';

const root = path.join(import.meta.dirname, '..', '..');
const shared = path.join(root, '..', 'shared');
const say = (): void => undefined;

/** A ResNet-20 up to its parameters, 64 calibration images for the ranking, and the test images for the truth. */
async function prepare(...set: string[]): Promise<{ options: SensitivityOptions; test: readonly Batch[] }> {
  const resolved = await loadRecipe(path.join(root, 'recipes', 'cifar10', 'int8-kl.yaml'), {
    set: ['calibration.cache=false', ...set],
  });
  const { recipe } = resolved;
  const file = path.resolve(resolved.baseDir, recipe.model!);
  const model = loadFloatModel(file);
  await optimizeModel(model, file, recipe.optimize, say);
  const { planned, format, target } = planModel(model, recipe, say);
  const {
    stats: [stats],
  } = await calibratePlans({
    model,
    contentSha256: () => '',
    plans: [{ planned, observerOptions: recipe.quantize.activations.observer }],
    recipe: resolved,
    report: say,
  });
  const { params } = assignParams(planned, stats!, (point) => {
    const { name: _name, ...options } =
      recipe.quantize['uses' in point && !point.data ? 'activations' : 'weights'].observer;
    return options;
  });
  const inputs = inputInfo(model);
  const calibration = await openData(recipe.calibration.data!, inputs, resolved, say);
  const evaluation = await openData(recipe.evaluation.data!, inputs, resolved, say);
  const test: Batch[] = [];
  for await (const b of batches(evaluation.samples(), { size: 100, inputs })) test.push(b);
  return {
    test,
    options: {
      model,
      planned,
      params,
      format,
      target,
      threads: 2,
      batches: () => batches(calibration.samples(), { size: 16, inputs }),
    },
  };
}

async function top1(model: Model, test: readonly Batch[]): Promise<number> {
  const session = await openModel(model, { threads: 2 });
  let right = 0;
  let all = 0;
  for (const b of test) {
    const scores = Object.values(await session.run(b.feeds[0]!))[0]!;
    const values = Array.from(numbersOf(scores)!);
    b.samples.forEach((s, i) => {
      all++;
      if (argmax(values.slice(i * 10, (i + 1) * 10)) === s.label) right++;
    });
  }
  await session.close();
  return (100 * right) / all;
}

describe.skipIf(!existsSync(shared))('ResNet-20 (skipped where ../shared is absent)', () => {
  it('in int8: no layer alone costs more than noise, and the ranking takes at most 60 s', async () => {
    const { options, test } = await prepare();
    const s = await measureSensitivity(options);
    expect(s).toMatchObject({ samples: 64, measure: 'kl' });
    expect(s.layers).toHaveLength(20);
    expect(s.ms).toBeLessThan(60_000);
    const worst = [...uniqueLabels(options.model.graph.topological())].find(
      ([, name]) => name === s.layers[0]!.node,
    )![0];
    // three standard errors of a paired drop
    expect((await top1(options.model, test)) - (await top1(quantizeOne(options, worst), test))).toBeLessThan(0.6);
  });

  it.each([
    ['int8', []],
    ['int8 with one scale a tensor', ['quantize.weights.granularity=tensor']],
    ['int4 weights', ['quantize.weights.dtype=int4']],
  ])('with unequal channels, %s: ranks as the true drops do, Spearman at least 0.8', async (_name, set) => {
    const { options, test } = await prepare('model=../../../shared/models/resnet20-cifar10-unequalised.onnx', ...set);
    const { layers, ms } = await measureSensitivity(options);
    expect(ms).toBeLessThan(60_000);
    const names = new Map([...uniqueLabels(options.model.graph.topological())].map(([n, name]) => [name, n]));
    const float = await top1(options.model, test);
    const drops: number[] = [];
    for (const l of layers) drops.push(float - (await top1(quantizeOne(options, names.get(l.node)!), test)));
    expect(Math.max(...drops)).toBeGreaterThan(5);
    expect(
      pearsonOf(ranks(Float64Array.from(layers, (l) => l.score)), ranks(Float64Array.from(drops))),
    ).toBeGreaterThanOrEqual(0.8);
  });
});
