/** The cache of GroupQueryAttention in integers, as onnxruntime computes with it. */
import { describe, expect, it } from 'vitest';
import { cachesOf, quantizeCaches, type CacheForm } from '../../src/formats/kv-cache.js';
import type { Feed, FeedTensor } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/model.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { openModel } from '../../src/runtime/open.js';
import { worstSqnr } from './quantized.js';

/** Two heads of queries that share one head of keys and values of 16. */
const TEXT = `<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
g (float[1,S,32] q, float[1,S,16] k, float[1,S,16] v, float[1,1,P,16] "past.key", float[1,1,P,16] "past.value", int32[1] last, int32[1] total)
  => (float[1,S,32] y, float[1,1,T,16] "present.key", float[1,1,T,16] "present.value") {
  [att] y, "present.key", "present.value" = com.microsoft.GroupQueryAttention<num_heads=2, kv_num_heads=1>(q, k, v, "past.key", "past.value", last, total) }`;

const float = (dims: readonly number[], at: (i: number) => number): FeedTensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((n, d) => n * d, 1) }, (_, i) => at(i)),
});
const TOKENS = 12;
/** Channel 3 of the keys is twenty times as wide as the others. */
const keys = (i: number): number => Math.sin(i * 2.3) * (i % 16 === 3 ? 20 : 1);
const values = (i: number): number => Math.cos(i * 1.9);
const feed: Feed = {
  q: float([1, TOKENS, 32], (i) => Math.sin(i * 0.7) * 0.2),
  k: float([1, TOKENS, 16], keys),
  v: float([1, TOKENS, 16], values),
  'past.key': float([1, 1, 0, 16], () => 0),
  'past.value': float([1, 1, 0, 16], () => 0),
  last: { dtype: 'int32', dims: [1], data: Int32Array.of(TOKENS - 1) },
  total: { dtype: 'int32', dims: [1], data: Int32Array.of(TOKENS) },
};

async function run(model: Model, given: Feed = feed): Promise<Record<string, FeedTensor>> {
  const session = await openModel(model);
  try {
    return await session.run(given);
  } finally {
    await session.close();
  }
}
const y = (out: Record<string, FeedTensor>) => ({ y: Float64Array.from(out.y!.data as Float32Array) });

/** Scales from the largest values. */
function quantized(form: CacheForm): Model {
  const model = parseModel(TEXT);
  const high = 2 ** (form.bits - 1) - 1;
  const scale = (of: (i: number) => number): Float32Array => {
    const most = Float32Array.from({ length: 16 }, (_, c) =>
      Math.max(...Array.from({ length: TOKENS }, (_, t) => Math.abs(of(t * 16 + c)))),
    );
    return (form.granularity === 'channel' ? most : Float32Array.of(Math.max(...most))).map((m) => m / high);
  };
  const scales = new Map([
    ['past.key', scale(keys)],
    ['past.value', scale(values)],
  ]);
  expect(quantizeCaches(model, scales, form)).toBe(2);
  return model;
}

it('finds the caches of a model', () => {
  expect(cachesOf(parseModel(TEXT))).toEqual([
    { node: 'att', part: 'key', past: 'past.key', present: 'present.key', heads: 1, size: 16 },
    { node: 'att', part: 'value', past: 'past.value', present: 'present.value', heads: 1, size: 16 },
  ]);
  const none = parseModel('<ir_version: 8, opset_import: ["" : 17]>\ng (float[2] x) => (float[2] y) { y = Abs(x) }');
  expect(() => cachesOf(none)).toThrow(/no GroupQueryAttention/);
});

describe.each<[CacheForm, least: number, most: number]>([
  [{ bits: 8, granularity: 'channel' }, 40, 80],
  [{ bits: 8, granularity: 'tensor' }, 20, 45],
  [{ bits: 4, granularity: 'channel' }, 15, 40],
  [{ bits: 4, granularity: 'tensor' }, -10, 25],
])('%o', (form, least, most) => {
  it('attends to what the codes mean', async () => {
    const [exact, made] = [await run(parseModel(TEXT)), await run(quantized(form))];
    const sqnr = worstSqnr(y(exact), y(made));
    expect(sqnr).toBeGreaterThan(least);
    expect(sqnr).toBeLessThan(most);
    expect(made['present.key']!.dtype).toBe(form.bits === 8 ? 'int8' : 'uint8');
    expect(made['present.key']!.dims).toEqual([1, 1, TOKENS, form.bits === 8 ? 16 : 8]);
  });

  it('goes on from the cache of an earlier run', async () => {
    const model = quantized(form);
    const first = await run(model);
    const next: Feed = {
      q: float([1, 1, 32], () => 0.1),
      k: float([1, 1, 16], () => 0.1),
      v: float([1, 1, 16], () => 0.1),
      'past.key': first['present.key']!,
      'past.value': first['present.value']!,
      last: { dtype: 'int32', dims: [1], data: Int32Array.of(TOKENS) },
      total: { dtype: 'int32', dims: [1], data: Int32Array.of(TOKENS + 1) },
    };
    const after = await run(model, next);
    expect(after['present.key']!.dims[2]).toBe(TOKENS + 1);
    const kept = [...(after['present.key']!.data as Int8Array)].slice(0, first['present.key']!.data.length);
    expect(kept).toEqual([...(first['present.key']!.data as Int8Array)]);
  });
});
