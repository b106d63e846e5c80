/** Format dynamic on language models: a token with huge activations costs the others nothing. */
import { expect, it } from 'vitest';
import { dynamic } from '../../src/formats/dynamic.js';
import { writeModel } from '../../src/formats/write.js';
import type { Feed } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/model.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { verify } from '../../src/ir/verify.js';
import { planModel } from '../../src/pipeline/prepare.js';
import { assignParams } from '../../src/quantize/assign.js';
import { resolveRecipe } from '../../src/recipe/load.js';
import type { RecipeInput } from '../../src/recipe/schema.js';
import { outputsOf, worstSqnr } from './quantized.js';

/** The states of five tokens, added to what is looked up for them. */
const TEXT = (opset: number): string => `<ir_version: 8, opset_import: ["" : ${opset}]>
g (int64[1,5] ids, float[1,5,64] states) => (float[1,5,64] a, float[1,5,64] b, float[1,5,100] logits)
  <float[100,64] table, float[64,64] w, float[64,64] u, float[64] bias, float[64,100] head> {
  x = Gather(table, ids)  s = Add(x, states)  a = MatMul(s, w)  m = MatMul(s, u)  b = Add(m, bias)  logits = MatMul(s, head) }`;

async function written(text: string, quantize: NonNullable<RecipeInput['quantize']>): Promise<[Model, Model]> {
  const model = parseModel(text, { randomInitializers: 2 });
  const { recipe } = await resolveRecipe({ version: 1, model: 'x.onnx', quantize: { format: 'dynamic', ...quantize } });
  const { planned, target } = planModel(model, recipe, () => undefined);
  const { params } = assignParams(planned, new Map(), () => ({}));
  return [model, writeModel(dynamic, { model, planned, params, seed: 0 }, target).model];
}

/** One token of values a thousand times as large, and one of zeros. */
const feed: Feed = {
  ids: { dtype: 'int64', dims: [1, 5], data: BigInt64Array.of(0n, 3n, 99n, 20n, 3n) },
  states: {
    dtype: 'float32',
    dims: [1, 5, 64],
    data: Float32Array.from({ length: 320 }, (_, i) => Math.sin(i * 1.7) * (i < 64 ? 3000 : 1)),
  },
};
/** Without the huge token. */
const others = (y: Awaited<ReturnType<typeof outputsOf>>): Awaited<ReturnType<typeof outputsOf>> =>
  Object.fromEntries(Object.entries(y).map(([name, data]) => [name, data.slice(data.length / 5)]));

it.each([13, 17, 18, 21])('opset %i: each token has a scale of its own', async (opset) => {
  const [float, rows] = await written(TEXT(opset), {});
  const [, whole] = await written(TEXT(opset), { dynamicRows: false });
  expect(verify(rows)).toEqual([]);
  const ops = (m: Model, op: string): number => [...m.graph.nodes].filter((n) => n.op === op).length;
  expect([ops(rows, 'MatMulInteger'), ops(rows, 'DynamicQuantizeLinear'), ops(rows, 'ReduceMax')]).toEqual([3, 0, 1]);
  expect([ops(whole, 'MatMulInteger'), ops(whole, 'DynamicQuantizeLinear'), ops(whole, 'ReduceMax')]).toEqual([
    3, 1, 0,
  ]);
  const expected = others(await outputsOf(float, feed, 'disabled'));
  for (const optimization of ['disabled', 'all'] as const) {
    expect(worstSqnr(expected, others(await outputsOf(rows, feed, optimization)))).toBeGreaterThan(30);
    expect(worstSqnr(expected, others(await outputsOf(whole, feed, optimization)))).toBeLessThan(10);
  }
});

it('a row of zeros gives zeros, and other models keep one scale', async () => {
  const text = TEXT(17)
    .replace('x = Gather(table, ids)  s = Add(x, states)', 's = Identity(states)')
    .replace('int64[1,5] ids, ', '');
  const [, plain] = await written(text, {});
  expect([...plain.graph.nodes].some((n) => n.op === 'ReduceMax')).toBe(false);
  const [, rows] = await written(text, { dynamicRows: true });
  const zeros: Feed = { states: { dtype: 'float32', dims: [1, 5, 64], data: new Float32Array(320) } };
  const { a } = await outputsOf(rows, zeros, 'all');
  expect([...a!]).toEqual(Array(320).fill(0));
});
