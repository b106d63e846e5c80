/**
 * What float16 cannot hold, or what the runtime cannot take in it, stays float32: small constants and what they
 * protect, and some Transposes.
 */
import { describe, expect, it } from 'vitest';
import type { Feed } from '../../../src/ir/feed.js';
import { outputsOf, quantizeText, worstSqnr, type Quantized } from '../../conformance/quantized.js';

const net = (body: string, constants = ''): string => `<ir_version: 9, opset_import: ["" : 18]>
g (float[4,16] x) => (float[4,8] y) <float[16,8] w, int64[1] last = {-1}${constants}> { h = MatMul(x, w) ${body} }`;
/** Ordinary rows, one of zeros and one of very small numbers. */
const feed: Feed = {
  x: {
    dtype: 'float32',
    dims: [4, 16],
    data: Float32Array.from({ length: 64 }, (_, i) => (i < 32 ? Math.sin(i + 1) : i < 48 ? 0 : 1e-6 * Math.cos(i))),
  },
};
const both = async (q: Quantized): Promise<[Float64Array, Float64Array]> => [
  (await outputsOf(q.float, feed, 'disabled')).y!,
  (await outputsOf(q.model, feed, 'all')).y!,
]; // the net has a y
const kept = (q: Quantized): string[] =>
  [...q.prepared.planned.floatNodes].filter(([, why]) => why !== 'computes in float16').map(([n]) => n.op);

describe.each([
  ['a norm and Clip', 'n = ReduceL2(h, last) c = Clip(n, e) y = Div(h, c)', ', float e = {1e-12}'],
  ['a norm and Max', 'n = ReduceL2(h, last) c = Max(n, e) y = Div(h, c)', ', float e = {1e-12}'],
  ['a norm and Add', 'n = ReduceL2(h, last) c = Add(n, e) y = Div(h, c)', ', float e = {1e-8}'],
  [
    'an expanded norm',
    'n = ReduceL2(h, last) c = Max(n, e) s = Shape(h) k = Expand(c, s) y = Div(h, k)',
    ', float e = {1e-12}',
  ],
  ['a reciprocal', 'n = ReduceL2(h, last) c = Add(e, n) r = Reciprocal(c) y = Mul(h, r)', ', float e = {1e-10}'],
  [
    'LayerNorm in single operators',
    'm = ReduceMean(h, last) d = Sub(h, m) s = Mul(d, d) v = ReduceMean(s, last) t = Add(v, e) r = Sqrt(t) y = ' +
      'Div(d, r)',
    ', float e = {1e-12}',
  ],
  [
    'a power of −½',
    's = Mul(h, h) v = ReduceMean(s, last) t = Add(v, e) r = Pow(t, p) y = Mul(h, r)',
    ', float e = {1e-9}, float p = {-0.5}',
  ],
  ['a logarithm', 'a = Abs(h) t = Add(a, e) y = Log(t)', ', float e = {1e-10}'],
  ['a logarithm of squares', 's = Mul(h, h) t = Add(s, e) y = Log(t)', ', float e = {1e-10}'],
  ['a logarithm of a clipped number', 'a = Softmax(h) t = Clip(a, e) y = Log(t)', ', float e = {1e-8}'],
  ['a logarithm of a softmax', 'z = Mul(h, k) a = Softmax(z) y = Log(a)', ', float k = {20}'],
  ['a constant divisor', 'k = Mul(h, t) y = Div(k, e)', ', float t = {1e-9}, float e = {1e-9}'],
])('%s', (_name, body, constants) => {
  it('is finite where float is, and near it', async () => {
    const q = await quantizeText(net(body, constants), 'float16');
    const [a, b] = await both(q);
    expect(a.every(Number.isFinite)).toBe(true);
    expect(b.every(Number.isFinite), 'finite').toBe(true);
    expect(worstSqnr({ y: a.subarray(0, 16) }, { y: b.subarray(0, 16) }), 'ordinary rows').toBeGreaterThan(55);
  });
});

