/** Budgets on the demo. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { afterAll, describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { saveModel } from '../../../src/onnx/files.js';
import { inputInfo } from '../../../src/pipeline/inputs.js';
import { spendBudget } from '../../../src/pipeline/mixed.js';
import { type MixedOptions } from '../../../src/pipeline/mixed-types.js';
import { loadFloatModel, optimizeModel } from '../../../src/pipeline/prepare.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { Recipe } from '../../../src/recipe/schema.js';
import { runRecordSpec } from '../../../src/record/run.js';
import { withBudget } from './budget.js';
import { recipeOf } from './models.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-mixed-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('quantize.budget', () => {
  it('keeps a size, writes what it chose into the resolved recipe, and that gives the same bytes', async () => {
    const recipe = await withBudget('{ sizeRatio: 0.25, samples: 8 }');
    const { record } = await runRecipe({ recipe, outDir: path.join(root, 'size') });
    const { mixed } = record;
    const bytes = statSync(path.join(root, 'size', 'model.onnx')).size;
    expect(bytes / record.model.float.bytes).toBeLessThanOrEqual(0.25);
    expect(mixed!.spent * record.model.float.bytes).toBeCloseTo(bytes, -3); // within 1 kB of what was estimated
    expect(new Set(mixed!.layers.map((l) => l.chosen))).toEqual(new Set([0, 1]));
    for (const l of mixed!.layers) expect(l.cost[1]!).toBeLessThan(l.cost[0]!);
    const resolved = record.recipe.resolved as Recipe; // this version made it
    expect(resolved.quantize.budget).toBeUndefined();
    expect(resolved.quantize.layers).toHaveLength(mixed!.layers.length);
    expect(() => runRecordSpec.parse(JSON.parse(JSON.stringify(record)))).not.toThrow();
    // the schema checks it
    const again = await resolveRecipe(parse(record.recipe.yaml) as never, { baseDir: recipe.baseDir });
    await runRecipe({ recipe: again, outDir: path.join(root, 'again') });
    expect(
      readFileSync(path.join(root, 'again', 'model.onnx')).equals(readFileSync(path.join(root, 'size', 'model.onnx'))),
    ).toBe(true);
  }, 60_000);
  it('leaves layers in float where that buys most: automatic exclusion under bits', async () => {
    const { record } = await runRecipe({
      recipe: await withBudget(
        '{ macBits: 300, samples: 8, choices: [ { weights: { dtype: int8 } }, float ], solver: greedy }',
      ),
      outDir: path.join(root, 'float'),
    });
    const { mixed } = record;
    const floats = mixed!.layers.filter((l) => l.chosen === 1);
    expect(mixed!.spent).toBeLessThanOrEqual(300);
    expect(mixed!.spent).toBeGreaterThan(64); // all of int8
    expect(floats.length).toBeGreaterThan(0);
    for (const l of floats) expect(record.nodes.find((n) => n.name === l.node)?.planned).toBe('float');
  }, 60_000);
  it('says what the smallest is where the budget cannot be kept, and writes nothing', async () => {
    await expect(
      runRecipe({ recipe: await withBudget('{ sizeRatio: 0.05, samples: 4 }'), outDir: path.join(root, 'none') }),
    ).rejects.toMatchObject({
      code: 'RECIPE_INVALID',
      message: expect.stringMatching(
        /sizeRatio 0\.05 cannot be kept: with the cheapest choice for each layer it is 0\.\d+/,
      ),
    });
    expect(() => statSync(path.join(root, 'none', 'model.onnx'))).toThrow();
  }, 60_000);
  it('says so where float keeps the budget', async () => {
    await expect(
      runRecipe({
        recipe: await withBudget('{ macBits: 1100, samples: 4, choices: [ { weights: { dtype: int8 } }, float ] }'),
        outDir: path.join(root, 'all-float'),
      }),
    ).rejects.toMatchObject({ code: 'RECIPE_INVALID', message: expect.stringContaining('with every layer in float') });
  }, 60_000);
  it('asks for exactly one limit', async () => {
    await expect(withBudget('{ sizeRatio: 0.2, macBits: 64 }')).rejects.toMatchObject({
      code: 'RECIPE_INVALID',
      message: expect.stringContaining('exactly one'),
    });
  });
});

describe('quantize.budget.latencyRatio', () => {
  /** Float layers take 10 µs, integer layers 4 µs, and what belongs to no layer 8 µs. */
  const profile: NonNullable<MixedOptions['profile']> = ({ nodes }) => {
    const layers = nodes
      .filter((n) => n.macs > 0)
      .map((n) => ({ node: n.name, op: n.op, floatUs: 10, quantizedUs: 4 }));
    return Promise.resolve({
      runs: 1,
      floatUs: 8 + 10 * layers.length,
      quantizedUs: 8 + 4 * layers.length,
      layers,
      rest: { float: [], quantized: [] },
    });
  };
  async function spend(budget: string): ReturnType<typeof spendBudget> {
    const recipe = await withBudget(budget);
    const floatFile = path.resolve(recipe.baseDir, recipe.recipe.model!); // the recipe names one
    const model = loadFloatModel(floatFile);
    const inputs = inputInfo(model);
    await optimizeModel(model, floatFile, recipe.recipe.optimize, () => undefined);
    return spendBudget({
      recipe,
      model,
      floatFile,
      contentSha256: () => '',
      inputs,
      report: () => undefined,
      onEvent: () => undefined,
      profile,
    });
  }
  const choices = 'choices: [ { weights: { dtype: int8 } }, float ], samples: 8';

  it('leaves in float the layers that lose most, as many as the time allows', async () => {
    const { facts, recipe } = await spend(`{ latencyRatio: 0.6, ${choices} }`);
    const n = facts.layers.length;
    const whole = 8 + 10 * n;
    const most = Math.floor((0.6 * whole - 8 - 4 * n) / 6); // each float layer costs 6 µs more
    const floats = facts.layers.filter((l) => l.chosen === 1);
    expect(floats).toHaveLength(most);
    expect(facts.spent).toBeCloseTo((8 + 4 * n + 6 * most) / whole, 10);
    const loss = (l: (typeof floats)[number]): number => l.loss[0]!; // every layer can be int8
    expect(Math.min(...floats.map(loss))).toBeGreaterThanOrEqual(
      Math.max(...facts.layers.filter((l) => l.chosen === 0).map(loss)),
    );
    expect(recipe.recipe.quantize.exclude).toEqual(floats.map((l) => l.node));
    expect(recipe.recipe.quantize.budget).toBeUndefined();
  }, 60_000);
  it('says how fast the fastest is where the budget cannot be kept', async () => {
    await expect(spend(`{ latencyRatio: 0.3, ${choices} }`)).rejects.toMatchObject({
      code: 'RECIPE_INVALID',
      message: expect.stringMatching(
        /latencyRatio 0\.3 cannot be kept: with the cheapest choice for each layer it is 0\.4\d*$/,
      ),
    });
  }, 60_000);
});

