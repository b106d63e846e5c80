/**
 * Format weight-only: what onnxruntime computes is what the reference says the weights are, in every width and
 * operator.
 */
import { describe, expect, it } from 'vitest';
import { weightOnly } from '../../src/formats/weight-only.js';
import { cloneModel } from '../../src/ir/clone.js';
import type { Model } from '../../src/ir/model.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { Tensor } from '../../src/ir/tensor.js';
import { verify } from '../../src/ir/verify.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { randomFeed } from '../../src/pipeline/feeds.js';
import { inputInfo } from '../../src/pipeline/inputs.js';
import { planModel } from '../../src/pipeline/prepare.js';
import { assignParams } from '../../src/quantize/assign.js';
import { resolveRecipe } from '../../src/recipe/load.js';
import type { RecipeInput } from '../../src/recipe/schema.js';
import { fakeQuantize } from '../../src/scheme/arithmetic.js';
import { outputsOf, worstSqnr } from './quantized.js';

type Quantize = NonNullable<RecipeInput['quantize']>;

async function made(
  text: string,
  quantize: Quantize,
  seed = 1,
): Promise<{ model: Model; reference: Model; reasons: string[] }> {
  const model = parseModel(text, { randomInitializers: seed });
  const { recipe } = await resolveRecipe({
    version: 1,
    model: 'x.onnx',
    quantize: { ...quantize, format: 'weight-only' },
  });
  const { planned, target } = planModel(model, recipe, () => undefined);
  const { params } = assignParams(planned, new Map(), () => ({}));
  const { model: reference, values } = cloneModel(model);
  for (const [point, p] of params)
    if ('uses' in point) {
      const v = values.get(point)!;
      v.data = Tensor.f32(fakeQuantize(v.data!.f32(), v.data!.dims, p), v.data!.dims);
    }
  const reasons = [...planned.floatNodes.values()];
  weightOnly.rewrite({ model, planned, params, target, seed: 0 });
  return { model, reference, reasons };
}

/**
 * Products whose rows are no whole number of blocks, a turned Gemm, one with alpha, a table, convolutions of every
 * kind.
 */
const BODY = `<ir_version: 8, opset_import: ["" : 17]>
g (float[3,100] x, int64[2,3] i, float[1,40,6,6] c) => (float[3,24] a, float[3,20] b, float[3,20] d, float[3,20] e, float[2,3,96] t, float[1,24,6,6] f, float[1,40,6,6] h, float[1,8,6,6] k, float[1,10,6,6] l)
  <float[100,24] w1, float[100,20] w2, float[20] b2, float[20,100] w3, float[20] b3, float[100,20] w4, float[3,20] b4, float[64,96] table, float[24,40,3,3] w5, float[40,1,5,5] w6, float[8,20,3,3] w7, float[40,10,3,3] w8> {
  [a] a = MatMul(x, w1)  [b] b = Gemm(x, w2, b2)  [d] d = Gemm<transB=1>(x, w3, b3)  [e] e = Gemm<alpha=0.5, beta=2.0>(x, w4, b4)  [t] t = Gather(table, i)
  [f] f = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(c, w5)  [h] h = Conv<kernel_shape=[5,5], pads=[2,2,2,2], group=40>(c, w6)  [k] k = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=2>(c, w7)
  [l] l = ConvTranspose<kernel_shape=[3,3], pads=[1,1,1,1]>(c, w8) }`;

const TYPES: readonly (readonly [string, Quantize['weights']])[] = [
  ['int8', { dtype: 'int8' }],
  ['uint8 with zero points', { dtype: 'uint8', symmetric: false }],
  ['int4', { dtype: 'int4' }],
  ['uint4 with zero points', { dtype: 'uint4', symmetric: false }],
  ['int4 with zero points', { dtype: 'int4', symmetric: false }],
  ['3 bits of int4', { dtype: 'int4', bits: 3 }],
  ['3 bits of uint4 with zero points', { dtype: 'uint4', bits: 3, symmetric: false }],
  ['5 bits of int8', { dtype: 'int8', bits: 5 }],
  ['6 bits of uint8 with zero points', { dtype: 'uint8', bits: 6, symmetric: false }],
  ['7 bits of int8', { dtype: 'int8', bits: 7 }],
  ['3 bits of uint8', { dtype: 'uint8', bits: 3, symmetric: false }],
  ['int2', { dtype: 'int2' }],
  ['uint2 with zero points', { dtype: 'uint2', symmetric: false }],
];

