/** Language models: the table and the head that reads it backwards keep 8 bits and are stored once. */
import { describe, expect, it } from 'vitest';
import { writeModel } from '../../src/formats/write.js';
import { weightOnly } from '../../src/formats/weight-only.js';
import { cloneModel } from '../../src/ir/clone.js';
import type { Model } from '../../src/ir/model.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { Tensor } from '../../src/ir/tensor.js';
import { verify } from '../../src/ir/verify.js';
import { quantizeLayerwise } from '../../src/codes/run.js';
import { best } from '../../src/codes/best.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { planModel } from '../../src/pipeline/prepare.js';
import { assignParams } from '../../src/quantize/assign.js';
import { resolveRecipe } from '../../src/recipe/load.js';
import type { RecipeInput } from '../../src/recipe/schema.js';
import { fakeQuantize } from '../../src/scheme/arithmetic.js';
import { outputsOf, worstSqnr } from './quantized.js';

type Quantize = NonNullable<RecipeInput['quantize']>;

const MATMUL = `<ir_version: 8, opset_import: ["" : 17]>
g (int64[B,S] ids) => (float[B,S,160] logits) <float[160,64] table, float[64,64] w, float[64,160] head> {
  x = Gather(table, ids)  [up] h = MatMul(x, w)  [head] logits = MatMul(h, head) }`;
const GEMM = `<ir_version: 8, opset_import: ["" : 17]>
g (int64[S] ids) => (float[S,160] logits) <float[160,64] table, float[64,64] w, float[160,64] head> {
  x = Gather(table, ids)  [up] h = MatMul(x, w)  [head] logits = Gemm<transB=1>(h, head) }`;

/** With the numbers of the table in the head, turned where it is a MatMul. */
function tied(text: string, differ = false): Model {
  const model = parseModel(text, { randomInitializers: 5 });
  const of = (name: string) => [...model.graph.initializers].find((v) => v.name === name)!;
  const [table, head] = [of('table').data!.f32(), of('head')];
  const turned = head.data!.dims[0] === 64;
  const values = head.data!.f32().map((_, i) => table[turned ? (i % 160) * 64 + Math.floor(i / 160) : i]!);
  if (differ) values[77] = values[77]! + 1e-3;
  head.data = Tensor.f32(values, head.data!.dims);
  return model;
}

async function written(model: Model, quantize: Quantize): Promise<{ model: Model; reference: Model }> {
  const { recipe } = await resolveRecipe({
    version: 1,
    model: 'x.onnx',
    quantize: { format: 'weight-only', ...quantize },
  });
  const { planned, target } = planModel(model, recipe, () => undefined);
  const { params } = assignParams(planned, new Map(), () => ({}));
  const { model: reference, values } = cloneModel(model);
  for (const [point, p] of params)
    if ('uses' in point) {
      const v = values.get(point)!;
      v.data = Tensor.f32(fakeQuantize(v.data!.f32(), v.data!.dims, p), v.data!.dims);
    }
  return { model: writeModel(weightOnly, { model, planned, params, seed: 0 }, target).model, reference };
}

const feed = (text: string) =>
  ({
    ids: { dtype: 'int64', dims: text === GEMM ? [5] : [1, 5], data: BigInt64Array.of(0n, 3n, 159n, 20n, 3n) },
  }) as const;
const bits = (m: Model): string[] =>
  [...m.graph.nodes].flatMap((n) => (n.attrs.has('bits') ? [`${n.op} ${n.int('bits')}`] : [])).sort();
const bytes = (m: Model): number => encodeModel(m).byteLength;
const W4: Quantize = { weights: { dtype: 'uint4', granularity: { block: 32 } } };

