/**
 * Whole blocks as exporters write them, at the aggressive level: what is left, that outputs stay, and that a second run
 * changes nothing.
 */
import { describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { countNodes } from '../../../src/ir/count.js';
import { optimizeGraph } from '../../../src/standalone/optimize.js';
import { difference } from '../../../src/standalone/same-outputs.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { openModel } from '../../../src/runtime/open.js';

const HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n';
const WEIGHTS =
  'float[16,16] wq, float[16,16] wk, float[16,16] wv, float[16,16] wo, int64[4] heads = {0,0,2,8}, int64[3] ' +
  'join = {0,0,16}, float root = {2.828427}';
const PROJECT = `q0 = MatMul(n, wq) k0 = MatMul(n, wk) v0 = MatMul(n, wv) q1 = Reshape(q0, heads) k1 = Reshape(k0, heads) v1 = Reshape(v0, heads)
 q = Transpose<perm = [0,2,1,3]>(q1) k = Transpose<perm = [0,2,1,3]>(k1) v = Transpose<perm = [0,2,1,3]>(v1)`;
const ATTEND =
  's1 = Div(s, root) s2 = Add(s1, mask) p = Softmax<axis = -1>(s2) o = MatMul(p, v) ot = Transpose<perm = ' +
  '[0,2,1,3]>(o) oj = Reshape(ot, join) y = MatMul(oj, wo)';
const half = (x: string): string =>
  `${x}a = Mul(${x}, cos) ${x}l = Slice(${x}, zero, four, last) ${x}h = Slice(${x}, four, end, last) ${x}n = ` +
  `Neg(${x}h) ${x}c = Concat<axis = -1>(${x}n, ${x}l) ${x}b = Mul(${x}c, sin) ${x}r = Add(${x}a, ${x}b)`;

const BERT = `${HEAD}g (float[N,S,16] n, bool[N,S] seen) => (float[N,S,16] y) <${
  WEIGHTS
}, float one = {1}, float low = {-3.4028235e38}, int64[2] axes = {1,2}> {
 m0 = Cast<to = 1>(seen) m1 = Unsqueeze(m0, axes) m2 = Sub(one, m1) mask = Mul(m2, low) ${
   PROJECT
 } kt = Transpose<perm = [0,1,3,2]>(k) s = MatMul(q, kt) ${ATTEND} }`;
const LLAMA = `${HEAD}g (float[N,S,16] n, int64[N,S] position, float[N,1,S,S] mask) => (float[N,S,16] y) <${
  WEIGHTS
}, float[1,4,1] rate, int64[1] one = {1}, int64[1] zero = {0}, int64[1] four = {4}, int64[1] end = {9223372036854775807}, int64[1] last = {3}> {
 ${
   PROJECT
 } pu = Unsqueeze(position, one) pf = Cast<to = 1>(pu) f0 = MatMul(rate, pf) f = Transpose<perm = [0,2,1]>(f0) w = Concat<axis = -1>(f, f) c0 = Cos(w) s0 = Sin(w) cos = Unsqueeze(c0, one) sin = Unsqueeze(s0, one)
 ${half('q')} ${half('k')} kt = Transpose<perm = [0,1,3,2]>(kr) s = MatMul(qr, kt) ${ATTEND} }`;

const ops = (model: Model): string[] => model.graph.topological().map((n) => n.op);
async function outputs(model: Model, seed = 1) {
  const session = await openModel(model, { optimization: 'disabled' });
  try {
    return await session.run(randomFeed(session.inputs, seed, 3));
  } finally {
    await session.close();
  }
}

describe.each([
  ['BERT', BERT, 12],
  ['LLaMA', LLAMA, 14],
])('attention of %s', (_name, text, most) => {
  it('becomes the standard operator on whole widths, with the same outputs', async () => {
    const model = parseModel(text, { randomInitializers: 1 });
    await optimizeGraph(model, { level: 'aggressive' });
    expect(model.opsets.get('')).toBe(23);
    expect(ops(model).filter((op) => op === 'Attention' || op === 'Softmax')).toEqual(['Attention']);
    expect(ops(model).filter((op) => op === 'RotaryEmbedding')).toHaveLength(text === LLAMA ? 2 : 0);
    expect(countNodes(model)).toBeLessThanOrEqual(most);
    expect(
      difference(await outputs(parseModel(text, { randomInitializers: 1 })), await outputs(model)).error,
    ).toBeLessThanOrEqual(1e-5);
    const before = ops(model);
    await optimizeGraph(model, { level: 'aggressive' });
    expect(ops(model)).toEqual(before);
  });
  it('stays as it is at the default level: MatMul has integer kernels', async () => {
    const model = parseModel(text, { randomInitializers: 1 });
    await optimizeGraph(model, { level: 'default' });
    expect(ops(model)).toContain('Softmax');
    expect(ops(model)).not.toContain('Attention');
  });
});

describe('a query that sees no key', () => {
  it('gets the mean of the values, as Softmax of equal scores gives it', async () => {
    const model = parseModel(BERT, { randomInitializers: 1 });
    await optimizeGraph(model, { level: 'aggressive' });
    const feed = {
      n: {
        dtype: 'float32' as const,
        dims: [1, 2, 16],
        data: Float32Array.from({ length: 32 }, (_, i) => Math.sin(i)),
      },
      seen: { dtype: 'bool' as const, dims: [1, 2], data: new Uint8Array(2) },
    };
    const run = async (m: Model) => {
      const session = await openModel(m, { optimization: 'disabled' });
      try {
        return await session.run(feed);
      } finally {
        await session.close();
      }
    };
    expect(
      difference(await run(parseModel(BERT, { randomInitializers: 1 })), await run(model)).error,
    ).toBeLessThanOrEqual(1e-5);
  });
});