it('an epsilon that float16 holds keeps nothing in float32', async () => {
  const q = await quantizeText(
    net('s = Mul(h, h) v = ReduceMean(s, last) t = Add(v, e) r = Sqrt(t) y = Div(h, r)', ', float e = {1e-5}'),
    'float16',
  );
  expect(kept(q)).toEqual([]);
});
it('says which constant is lost', async () => {
  const q = await quantizeText(net('a = Abs(h) [eps] t = Add(a, e) y = Log(t)', ', float e = {1e-10}'), 'float16');
  expect([...q.prepared.planned.floatNodes].find(([n]) => n.name === 'eps')?.[1]).toBe(
    "'e' holds 1e-10, which float16 rounds to 0",
  );
});
it('small weights of products are no reason', async () => {
  const q = await quantizeText(
    net('y = MatMul(h, v)', ', float[8,8] v').replace(
      'float[16,8] w',
      `float[16,8] w = {${Array.from({ length: 128 }, (_, i) => (i % 2 ? '1e-9' : '0.5')).join(', ')}}`,
    ),
    'float16',
  );
  expect(kept(q)).toEqual([]);
});
it('a root that calibration saw near zero stays float32 with the squares below it', async () => {
  const q = await quantizeText(
    net('t = Mul(h, k) s = Mul(t, t) v = ReduceMean(s, last) r = Sqrt(v) [div] y = Div(t, r)', ', float k = {0.001}'),
    'float16',
  );
  const [a, b] = [(await outputsOf(q.float, q.feed, 'disabled')).y!, (await outputsOf(q.model, q.feed, 'all')).y!];
  expect(worstSqnr({ y: a }, { y: b })).toBeGreaterThan(55); // 24 where the squares lose bits
});

/** onnxruntime 1.30 dies of SIGSEGV on some of these in float16: this process would not survive the test. */
describe('Transpose before a product', () => {
  const orders = (rank: number): number[][] =>
    rank === 0
      ? [[]]
      : orders(rank - 1).flatMap((p) =>
          Array.from({ length: rank }, (_, i) => [...p.slice(0, i), rank - 1, ...p.slice(i)]),
        );
  const text = (perm: readonly number[], more = ''): string => {
    const dims = perm.map((_, i) => i + 2);
    const out = perm.map((a) => dims[a]!); // a permutation of the axes
    return `<ir_version: 9, opset_import: ["" : 17]>
    g (float[${dims.join(',')}] x) => (float[${[...out.slice(0, -1), 3].join(',')}] y, float[${[
      ...out.slice(0, -2),
      5,
      out[out.length - 1],
    ].join(',')}] z)
    <float[${out[out.length - 1]},3] w, float[5,${out[out.length - 2]}] v> { t = Transpose<perm=[${perm.join(
      ',',
    )}]>(x) ${more} y = MatMul(${more ? 'u' : 't'}, w) z = MatMul(v, ${more ? 'u' : 't'}) }`;
  };
  it.each([2, 3, 4])('loads in every order of %i axes, weight on either side', async (rank) => {
    for (const perm of orders(rank)) {
      const q = await quantizeText(text(perm), 'float16');
      expect(
        worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
        perm.join(),
      ).toBeGreaterThan(55);
    }
  });
  it.each([
    [
      'merged from two harmless ones',
      'g (float[3,2,2] x) => (float[2,3,3] y) <float[2,3] w> { a = Transpose<perm=[0,2,1]>(x) t = ' +
        'Transpose<perm=[1,0,2]>(a) y = MatMul(t, w) }',
    ],
    [
      'before what is folded away',
      'g (float[2,3,4] x) => (float[3,2,3] y) <float[4,3] w, float k = {2}> { a = Transpose<perm=[1,0,2]>(x) t ' +
        '= Mul(a, k) y = MatMul(t, w) }',
    ],
    [
      'in the middle of float16',
      'g (float[2,3,4] x) => (float[4,3,5] y) <float[4,4] w, float[2,5] v> { h = MatMul(x, w) r = Relu(h) t = ' +
        'Transpose<perm=[1,2,0]>(r) c = Transpose<perm=[1,0,2]>(t) y = MatMul(c, v) }',
    ],
    [
      'before a product that stays float32',
      'g (float[2,3,4] x) => (float[3,2,3] y) <float[4,3] w = {99999, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}> { r = ' +
        'Relu(x) t = Transpose<perm=[1,0,2]>(r) y = MatMul(t, w) }',
    ],
  ])('loads where it is %s', async (_name, graph) => {
    const q = await quantizeText(`<ir_version: 9, opset_import: ["" : 17]>\n${graph}`, 'float16');
    expect(
      worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
    ).toBeGreaterThan(55);
  });
  it('keeps the first axis where it is: float16, as attention by heads is', async () => {
    const q = await quantizeText(
      '<ir_version: 9, opset_import: ["" : 17]>\n' +
        'g (float[2,3,4,5] x) => (float[2,4,3,6] y) <float[5,6] w> { t = Transpose<perm=[0,2,1,3]>(x) y = ' +
        'MatMul(t, w) }',
      'float16',
    );
    expect(kept(q)).toEqual([]);
  });
});
