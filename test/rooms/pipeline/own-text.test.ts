/** A decoder writes text of its own, from which weights of few bits are calibrated where a recipe names no data. */
import { describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { decoderOf, ownText } from '../../../src/pipeline/own-text.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';

/** Looks a row of logits up for each id, and appends the row to the cache. */
const TEXT = `<ir_version: 8, opset_import: ["" : 17]>
g (int64[B,S] input_ids, int64[B,T] attention_mask, float[B,1,P,8] "past_key_values.0.key") =>
  (float[B,S,8] logits, float[B,1,T,8] "present.0.key") <float[8,8] table, int64[1] axis = {1}> {
  logits = Gather(table, input_ids)
  row = Unsqueeze(logits, axis)
  "present.0.key" = Concat<axis=2>("past_key_values.0.key", row) }`;

/** Each id is followed by the next one, almost surely. */
function counting(): Model {
  const model = parseModel(TEXT, { randomInitializers: 1 });
  const table = [...model.graph.initializers].find((v) => v.name === 'table')!;
  table.data = Tensor.f32(
    Float32Array.from({ length: 64 }, (_, i) => (i % 8 === (Math.floor(i / 8) + 1) % 8 ? 40 : 0)),
    [8, 8],
  );
  return model;
}

describe('ownText', () => {
  it('writes what the model expects, with an empty past in front, and the same for the same seed', async () => {
    const model = counting();
    const decoder = decoderOf(model)!;
    expect(decoder).toMatchObject({ logits: 'logits', vocabulary: 8 });
    expect([...decoder.roles.values()]).toEqual(['tokens', 'mask', 'past']);
    expect([...decoder.caches]).toEqual([['past_key_values.0.key', 'present.0.key']]);
    const write = (seed: number) => ownText(model, decoder, { rows: 10, length: 6, seed, threads: 1 });
    const [feeds, again, other] = [await write(1), await write(1), await write(2)];
    expect(feeds.map((f) => f.input_ids?.dims)).toEqual([
      [8, 6],
      [2, 6],
    ]);
    const ids = [...(feeds[0]!.input_ids!.data as BigInt64Array)].map(Number);
    for (let i = 0; i < ids.length; i++) if (i % 6 > 0) expect(ids[i]).toBe((ids[i - 1]! + 1) % 8);
    expect(new Set(ids.filter((_, i) => i % 6 === 0)).size).toBeGreaterThan(2); // each row begins somewhere else
    expect(feeds[0]!['past_key_values.0.key']!.dims).toEqual([8, 1, 0, 8]);
    expect([...(feeds[0]!.attention_mask!.data as BigInt64Array)]).toEqual(Array(48).fill(1n));
    expect(again).toEqual(feeds);
    expect(other).not.toEqual(feeds);
  });

  it.each([
    ['an input that it does not know', TEXT.replace('attention_mask', 'pixels')],
    ['no output for a past', TEXT.replaceAll('present.0.key', 'state')],
    [
      'no cache',
      'g (int64[B,S] input_ids) => (float[B,S,8] logits) <float[8,8] table> { logits = Gather(table, input_ids) }',
    ],
    ['a vocabulary of unknown size', TEXT.replace('float[B,S,8] logits', 'float[B,S,V] logits')],
  ])('is not tried on a model with %s', (_what, text) => {
    const head = text.startsWith('<') ? '' : '<ir_version: 8, opset_import: ["" : 17]>\n';
    expect(decoderOf(parseModel(head + text, { randomInitializers: 1 }))).toBeUndefined();
  });
});

it('3 bits and fewer are not rounded unless a recipe says so', async () => {
  const method = async (quantize: NonNullable<RecipeInput['quantize']>): Promise<string> =>
    (await resolveRecipe({ version: 1, model: 'x.onnx', quantize })).recipe.quantize.weights.method.name;
  const block = { granularity: { block: 32 } };
  expect(await method({ format: 'weight-only', weights: { dtype: 'uint2', ...block } })).toBe('best');
  expect(await method({ format: 'weight-only', weights: { dtype: 'int8', bits: 3 } })).toBe('best');
  expect(await method({ format: 'weight-only', weights: { dtype: 'uint2', ...block, method: 'round' } })).toBe('round');
  expect(await method({ format: 'weight-only', weights: { dtype: 'uint2', granularity: 'channel' } })).toBe('round');
  expect(await method({ format: 'weight-only', weights: { dtype: 'uint4', ...block } })).toBe('round');
  expect(await method({ format: 'dynamic', weights: { dtype: 'int8', bits: 3 } })).toBe('round');
});
