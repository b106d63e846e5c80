/**
 * Masks before a softmax: the scores keep their resolution, whatever number says "not this one" and however it gets
 * there.
 */
import { describe, expect, it } from 'vitest';
import { outputsOf, quantizeText, worstSqnr } from '../../conformance/quantized.js';

const FLOAT_MIN = '-3.4028234663852886e38';
const triangle = (low: string): string =>
  [0, 1, 2, 3].flatMap((r) => [0, 1, 2, 3].map((c) => (c <= r ? '0.0' : low))).join(', ');
const below = '<bool[1,4,4] keep = {1,0,0,0, 1,1,0,0, 1,1,1,0, 1,1,1,1}';
/** Self-attention of 4 positions; `middle` makes `m` of the scores `s`. */
const attention = (middle: string, constants: string, inputs = ''): string => `<ir_version: 9, opset_import: ["" : 17]>
g (float[1,4,16] x${inputs}) => (float[1,4,8] y)
${constants}, float[16,16] wq, float[16,16] wk, float[16,16] wv, float[16,8] wo> {
  q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) kt = Transpose<perm=[0,2,1]>(k) s = MatMul(q, kt)
  ${middle} [soft] p = Softmax<axis=-1>(m) o = MatMul(p, v) y = MatMul(o, wo) }`;

const KINDS: readonly (readonly [name: string, text: (low: string) => string])[] = [
  ['Where', (low) => attention('m = Where(keep, s, low)', `${below}, float low = {${low}}`)],
  [
    'Where with the mask first',
    (low) => attention('n = Not(keep) m = Where(n, low, s)', `${below}, float low = {${low}}`),
  ],
  ['Add', (low) => attention('m = Add(s, t)', `<float[1,4,4] t = {${triangle(low)}}`)],
  ['Add with the mask first', (low) => attention('m = Add(t, s)', `<float[4,4] t = {${triangle(low)}}`)],
  [
    'two Adds',
    (low) => attention('a = Add(s, t) m = Add(a, bias)', `<float[4,4] t = {${triangle(low)}}, float[1,4,4] bias`),
  ],
  [
    'Where, then scaled',
    (low) =>
      attention('a = Where(keep, s, low) m = Mul(a, half)', `${below}, float low = {${low}}, float half = {0.5}`),
  ],
  [
    'scaled, then Where behind Reshape',
    (low) =>
      attention(
        'h = Mul(s, half) a = Where(keep, h, low) r = Reshape(a, to) u = Unsqueeze(r, ax) m = Squeeze(u, ax)',
        `${below}, float low = {${low}}, float half = {0.5}, int64[3] to = {1, 4, 4}, int64[1] ax = {1}`,
      ),
  ],
  [
    'Add of what is expanded',
    (low) =>
      attention('e = Expand(t, to) m = Add(s, e)', `<float[4,4] t = {${triangle(low)}}, int64[3] to = {1, 4, 4}`),
  ],
  [
    'Where with Slice',
    (low) =>
      attention(
        'c = Slice(all, from, to, ax) m = Where(c, s, low)',
        `${below.replace('keep', 'all')}, float low = {${low}}, int64[1] from = {0}, int64[1] to = {4}, ` +
          'int64[1] ax = {1}',
      ),
  ],
  [
    'a mask and its lower limit',
    (low) => attention('a = Where(keep, s, low) m = Max(a, low)', `${below}, float low = {${low}}`),
  ],
];

describe.each(KINDS)('%s', (_name, text) => {
  it.each(['-10000.0', '-1e9', FLOAT_MIN])('masks with %s', async (low) => {
    for (const format of ['qdq', 'qoperator']) {
      const q = await quantizeText(text(low), format, 'weights: { reduceRange: true }');
      const sqnr = worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all'));
      expect(sqnr, format).toBeGreaterThan(22); // 3 where the mask is part of the range
    }
  });
});

