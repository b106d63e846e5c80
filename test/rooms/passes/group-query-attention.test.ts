/** Attention over a cache as exporters spell it: what is fused gives the same, with and without a past. */
import { describe, expect, it } from 'vitest';
import type { Feed, FeedTensor } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { fuseGroupQueryAttention } from '../../../src/passes/fuse-group-query-attention.js';
import { createRng } from '../../../src/base/rng.js';
import { evaluateModel, openModel } from '../../../src/runtime/open.js';

/** Four heads on two of keys and values, of eight numbers. */
const REPEAT = (x: string): string =>
  `${x}u = Unsqueeze(present_${x}, two) ${x}e = Expand(${x}u, repeats) ${x}r = Reshape(${x}e, all_heads)`;
const TILE = (x: string): string =>
  `${x}u = Unsqueeze(present_${x}, two) ${x}e = Tile(${x}u, twice) ${x}r = Reshape(${x}e, all_heads)`;
const CAUSAL = `ms = Shape(attention_mask) total = Gather(ms, one_) is = Shape(n) queries = Gather(is, one_)
  before = Sub(total, queries) qs = Range(before, total, one_) ks = Range(zero_, total, one_) queries_u = Unsqueeze(qs, one)
  keys_u = Unsqueeze(ks, zero) seen = LessOrEqual(keys_u, queries_u) mu = Unsqueeze(attention_mask, axes) mb = Cast<to = 9>(mu) ok = And(seen, mb)`;
const ADDED = `${CAUSAL} mask = Where(ok, nothing, low)`;

interface Spelling {
  readonly repeat?: (x: string) => string;
  readonly mask?: string;
  readonly scores?: string;
  readonly softmax?: string;
}
const text = ({ repeat = REPEAT, mask = ADDED, scores, softmax }: Spelling = {}): string => `
<ir_version: 10, opset_import: ["" : 17]>
g (float[B,S,32] n, int64[B,T] attention_mask, float[B,2,P,8] past_k, float[B,2,P,8] past_v) => (float[B,S,32] y, float[B,2,T,8] present_k, float[B,2,T,8] present_v)
<float[32,32] wq, float[32,16] wk, float[32,16] wv, float[32,32] wo, int64[4] q_heads = {0,0,4,8}, int64[4] kv_heads = {0,0,2,8},
 int64[1] two = {2}, int64[5] repeats = {1,1,2,1,1}, int64[5] twice = {1,1,2,1,1}, int64[4] all_heads = {0,4,-1,8}, int64[3] join = {0,0,32},
 int64 one_ = {1}, int64 zero_ = {0}, int64[1] one = {1}, int64[1] zero = {0}, int64[2] axes = {1,2},
 float[1] nothing = {0}, float[1] low = {-1e9}, float root = {0.35355339}, float[4,1,1] each = {0.3,0.4,0.5,0.6}> {
 ${mask}
 q0 = MatMul(n, wq) k0 = MatMul(n, wk) v0 = MatMul(n, wv) q1 = Reshape(q0, q_heads) k1 = Reshape(k0, kv_heads) v1 = Reshape(v0, kv_heads)
 q = Transpose<perm = [0,2,1,3]>(q1) k = Transpose<perm = [0,2,1,3]>(k1) v = Transpose<perm = [0,2,1,3]>(v1)
 present_k = Concat<axis = 2>(past_k, k) present_v = Concat<axis = -2>(past_v, v)
 ${repeat('k')} ${repeat('v')} kt = Transpose<perm = [0,1,3,2]>(kr)
 ${scores ?? 's = MatMul(q, kt) s1 = Mul(s, root)'} ${softmax ?? 's2 = Add(s1, mask) p = Softmax<axis = -1>(s2)'}
 o = MatMul(p, vr) ot = Transpose<perm = [0,2,1,3]>(o) oj = Reshape(ot, join) y = MatMul(oj, wo) }`;

