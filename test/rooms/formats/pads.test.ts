/**
 * Borders that do not fit the codes, pads of chosen axes, and codes of 16 bits: Pad and the other ops that are written
 * on codes.
 */
import { describe, expect, it } from 'vitest';
import { verify } from '../../../src/ir/verify.js';
import { outputsOf, quantizeText, worstSqnr } from '../../conformance/quantized.js';

const chain = (middle: string, more = '', opset = 19): string => `<ir_version: 9, opset_import: ["" : ${opset}]>
g (float[N,3,8,8] x) => (float[N,4,oh,ow] y)
<float[8,3,3,3] w1, float[4,8,1,1] w2, int64[8] pads = {0,0,1,1,0,0,1,1}${more}> {
  a = Conv<pads=[1,1,1,1]>(x, w1)  ${middle}  y = Conv(p, w2) }`;
const sqnr = async (text: string, format: string, settings = 'weights: { reduceRange: true }'): Promise<number> => {
  const q = await quantizeText(text, format, `{ ${settings} }`);
  expect(verify(q.model)).toEqual([]);
  return worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all'));
};

describe.each(['qdq', 'qoperator'])('%s', (format) => {
  it.each([
    ['far above', 'p = Pad(a, pads, v)', ', float v = {60}'],
    ['below what Relu leaves', 'r = Relu(a) p = Pad(r, pads, v)', ', float v = {-7.5}'],
    [
      'below, behind other ops',
      'm = MaxPool<kernel_shape=[2,2]>(a) q = Pad(m, pads, v) p = Slice(q, s, e)',
      ', float v = {-7.5}, int64[1] s = {0}, int64[1] e = {1}',
    ],
    ['twice', 'q = Pad(a, pads, v) p = Pad(q, pads, w)', ', float v = {9}, float w = {-9}'],
    ['beside what Sigmoid gives', 's = Sigmoid(a) p = Pad(s, pads, v)', ', float v = {-1}'],
    [
      'a sentinel before a maximum above it',
      'q = Pad(a, pads, v) p = MaxPool<kernel_shape=[2,2]>(q)',
      ', float v = {-1e9}',
    ],
    ['a border above before a maximum', 'q = Pad(a, pads, v) p = MaxPool<kernel_shape=[2,2]>(q)', ', float v = {20}'],
  ])('keeps a border %s', async (_name, middle, more) => {
    expect(await sqnr(chain(middle, more), format)).toBeGreaterThan(27); // 3 to 5 where the border is clipped
    expect(
      await sqnr(
        chain(middle, more),
        format,
        'weights: { reduceRange: true }, activations: { dtype: int8, symmetric: true }',
      ),
    ).toBeGreaterThan(22); // half of the codes are unused
  });

  it.each([
    ['both', ', int64[4] some = {1,1,1,1}, int64[2] axes = {2,3}', 'p = Pad(a, some, "", axes)'],
    [
      'counted from the end, out of order',
      ', int64[4] some = {1,2,0,0}, int64[2] axes = {-1,2}',
      'p = Pad(a, some, "", axes)',
    ],
    [
      'one, with a border',
      ', int64[2] some = {1,2}, int64[1] axes = {3}, float v = {0.5}',
      'p = Pad(a, some, v, axes)',
    ],
    ['edges of one', ', int64[2] some = {1,2}, int64[1] axes = {3}', 'p = Pad<mode="edge">(a, some, "", axes)'],
  ])('runs Pad of chosen axes: %s', async (_name, more, middle) => {
    expect(await sqnr(chain(middle, more), format)).toBeGreaterThan(30);
  });

  it.each(['uint16', 'int16'])('takes codes of %s', async (dtype) => {
    for (const [middle, more] of [
      ['p = Pad(a, pads)'],
      ['p = Pad(a, pads, v)', ', float v = {7}'],
      ['p = Pad<mode="reflect">(a, pads)'],
      ['p = Pad<mode="edge">(a, pads)'],
      ['p = Pad<mode="wrap">(a, pads)'],
      ['b = DepthToSpace<blocksize=2>(a) p = Conv(b, w3)', ', float[8,2,1,1] w3'],
      ['b = SpaceToDepth<blocksize=2>(a) p = Conv(b, w3)', ', float[8,32,1,1] w3'],
      ['p = MaxPool<kernel_shape=[2,2]>(a)'],
      ['p = Resize<mode="nearest">(a, "", s)', ', float[4] s = {1,1,2,2}'],
      ['p = Relu(a)'],
      ['b = Clip(a, l) p = Pad(b, pads)', ', float l = {-0.3}'],
      ['p = Slice(a, s, e)', ', int64[1] s = {0}, int64[1] e = {1}'],
      ['p = Tile(a, n)', ', int64[4] n = {1,1,2,1}'],
      ['b = GlobalAveragePool(a) p = Expand(b, to)', ', int64[4] to = {1,8,3,3}'],
      ['p = Transpose<perm=[0,1,3,2]>(a)'],
      ['p = Gather<axis=1>(a, i)', ', int64[8] i = {7,6,5,4,3,2,1,0}'],
      ['p = Add(a, a)'],
      ['s = Sigmoid(a) p = Mul(a, s)'],
      ['s = Softmax<axis=1>(a) p = Concat<axis=1>(s, a)', '#'],
    ] as const) {
      const text =
        more === '#' ? chain(middle).replace('float[4,8,1,1] w2', 'float[4,16,1,1] w2') : chain(middle, more ?? '');
      expect(
        await sqnr(text, format, `activations: { dtype: ${dtype}, symmetric: ${dtype === 'int16'} }`),
        middle,
      ).toBeGreaterThan(35);
    }
  });

  it('a border within the range stays on codes', async () => {
    const q = await quantizeText(chain('p = Pad(a, pads, v)', ', float v = {0.5}'), format);
    const pad = [...q.model.graph.nodes].find((n) => n.op === 'Pad');
    expect(pad?.inputs[2]?.dtype ?? pad?.inputs[2]?.data?.dtype).toBe('uint8');
  });

  it.each([
    ['float[4,16,8]', 'float[4,N,16]'],
    ['float[1,16,8]', 'float[4,N,16]'],
    ['float[2,4,16,8]', 'float[2,4,N,16]'],
  ])('runs products with a weight %s', async (weight, input) => {
    const text =
      `<ir_version: 9, opset_import: ["" : 17]>\n` +
      `g (${input} x) => (${input.replace(/16\]$/, '5]')} y) <${weight} w, float[8,5] v> { h = MatMul(x, w) r = ` +
      'Relu(h) y = MatMul(r, v) }';
    const q = await quantizeText(text, format, 'weights: { reduceRange: true }');
    expect(
      worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
    ).toBeGreaterThan(30);
    expect(q.diagnostics.map((d) => d.code)).toContain('BATCHED_WEIGHTS');
  });
});

it.each([
  ['int8', 'channel'],
  ['uint8', 'channel'],
  ['int8', 'tensor'],
  ['uint8', 'tensor'],
])('asymmetric %s weights by %s of ConvInteger', async (dtype, granularity) => {
  const text = chain('p = Relu(a)', ', float[8] unused');
  const q = await quantizeText(
    text,
    'dynamic',
    `{ dynamicConv: true, weights: { symmetric: false, dtype: ${dtype}, granularity: ${granularity} } }`,
  );
  expect([...q.model.graph.nodes].filter((n) => n.op === 'ConvInteger')).toHaveLength(2);
  expect(
    worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
  ).toBeGreaterThan(30);
});