describe.each(TYPES)('%s', (_name, weights) => {
  it.each([
    ['blocks of 32', { block: 32 }, false],
    ['blocks of 16', { block: 16 }, false],
    ['blocks of 128', { block: 128 }, false],
    ['blocks of 48, which no kernel takes', { block: 48 }, false],
    ['channels', 'channel', false],
    ['one scale', 'tensor', false],
    ['blocks of 32 in standard operators', { block: 32 }, true],
  ] as const)(
    "in %s: as the reference, without onnxruntime's optimizations and with them",
    async (_g, granularity, standardOps) => {
      const q = await made(BODY, { weights: { ...weights, granularity }, standardOps });
      expect(verify(q.model)).toEqual([]);
      const ops = [...q.model.graph.nodes].map((n) => n.op);
      const blocked = !standardOps && typeof granularity === 'object' && granularity.block !== 48;
      expect(ops.filter((op) => op === 'MatMulNBits')).toHaveLength(blocked ? 3 : 0);
      expect(ops.filter((op) => op === 'GatherBlockQuantized')).toHaveLength(blocked ? 1 : 0);
      expect(ops.filter((op) => op === 'DequantizeLinear')).toHaveLength(blocked ? 5 : 9);
      const feed = {
        ...randomFeed(inputInfo(q.reference), 1, 1),
        i: { dtype: 'int64', dims: [2, 3], data: BigInt64Array.of(0n, 5n, 63n, -1n, 7n, 7n) },
      } as const;
      const expected = await outputsOf(q.reference, feed, 'disabled');
      // float32 sums in another order
      expect(worstSqnr(expected, await outputsOf(q.model, feed, 'disabled'))).toBeGreaterThan(100);
      // onnxruntime turns DequantizeLinear and MatMul into MatMulNBits with 8-bit inputs of its own accord.
      expect(worstSqnr(expected, await outputsOf(q.model, feed, 'all'))).toBeGreaterThan(
        standardOps || typeof granularity === 'string' ? 30 : 100,
      );
    },
  );
});

it('accuracyLevel 4 multiplies 8-bit inputs: near the reference, not equal to it', async () => {
  const q = await made(BODY, { weights: { dtype: 'int4', granularity: { block: 32 } }, accuracyLevel: 4 });
  const feed = {
    ...randomFeed(inputInfo(q.reference), 1, 1),
    i: { dtype: 'int64', dims: [2, 3], data: new BigInt64Array(6) },
  } as const;
  expect([...q.model.graph.nodes].filter((n) => n.op === 'MatMulNBits').map((n) => n.int('accuracy_level'))).toEqual([
    4, 4, 4,
  ]);
  expect(
    worstSqnr(await outputsOf(q.reference, feed, 'disabled'), await outputsOf(q.model, feed, 'all')),
  ).toBeGreaterThan(30);
});

it('tables may have a type of their own, or stay', async () => {
  const ops = async (quantize: Quantize) => {
    const { model } = await made(BODY, quantize);
    return [...model.graph.nodes].map((n) =>
      n.op === 'GatherBlockQuantized'
        ? `table of ${n.int('bits')}`
        : n.op === 'MatMulNBits'
          ? `product of ${n.int('bits')}`
          : n.op,
    );
  };
  const mixed = await ops({ weights: { dtype: 'int2', granularity: { block: 32 } }, embeddings: 'int4' });
  expect(mixed).toContain('table of 4');
  expect(mixed).toContain('product of 2');
  expect(await ops({ weights: { dtype: 'int4', granularity: { block: 32 } }, embeddings: false })).toContain('Gather');
});

