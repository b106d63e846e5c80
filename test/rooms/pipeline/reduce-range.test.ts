import { describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { optimizeModel, planModel } from '../../../src/pipeline/prepare.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import { assignParams } from '../../../src/quantize/assign.js';
import { quantize } from '../../../src/scheme/arithmetic.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';

const [plain, vnni] = [{ arch: 'x64', cpuFeatures: ['avx2'] }, { arch: 'x64', cpuFeatures: ['avx2', 'avx_vnni'] }];
type Weights = NonNullable<NonNullable<RecipeInput['quantize']>['weights']>;

/** Largest magnitude of the weight codes that a plan gives on a CPU. */
async function largestCode(weights: Weights, cpu: { arch: string; cpuFeatures: string[] }): Promise<number> {
  const model = parseModel('<ir_version: 8, opset_import: ["" : 17]>\ng (float[N,6] x) => (float[N,4] y) <float[6,4] w> { y = MatMul(x, w) }', { randomInitializers: 1 });
  const { recipe } = await resolveRecipe({ version: 1, model: 'case.onnx', calibration: { data: { npy: 'x.npy' } }, quantize: { weights } });
  await optimizeModel(model, 'case.onnx', recipe.optimize, () => undefined);
  const { planned } = planModel(model, recipe, () => undefined, cpu);
  const own = new Map([...planned.plan].filter(([p]) => 'uses' in p && p.data));
  const codes = [...assignParams(own, new Map(), () => ({})).params].flatMap(([p, params]) => ('uses' in p && p.data ? [...quantize(p.data.f32(), p.data.dims, params).f64()] : []));
  return Math.max(...codes.map(Math.abs));
}

describe('weights.reduceRange', () => {
  it.each<[Weights, typeof plain, number]>([
    [{}, plain, 127], [{ reduceRange: true }, vnni, 63], [{ reduceRange: 'auto' }, plain, 63], [{ reduceRange: 'auto' }, vnni, 127], [{ reduceRange: 'auto' }, { arch: 'arm64', cpuFeatures: ['neon'] }, 127],
    [{ reduceRange: true, bits: 5 }, plain, 15], [{ reduceRange: true, dtype: 'int4' }, plain, 8],
  ])('%j on %j: codes up to %i', async (weights, cpu, most) => {
    expect(await largestCode(weights, cpu)).toBe(most);
  });
});
