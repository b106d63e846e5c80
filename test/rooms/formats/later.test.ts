/** Weights that are quantized while they are written: the same bytes as those that are quantized before. */
import { describe, expect, it } from 'vitest';
import { blockKernels } from '../../../src/formats/block-kernels.js';
import { writeModel } from '../../../src/formats/write.js';
import { weightOnly } from '../../../src/formats/weight-only.js';
import { halfBits, numberToFloat16 } from '../../../src/ir/convert.js';
import { encodeTensor } from '../../../src/ir/encode.js';
import type { Model } from '../../../src/ir/model.js';
import { readRows, slabsOf, turnedTensor } from '../../../src/ir/rows.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { planModel } from '../../../src/pipeline/prepare.js';
import { assignParams, observerOf } from '../../../src/quantize/assign.js';
import { rowSolver } from '../../../src/quantize/later.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';

const TEXT = `<ir_version: 8, opset_import: ["" : 17]>
g (float[3,100] x, int64[2,3] i) => (float[3,24] a, float[3,20] b, float[3,20] d, float[2,3,96] t)
  <float[100,24] w1, float[100,20] w2, float[20,100] w3, float[64,96] table> {
  [a] a = MatMul(x, w1)  [b] b = Gemm(x, w2)  [d] d = Gemm<transB=1>(x, w3)  [t] t = Gather(table, i) }`;

async function written(model: Model, weights: NonNullable<RecipeInput['quantize']>['weights'], later: boolean) {
  const { recipe } = await resolveRecipe({
    version: 1,
    model: 'x.onnx',
    quantize: { weights: { granularity: { block: 32 }, ...weights }, format: 'weight-only' },
  });
  const { planned, target } = planModel(model, recipe, () => undefined);
  const method = (await import('../../../src/codes/round.js')).round;
  const { params } = assignParams(
    planned,
    new Map(),
    () => ({}),
    undefined,
    (_p, spec) => {
      const g = spec.scheme.granularity;
      if (!later || g.kind !== 'block') return undefined;
      const observer = { by: observerOf(spec.observer), options: {} };
      return rowSolver(spec.scheme, g.size, observer, { by: method, options: {} });
    },
  );
  return writeModel(weightOnly, { model, planned, params, seed: 0 }, target).model;
}
const constants = (model: Model): Record<string, [string, readonly number[], string]> =>
  Object.fromEntries(
    [...model.graph.initializers].map((v) => [
      v.name,
      [v.data!.dtype, v.data!.dims, Buffer.from(v.data!.bytes()).toString('hex')],
    ]),
  );

describe('later', () => {
  it.each([
    [{ dtype: 'int4' }],
    [{ dtype: 'int8' }],
    [{ dtype: 'int2' }],
    [{ dtype: 'uint4', symmetric: false }],
    [{ dtype: 'uint8', symmetric: false }],
    [{ dtype: 'int4', granularity: { block: 16 } }],
    [{ dtype: 'int4', observer: 'mse' }],
  ] as const)('%o: as before', async (weights) => {
    const model = parseModel(TEXT, { randomInitializers: 7 });
    const [before, later] = [await written(model, weights, false), await written(model, weights, true)];
    expect(Object.keys(constants(later)).length).toBeGreaterThan(7);
    expect(constants(later)).toEqual(constants(before));
  });
  it('float16: scales are float16, and codes are of them', async () => {
    const model = parseModel(TEXT.replaceAll('float[', 'float16['), { randomInitializers: 7 });
    const [before, later] = [await written(model, {}, false), await written(model, {}, true)];
    expect([...later.graph.initializers].filter((v) => v.data?.dtype === 'float16').map((v) => v.name)).toHaveLength(4);
    expect(constants(later)).toEqual(constants(before));
  });
  it('a weight that is not finite is told of while it is written', async () => {
    const model = parseModel(TEXT, { randomInitializers: 7 });
    const [w] = [...model.graph.initializers];
    const values = w!.data!.f32().slice();
    values[50] = Infinity;
    w!.data = Tensor.f32(values, w!.data!.dims);
    const made = await written(model, {}, true);
    expect(() => constants(made)).toThrow(/'w1' holds values that are not finite/);
  });
});

describe('rows', () => {
  const values = Float32Array.from({ length: 37 * 41 }, (_, i) => Math.sin(i) * 3);
  it('are read from matrices that lie along, across, or turned, in every type', () => {
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const along = encodeTensor(dtype, [37, 41], values);
      const float = along.f32();
      const across = turnedTensor(along);
      expect(across.dims).toEqual([41, 37]);
      const copy = new Tensor(dtype, across.dims, across.bytes());
      const m = { rows: 37, columns: 41 };
      for (const layout of [
        { ...m, tensor: along, rowStride: 41, columnStride: 1 },
        { ...m, tensor: across, rowStride: 1, columnStride: 37 },
        { ...m, tensor: copy, rowStride: 1, columnStride: 37 },
      ]) {
        expect(readRows(layout, 5, 8)).toEqual(float.slice(5 * 41, 13 * 41));
        expect([...slabsOf(layout, 8)].flatMap((s) => [...s.values])).toEqual([...float]);
        const kernels = blockKernels();
        if (!kernels || dtype === 'bfloat16') continue;
        kernels.read(layout, 5, 9);
        expect(kernels.values(9 * 41)).toEqual(float.slice(5 * 41, 14 * 41));
      }
    }
  });
  it('float16 is rounded as one by one', () => {
    const odd = [
      0,
      -0,
      1,
      65504,
      65519,
      65520,
      -1e9,
      2 ** -24,
      2 ** -25,
      3 * 2 ** -25,
      2 ** -14,
      6.1e-5,
      NaN,
      -Infinity,
    ];
    const all = Float32Array.from([
      ...odd,
      ...Array.from({ length: 2000 }, (_, i) => Math.tan(i) * 2 ** ((i % 60) - 40)),
    ]);
    expect([...halfBits(all)]).toEqual([...all].map(numberToFloat16));
  });
});
