import { describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { optimizeModel, planModel } from '../../../src/pipeline/prepare.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import { assignParams } from '../../../src/quantize/assign.js';
import { weightCodes } from '../../../src/scheme/arithmetic.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';

type Weights = NonNullable<NonNullable<RecipeInput['quantize']>['weights']>;
const TEXT =
  '<ir_version: 8, opset_import: ["" : 17]>\ng (float[N,6] x) => (float[N,4] y) <float[6,4] w> { y = MatMul(x, w) }';

/** Weight codes [6,4] that a plan gives, without looking at any activation. */
async function codesOf(weights: Weights, target = 'onnxruntime-cpu'): Promise<number[]> {
  const model = parseModel(TEXT, { randomInitializers: 1 });
  const data = { npy: 'x.npy' };
  const { recipe } = await resolveRecipe({
    version: 1,
    model: 'case.onnx',
    target,
    calibration: { data },
    quantize: { weights },
  });
  await optimizeModel(model, 'case.onnx', recipe.optimize, () => undefined);
  const { planned } = planModel(model, recipe, () => undefined);
  const plan = new Map([...planned.plan].filter(([p]) => 'uses' in p && p.data));
  const { params } = assignParams({ ...planned, plan }, new Map(), () => ({}));
  return [...params].flatMap(([p, own]) => ('uses' in p && p.data ? [...weightCodes(p.data, own).f64()] : []));
}
const largest = (codes: readonly number[]): number => Math.max(...codes.map(Math.abs));
/** Largest sum of two rows of one sign, from the first row on. */
const widest = (codes: readonly number[]): number =>
  Math.max(
    ...codes.map((a, i) => {
      const b = codes[i + 4];
      return Math.floor(i / 4) % 2 === 0 && b !== undefined && a * b > 0 ? Math.abs(a + b) : 0;
    }),
  );

describe('weights.saturation', () => {
  it.each<[Weights, number]>([
    [{ saturation: 'allow' }, 127],
    [{ saturation: 'reduce' }, 63],
    [{ reduceRange: true }, 63],
    [{ saturation: 'reduce', bits: 5 }, 15],
    [{ saturation: 'reduce', dtype: 'int4' }, 8],
  ])('%j: codes up to %i', async (weights, most) => {
    expect(largest(await codesOf(weights))).toBe(most);
  });

  it.each<Weights>([{}, { saturation: 'safe' }, { reduceRange: 'auto' }, { reduceRange: false }])(
    '%j: no pair of rows is beyond 128, and codes are not 7 bits',
    async (weights) => {
      const codes = await codesOf(weights);
      expect(widest(await codesOf({ saturation: 'allow' }))).toBeGreaterThan(128);
      expect(widest(codes)).toBeLessThanOrEqual(128);
      expect(largest(codes)).toBeGreaterThan(100);
    },
  );

  it('asymmetric int8 weights are safe too: the zero point moves with the scale', async () => {
    expect(widest(await codesOf({ symmetric: false, saturation: 'allow' }))).toBeGreaterThan(128);
    expect(widest(await codesOf({ symmetric: false }))).toBeLessThanOrEqual(128);
  });

  it('a target whose CPUs have VNNI takes all codes', async () => {
    expect(await codesOf({}, 'onnxruntime-cpu-vnni')).toEqual(await codesOf({ saturation: 'allow' }));
  });

  it('refuses the old name beside the new one', async () => {
    await expect(codesOf({ saturation: 'safe', reduceRange: true })).rejects.toMatchObject({ code: 'RECIPE_INVALID' });
  });
});