describe.each([
  ['MatMul', MATMUL],
  ['Gemm', GEMM],
])('a head by %s', (_op, text) => {
  it('has the 8-bit codes of the table, once in the file, and computes what they mean', async () => {
    const [once, twice] = [await written(tied(text), W4), await written(tied(text, true), W4)];
    expect(bits(once.model)).toEqual(['GatherBlockQuantized 8', 'MatMulNBits 4', 'MatMulNBits 8']);
    expect(verify(once.model)).toEqual([]);
    // 160 · 64 codes and 160 · 2 scales
    expect(bytes(twice.model) - bytes(once.model)).toBeGreaterThan(160 * 64 + 160 * 2 * 4 - 300);
    for (const optimization of ['disabled', 'all'] as const)
      expect(
        worstSqnr(
          await outputsOf(once.reference, feed(text), 'disabled'),
          await outputsOf(once.model, feed(text), optimization),
        ),
      ).toBeGreaterThan(100);
  });

  it('keeps the floats of the table where neither is quantized', async () => {
    const { model } = await written(tied(text), { ...W4, embeddings: { table: false, head: false } });
    expect(bits(model)).toEqual(['MatMulNBits 4']);
    expect(
      [...model.graph.initializers].filter((v) => v.data?.dtype === 'float32' && v.data.size === 160 * 64),
    ).toHaveLength(1);
    const twice = await written(tied(text, true), { ...W4, embeddings: { table: false, head: false } });
    expect(bytes(twice.model) - bytes(model)).toBeGreaterThan(160 * 64 * 4 - 300);
  });
});

it.each<[string, Quantize, string[]]>([
  [
    'a named type holds for both',
    { ...W4, embeddings: 'uint4' },
    ['GatherBlockQuantized 4', 'MatMulNBits 4', 'MatMulNBits 4'],
  ],
  [
    'apart',
    { ...W4, embeddings: { table: 'uint4', head: 'uint8' } },
    ['GatherBlockQuantized 4', 'MatMulNBits 4', 'MatMulNBits 8'],
  ],
  [
    'a layer of its own',
    { ...W4, layers: [{ match: 'head', weights: { dtype: 'uint2' } }] },
    ['GatherBlockQuantized 8', 'MatMulNBits 2', 'MatMulNBits 4'],
  ],
  ['the head in float', { ...W4, embeddings: { head: false } }, ['GatherBlockQuantized 8', 'MatMulNBits 4']],
])('bits of tables and heads: %s', async (_name, quantize, expected) => {
  expect(bits((await written(tied(MATMUL), quantize)).model)).toEqual(expected);
});

it('chooses the codes of both at once, with few bits', async () => {
  const model = tied(MATMUL);
  const reference = cloneModel(model);
  const { recipe } = await resolveRecipe({
    version: 1,
    model: 'x.onnx',
    quantize: { format: 'weight-only', embeddings: 'uint2', weights: { dtype: 'uint2', granularity: { block: 32 } } },
  });
  const { planned, target } = planModel(model, recipe, () => undefined);
  const { params } = assignParams(planned, new Map(), () => ({}));
  const chosen = await quantizeLayerwise({
    model,
    reference,
    planned,
    params,
    method: best,
    methodOptions: best.options.parse({}),
    damping: 0.01,
    matchFloat: true,
    hasInputs: false,
    correctBias: false,
    correctScale: false,
    feeds: async function* () {
      yield* [];
      await Promise.resolve();
    },
    samples: 0,
    threads: 1,
    report: () => undefined,
  });
  const all = new Map([...params, ...chosen.params]);
  const made = writeModel(weightOnly, { model, planned, params: all, seed: 0 }, target).model;
  expect(bits(made)).toEqual(['GatherBlockQuantized 2', 'MatMulNBits 2', 'MatMulNBits 2']);
  // the model holds what the codes mean
  expect(
    worstSqnr(await outputsOf(model, feed(MATMUL), 'disabled'), await outputsOf(made, feed(MATMUL), 'all')),
  ).toBeGreaterThan(100);
  expect(
    [...made.graph.initializers].filter((v) => v.data?.dtype === 'uint8' && v.data.size === 160 * 16),
  ).toHaveLength(1);
});