function load(spelling?: Spelling): Model {
  const model = parseModel(text(spelling), { randomInitializers: 3 });
  inferShapes(model);
  return model;
}
async function fuse(model: Model): Promise<{ changes: number; refused: string[] }> {
  const refused: string[] = [];
  const { changes } = await fuseGroupQueryAttention.run({
    model,
    evaluate: evaluateModel,
    refuse: (_rule, _node, reason) => refused.push(reason),
    report: () => undefined,
  });
  return { changes, refused };
}
function feed(batch: number, queries: number, past: number, masked = 0): Feed {
  const rng = createRng(queries * 10 + past);
  const f32 = (dims: readonly number[]): FeedTensor => ({
    dtype: 'float32',
    dims,
    data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => rng.normal()),
  });
  const total = queries + past;
  const ones = Array.from({ length: batch * total }, (_, i) => (i >= batch * total - masked ? 0n : 1n));
  return {
    n: f32([batch, queries, 32]),
    attention_mask: { dtype: 'int64', dims: [batch, total], data: BigInt64Array.from(ones) },
    past_k: f32([batch, 2, past, 8]),
    past_v: f32([batch, 2, past, 8]),
  };
}
async function outputs(model: Model, given: Feed): Promise<Record<string, Float32Array>> {
  const session = await openModel(model);
  try {
    const out = await session.run(given);
    return Object.fromEntries(Object.entries(out).map(([name, t]) => [name, t.data as Float32Array]));
  } finally {
    await session.close();
  }
}
const near = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((x, i) => Math.abs(x - (b[i] ?? NaN)) / (1 + Math.abs(x))));

describe('attention over a cache', () => {
  it.each<[string, Spelling]>([
    ['heads by Expand, a mask that is added', {}],
    ['heads by Tile', { repeat: TILE }],
    ['scaled queries', { scores: 'qq = Mul(q, root) s1 = MatMul(qq, kt)' }],
    ['scaled keys', { scores: 'kk = Mul(kt, root) s1 = MatMul(q, kk)' }],
    ['divided scores', { scores: 's = MatMul(q, kt) s1 = Div(s, root)' }],
    [
      'weights without NaN',
      { softmax: 's2 = Add(s1, mask) p0 = Softmax<axis = -1>(s2) nan = IsNaN(p0) p = Where(nan, nothing, p0)' },
    ],
    ['a mask that chooses', { mask: CAUSAL, softmax: 's2 = Where(ok, s1, low) p = Softmax<axis = -1>(s2)' }],
  ])('%s', async (_what, spelling) => {
    const [model, plain] = [load(spelling), load(spelling)];
    expect(await fuse(model)).toEqual({ changes: 1, refused: [] });
    const ops = model.graph.topological().map((n) => n.op);
    expect(ops.filter((op) => op === 'GroupQueryAttention' || op === 'Softmax')).toEqual(['GroupQueryAttention']);
    for (const given of [feed(1, 5, 0), feed(2, 1, 4), feed(1, 3, 6)]) {
      const [a, b] = [await outputs(plain, given), await outputs(model, given)];
      expect(Object.keys(b)).toEqual(['y', 'present_k', 'present_v']);
      expect(near(a.present_k!, b.present_k!)).toBe(0);
      expect(near(a.present_v!, b.present_v!)).toBe(0);
      expect(near(a.y!, b.y!)).toBeLessThan(2e-5);
    }
    // rows that are padded at the end: what their tokens give
    const given = feed(2, 4, 0, 1);
    const [a, b] = [await outputs(plain, given), await outputs(model, given)];
    expect(near(a.y!.subarray(0, 7 * 32), b.y!.subarray(0, 7 * 32))).toBeLessThan(2e-5);
    expect(await fuse(model)).toEqual({ changes: 0, refused: [] });
  });

  const scores = 'scores are not scaled and masked so that queries see what comes before them';
  it.each<[string, Spelling, string]>([
    ['queries that see what comes after them', { softmax: 'p = Softmax<axis = -1>(s1)' }, scores],
    ['a mask that hides little', { mask: ADDED.replace('low)', 'root)') }, scores],
    ['a scale for each head', { scores: 's = MatMul(q, kt) s1 = Mul(s, each)' }, scores],
    [
      'heads in turns',
      { repeat: (x) => `${x}r = Concat<axis = 1>(present_${x}, present_${x})` },
      'keys are not those of the cache, each for some heads',
    ],
  ])('stays as it is: %s', async (_what, spelling, why) => {
    const model = load(spelling);
    expect(await fuse(model)).toEqual({ changes: 0, refused: [why] });
  });

  it('stays as it is where the cache is no output', async () => {
    const model = load();
    model.graph.removeOutput(1);
    expect(await fuse(model)).toEqual({ changes: 0, refused: [] });
  });
});