it.each([
  ['float[1,4,4]', 'm = Add(s, mask)'],
  ['float[1,1,4]', 'm = Add(s, mask)'],
  ['float[1,4,4]', 'z = Reshape(mask, to) m = Add(s, z)'],
])('a mask %s that is an input stays float, and so does the softmax', async (type, middle) => {
  const { prepared } = await quantizeText(attention(middle, '<int64[3] to = {1, 4, 4}', `, ${type} mask`), 'qdq');
  const reasons = new Map([...prepared.planned.floatNodes].map(([n, why]) => [n.op, why]));
  expect(reasons.get('Add')).toBe("it masks with 'mask' what a softmax reads");
  expect(reasons.get('Softmax')).toBe('an input comes in float');
});

it('padding masks that are integers are computed in float, as they are in the float model', async () => {
  const text = attention(
    'b = Greater(pad, zero) f = Cast<to=1>(b) i = Sub(one, f) n = Mul(i, low) u = Unsqueeze(n, ax) m = Add(s, u)',
    `<int64 zero = {0}, float one = {1}, float low = {${FLOAT_MIN}}, int64[1] ax = {1}`,
    ', int64[1,4] pad',
  );
  const q = await quantizeText(text, 'qdq', 'weights: { reduceRange: true }');
  expect(
    worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
  ).toBeGreaterThan(22);
});

it('positional biases of ordinary size keep the integer softmax', async () => {
  const text = attention('a = Add(s, bias) m = Add(a, a)', '<float[1,4,4] bias');
  const { prepared } = await quantizeText(text, 'qdq');
  expect([...prepared.planned.integerNodes].map((n) => n.op)).toContain('Softmax');
});

it.each([
  ['-inf', 'Where'],
  ['-inf', 'Add'],
])('an infinite mask stops neither calibration nor float16 (%s, %s)', async (low, kind) => {
  const text = KINDS.find(([name]) => name === kind)![1](low);
  const q = await quantizeText(text, 'qdq', 'weights: { reduceRange: true }');
  expect(
    worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
  ).toBeGreaterThan(22);
  const h = await quantizeText(text, 'float16');
  const ops = [...h.prepared.planned.weightOnlyNodes].map((n) => n.op);
  expect(ops).toContain('Softmax');
  expect(
    worstSqnr(await outputsOf(h.float, h.feed, 'disabled'), await outputsOf(h.model, h.feed, 'all')),
  ).toBeGreaterThan(50);
});

const pooled = (low: string): string => `<ir_version: 9, opset_import: ["" : 17]>
g (float[1,3,8,8] x) => (float[1,4,4,4] y) <int64[8] pads = {0,0,1,1,0,0,1,1}, float low = {${
  low
}}, float[8,3,3,3] w1, float[8] b1, float[4,8,1,1] w2> {
  a = Conv<pads=[1,1,1,1]>(x, w1, b1) b = Pad(a, pads, low) p = MaxPool<kernel_shape=[3,3], strides=[2,2]>(b) y = Conv(p, w2) }`;
it.each(['-inf', FLOAT_MIN])('MaxPool over borders of %s', async (low) => {
  for (const format of ['qdq', 'qoperator']) {
    const q = await quantizeText(pooled(low), format, 'weights: { reduceRange: true }');
    expect(
      worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
      format,
    ).toBeGreaterThan(30);
  }
  const h = await quantizeText(pooled(low), 'float16');
  expect(
    worstSqnr(await outputsOf(h.float, h.feed, 'disabled'), await outputsOf(h.model, h.feed, 'all')),
  ).toBeGreaterThan(50);
});

it('a sentinel before a greatest element stays float', async () => {
  const text = pooled('-1e9')
    .replace('b = Pad(a, pads, low)', 'c = Where(keep, a, low) b = Pad<mode="edge">(c, pads)')
    .replace('float low', 'bool[1,1,1,8] keep = {1,1,1,1,1,1,1,0}, float low');
  const q = await quantizeText(text, 'qdq', 'weights: { reduceRange: true }');
  expect(
    worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
  ).toBeGreaterThan(30);
});