describe('a table that is stored once', () => {
  it('takes one choice with the head that reads it, and counts once', async () => {
    const text = `<ir_version: 8, opset_import: ["" : 21]>
g (int64[B,6] i) => (float[B,6,512] y) <float[512,64] table, float[64,64] w1, float[64,64] w2> {
  x = Gather(table, i)  a = MatMul(x, w1)  b = MatMul(a, w2)  h = Transpose<perm=[1,0]>(table)  y = MatMul(b, h) }`;
    const model = path.join(root, 'tied.onnx');
    saveModel(parseModel(text, { randomInitializers: 5 }), model);
    const ids = BigInt64Array.from({ length: 8 * 6 }, (_, i) => BigInt((i * 37) % 512));
    const header = "{'descr': '<i8', 'fortran_order': False, 'shape': (8, 6), }".padEnd(117) + '\n';
    const npy = path.join(root, 'ids.npy');
    writeFileSync(npy, Buffer.concat([Buffer.from(`\x93NUMPY\x01\0v\0${header}`, 'latin1'), Buffer.from(ids.buffer)]));
    const choices = [{ weights: { dtype: 'uint2' as const } }, { weights: { dtype: 'uint4' as const } }];
    const sizes: number[] = [];
    for (const sizeRatio of [0.105, 0.16]) {
      const recipe = await recipeOf(root, {
        model,
        calibration: { data: { npy } },
        quantize: { format: 'weight-only', budget: { sizeRatio, samples: 8, choices } },
      });
      const { record } = await runRecipe({ recipe, outDir: path.join(root, 'tied') });
      const { layers, spent } = record.mixed!;
      expect(layers.filter((l) => l.others)).toHaveLength(1);
      const bytes = statSync(path.join(root, 'tied', 'model.onnx')).size;
      sizes.push(bytes);
      expect(spent * record.model.float.bytes).toBeCloseTo(bytes, -3); // within 500 bytes
      expect(bytes / record.model.float.bytes).toBeLessThanOrEqual(sizeRatio);
    }
    expect(sizes[1]).toBeGreaterThan(sizes[0]! * 1.3); // the budget is used
  }, 60_000);
});
