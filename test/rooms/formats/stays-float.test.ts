/** Layers that a recipe leaves out stay float in onnxruntime, which else quantizes their weights between pairs. */
import { expect, it } from 'vitest';
import { optimized, outputsOf, quantizeText, worstSqnr } from '../../conformance/quantized.js';

/** Three layers, the middle one left out. */
const net = (middle: string, more: string): string => `<ir_version: 9, opset_import: ["" : 20]>
g (float[N,3,8,8] x) => (float[N,4,oh,ow] y) <float[8,3,3,3] w1, float[8] b1, float[4,8,1,1] w2, float[4] b2, ${more}> {
  [c1] a = Conv(x, w1, b1)  ${middle}  [c2] y = Conv(p, w2, b2) }`;

it.each([
  ['with a bias', net('[mid] p = Conv(a, w3, b3)', 'float[8,8,3,3] w3, float[8] b3'), 1],
  ['and a clamp', net('[mid] m = Conv(a, w3, b3)  p = Relu(m)', 'float[8,8,3,3] w3, float[8] b3'), 1],
  [
    'between what moves elements',
    net(
      'q = MaxPool<kernel_shape=[2,2]>(a) [mid] m = Conv(q, w3, b3)  p = MaxPool<kernel_shape=[2,2]>(m)',
      'float[8,8,1,1] w3, float[8] b3',
    ),
    1,
  ],
  ['transposed', net('[mid] p = ConvTranspose(a, w3, b3)', 'float[8,8,3,3] w3, float[8] b3'), 1],
  ['read twice', net('[mid] m = Conv(a, w3, b3)  s = Sigmoid(m)  p = Mul(m, s)', 'float[8,8,3,3] w3, float[8] b3'), 0],
])('a convolution %s', async (_how, text, sums) => {
  const q = await quantizeText(text, 'qdq', 'exclude: [mid]');
  const written = [...q.model.graph.nodes].map((n) => n.op);
  expect(written.filter((o) => o === 'Sum')).toHaveLength(sums);
  const { kernels } = await optimized(q);
  expect(kernels.map(({ name, ranInteger }) => [name, ranInteger])).toEqual([
    ['c1', true],
    ['mid', false],
    ['c2', true],
  ]);
  const [float, quantized] = [await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')];
  expect(worstSqnr(float, quantized)).toBeGreaterThan(28);
  // what is float in the file is float in the runtime: the same numbers as without its optimizations
  expect(worstSqnr(await outputsOf(q.model, q.feed, 'disabled'), quantized)).toBeGreaterThan(40);
});

it('is kept in operators on codes too', async () => {
  const q = await quantizeText(
    net('[mid] p = Conv(a, w3, b3)', 'float[8,8,3,3] w3, float[8] b3'),
    'qoperator',
    'exclude: [mid]',
  );
  const { kernels } = await optimized(q);
  expect(kernels.filter((k) => !k.ranInteger).map((k) => k.name)).toEqual(['mid']);
  expect(kernels.filter((k) => k.ranInteger)).toHaveLength(2);
});

it('nothing is added where all is in integers', async () => {
  const q = await quantizeText(net('[mid] p = Conv(a, w3, b3)', 'float[8,8,3,3] w3, float[8] b3'), 'qdq');
  expect([...q.model.graph.nodes].map((n) => n.op)).not.toContain('Sum');
});