it('a weight of two products is stored once', async () => {
  const q = await made(
    '<ir_version: 8, opset_import: ["" : 17]>\n' +
      'g (float[2,64] x) => (float[2,64] y) <float[64,64] w> { a = MatMul(x, w)  y = MatMul(a, w) }',
    { weights: { dtype: 'int4', granularity: { block: 32 } } },
  );
  expect([...q.model.graph.initializers].map((v) => v.name)).toEqual(['w_quantized', 'w_scale']);
});

it('says why a weight stays', async () => {
  const { reasons } = await made(
    '<ir_version: 8, opset_import: ["" : 17]>\n' +
      'g (float[2,64] x, float[64,32] v) => (float[2,64] y, float[2,32] z, float[2,4] k, float[2,64] e) ' +
      '<float[64,64] w, float[64,64] u, float[64,4] s> { [y] y = MatMul(x, w)  z = MatMul(x, v)  k = MatMul(x, ' +
      's)  [e] e = MatMul(x, u) }',
    { weights: { dtype: 'int4', granularity: { block: 32 } }, exclude: ['e'] },
  );
  expect(reasons.sort()).toEqual([
    'computes in float from 4-bit weights',
    'excluded by the recipe (e)',
    'its weight has only 256 elements',
    'its weight is not a constant',
  ]);
});

describe('sizes', () => {
  // Bits a weight: its code, a float32 scale and, if asymmetric, a zero point for each block.
  it.each<[string, Quantize['weights'], number]>([
    ['int8', { dtype: 'int8', granularity: { block: 32 } }, 8 + 1],
    ['uint8 with zero points', { dtype: 'uint8', symmetric: false, granularity: { block: 32 } }, 8 + 1 + 8 / 32],
    ['int4', { dtype: 'int4', granularity: { block: 32 } }, 4 + 1],
    ['uint4 with zero points', { dtype: 'uint4', symmetric: false, granularity: { block: 128 } }, 4 + 36 / 128],
    ['3 bits of int8', { dtype: 'int8', bits: 3, granularity: { block: 32 } }, 3 + 1],
    ['5 bits of int8', { dtype: 'int8', bits: 5, granularity: { block: 32 } }, 5 + 1],
    ['int2', { dtype: 'int2', granularity: { block: 64 } }, 2 + 0.5],
    ['uint2 with zero points', { dtype: 'uint2', symmetric: false, granularity: { block: 64 } }, 2 + 34 / 64],
  ])('%s: within 3 %% of codes, scales and zero points, graph counted', async (_name, weights, bits) => {
    for (const standardOps of [false, true]) {
      for (const text of [
        'g (float[N,512] x) => (float[N,512] y) <float[512,512] w> { y = MatMul(x, w) }',
        'g (int64[N] x) => (float[N,512] y) <float[512,512] w> { y = Gather(w, x) }',
        'g (float[N,256,8,8] x) => (float[N,256,6,6] y) <float[256,256,2,2] w> { y = ' +
          'Conv<kernel_shape=[2,2]>(x, w) }',
      ]) {
        const { model } = await made(`<ir_version: 8, opset_import: ["" : 17]>\n${text}`, { weights, standardOps });
        const size = encodeModel(model).length / ((512 * 512 * bits) / 8);
        expect(size, `${text} ${standardOps}`).toBeLessThan(1.03);
        expect(size, `${text} ${standardOps}`).toBeGreaterThan(0.999);
      }
    }
  });
});

it('gives the same bytes twice', async () => {
  const bytes = async () =>
    Buffer.from(
      encodeModel(
        (
          await made(BODY, {
            weights: { dtype: 'uint4', symmetric: false, rounding: 'stochastic', granularity: { block: 32 } },
          })
        ).model,
      ),
    );
  expect(Buffer.compare(await bytes(), await bytes())).toBe(0);
});
