/** One scale for each channel of an activation: written so that the runtime takes it, whatever lies between. */
import { describe, expect, it } from 'vitest';
import { outputsOf, quantizeText, worstSqnr } from '../../conformance/quantized.js';

const chain = (middle: string, more = ''): string => `<ir_version: 9, opset_import: ["" : 18]>
g (float[N,3,8,8] x) => (float[N,4,oh,ow] y) <float[8,3,3,3] w1, float[4,8,1,1] w2${more}> {
  a = Conv<pads=[1,1,1,1]>(x, w1)  ${middle}  y = Conv(p, w2) }`;
const pads = ', int64[8] pads = {0,0,1,1,0,0,1,1}';

const BETWEEN: readonly (readonly [name: string, middle: string, more?: string])[] = [
  ['Relu', 'p = Relu(a)'],
  ['Clip', 'p = Clip(a, low, high)', ', float low = {-0.5}, float high = {0.5}'],
  ['MaxPool', 'p = MaxPool<kernel_shape=[2,2]>(a)'],
  ['AveragePool', 'p = AveragePool<kernel_shape=[2,2]>(a)'],
  ['GlobalAveragePool', 'p = GlobalAveragePool(a)'],
  ['Add', 'b = Conv<pads=[1,1,1,1]>(x, w3) p = Add(a, b)', ', float[8,3,3,3] w3'],
  ['Mul of a constant', 'p = Mul(a, k)', ', float[1,8,1,1] k'],
  ['Mul', 's = Sigmoid(a) p = Mul(a, s)'],
  ['Sigmoid', 'p = Sigmoid(a)'],
  ['Tanh', 'p = Tanh(a)'],
  ['Softmax', 'p = Softmax<axis=1>(a)'],
  ['LeakyRelu', 'p = LeakyRelu(a)'],
  ['Concat', 's = Concat<axis=1>(a, a) p = Conv(s, w3)', ', float[8,16,1,1] w3'],
  ['Where', 'b = Conv<pads=[1,1,1,1]>(x, w3) p = Where(c, a, b)', ', float[8,3,3,3] w3, bool[1,8,8,8] c'],
  ['Pad', 'p = Pad(a, pads)', pads],
  ['Pad of channels', 'b = Pad(a, wide) p = Conv(b, w3)', ', int64[8] wide = {0,1,0,0,0,1,0,0}, float[8,10,1,1] w3'],
  ['Transpose', 'b = Transpose<perm=[0,2,1,3]>(a) p = Conv(b, w3)', ', float[8,8,1,1] w3'],
  ['Reshape', 'b = Reshape(a, to) p = Reshape(b, from)', ', int64[3] to = {0,4,-1}, int64[4] from = {0,8,8,8}'],
  [
    'Slice',
    'b = Slice(a, at, end, ax) p = Concat<axis=1>(b, b)',
    ', int64[1] at = {2}, int64[1] end = {6}, int64[1] ax = {1}',
  ],
  ['Split', 'b, c = Split<axis=1, num_outputs=2>(a) p = Concat<axis=1>(c, b)'],
  ['Gather', 'p = Gather<axis=1>(a, i)', ', int64[8] i = {7,6,5,4,3,2,1,0}'],
  ['DepthToSpace', 'b = DepthToSpace<blocksize=2>(a) p = SpaceToDepth<blocksize=2>(b)'],
  ['Resize', 'p = Resize<mode="nearest">(a, "", s)', ', float[4] s = {1, 1, 2, 2}'],
  ['Tile', 'p = Tile(a, n)', ', int64[4] n = {1,1,2,2}'],
  ['Expand', 'b = GlobalAveragePool(a) p = Expand(b, to)', ', int64[4] to = {1,8,8,8}'],
];

describe.each(BETWEEN.map(([name, middle, more = '']) => [name, middle, more] as const))(
  '%s between convolutions',
  (_name, middle, more) => {
    it.each(['', ', dtype: int8, symmetric: true', ', dtype: uint16'])('granularity: channel%s', async (type) => {
      for (const format of ['qdq', 'qoperator']) {
        const q = await quantizeText(chain(middle, more), format, `activations: { granularity: channel${type} }`);
        const [a, b] = [await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')];
        expect(worstSqnr(a, b), format).toBeGreaterThan(30);
      }
    });
  },
);

it('the worst of channels that differ a thousandfold is as good as the best', async () => {
  const scale = ', float[1,8,1,1] k = {0.001, 0.003, 0.01, 0.03, 1, 3, 10, 30}';
  const text = chain('b = Mul(a, k) p = Relu(b)', scale)
    .replace('y = Conv(p, w2)', 'y = Conv<group=8>(p, w2)')
    .replace('float[4,8,1,1] w2', 'float[8,1,1,1] w2')
    .replace('float[N,4,', 'float[N,8,');
  const first = async (granularity: string): Promise<number> => {
    const q = await quantizeText(text, 'qdq', `activations: { granularity: ${granularity} }`);
    const of = async (m: typeof q.model): Promise<Record<string, Float64Array>> => ({
      y: (await outputsOf(m, q.feed, 'all')).y!.subarray(0, 64),
    }); // the first channel
    return worstSqnr(await of(q.float), await of(q.model));
  };
  expect(await first('tensor')).toBeLessThan(10);
  expect(await first('channel')).toBeGreaterThan(30);
});
