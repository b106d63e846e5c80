/**
 * Recurrent cells: DynamicQuantizeLSTM where its kernel takes them, codes otherwise; in the main graph and in bodies,
 * near to float.
 */
import { describe, expect, it } from 'vitest';
import { allGraphs, type Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { verify } from '../../../src/ir/verify.js';
import { planDynamic } from '../../../src/quantize/planners/dynamic.js';
import { outputsOf, quantizeText, worstSqnr } from '../../conformance/quantized.js';

const HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n';
/** D directions; weights of 20 inputs and 12 hidden units. */
const lstm = (
  d: number,
  attrs: string,
  inputs: string,
  initializers: string,
): string => `${HEAD}g (float[5,2,20] x) => (float[5,${d},2,12] y, float[${d},2,12] yh, float[${d},2,12] yc)
<float[${d},48,20] W, float[${d},48,12] R${initializers}> { [cell] y, yh, yc = LSTM<hidden_size=12${attrs}>(x, W, R${
  inputs
}) }`;

const CASES: readonly (readonly [string, string])[] = [
  ['alone', lstm(1, '', '', '')],
  ['with bias', lstm(1, '', ', B', ', float[1,96] B')],
  ['reversed', lstm(1, ', direction="reverse"', ', B', ', float[1,96] B')],
  ['in both directions', lstm(2, ', direction="bidirectional"', ', B', ', float[2,96] B')],
  ['with initial states', lstm(1, '', ', B, "", h0, c0', ', float[1,96] B, float[1,2,12] h0, float[1,2,12] c0')],
  ['with peepholes, no bias, no states', lstm(1, '', ', "", "", "", "", P', ', float[1,36] P')],
  [
    'with everything, both directions',
    lstm(
      2,
      ', direction="bidirectional"',
      ', B, lengths, h0, c0, P',
      ', float[2,96] B, int32[2] lengths={5,3}, float[2,2,12] h0, float[2,2,12] c0, float[2,36] P',
    ),
  ],
  [
    'with other activations and a clip',
    lstm(1, ', activations=["Sigmoid","Relu","Tanh"], clip=2.0', ', B', ', float[1,96] B'),
  ],
  ['with coupled gates', lstm(1, ', input_forget=1', ', B', ', float[1,96] B')],
];
const ops = (model: Model): string[] => [...allGraphs(model.graph)].flatMap((g) => [...g.nodes].map((n) => n.op));

describe.each(CASES)('an LSTM %s', (_name, text) => {
  it.each([
    ['a scale for each gate row', ''],
    ['one scale', 'weights: { granularity: tensor }'],
    ['uint8 weights', 'weights: { dtype: uint8 }'],
    ['7 bits', 'weights: { bits: 7 }'],
  ])('is DynamicQuantizeLSTM with %s', async (_settings, settings) => {
    const q = await quantizeText(text, 'dynamic', settings);
    expect(verify(q.model)).toEqual([]);
    expect(ops(q.model)).toEqual(['DynamicQuantizeLSTM']);
    const float = await outputsOf(q.float, q.feed, 'disabled');
    for (const optimization of ['disabled', 'all'] as const)
      expect(worstSqnr(float, await outputsOf(q.model, q.feed, optimization))).toBeGreaterThan(
        settings.includes('bits') ? 22 : 26,
      );
  });
});

it('cells of branches and weights around them run in integers, and are stored once', async () => {
  const q = await quantizeText(
    `${HEAD}g (float[5,2,20] x) => (float[2,2,12] y) <float[1,48,20] W, float[1,48,12] R, float[12,12] m, bool c={1}> {
    k = ReduceSum<keepdims=0>(x)  z = Less(k, k)  n = Not(z)
    y = If (n) <then_branch = a () => (float[2,2,12] u) <float[1,48,20] V> { p, ph, pc = LSTM<hidden_size=12>(x, W, R) q, qh, qc = LSTM<hidden_size=12>(x, V, R) u1 = Concat<axis=0>(ph, qh) u = MatMul(u1, m) },
      else_branch = b () => (float[2,2,12] v) { r, rh, rc = LSTM<hidden_size=12, direction="forward">(x, W, R) v1 = Concat<axis=0>(rh, rc) v = MatMul(v1, m) }> }`,
    'dynamic',
  );
  expect(verify(q.model)).toEqual([]);
  expect(ops(q.model).filter((op) => op === 'DynamicQuantizeLSTM')).toHaveLength(3);
  expect(ops(q.model).filter((op) => op === 'MatMulInteger')).toHaveLength(2);
  expect(
    worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
  ).toBeGreaterThan(26);
});

it('a cell of a Loop runs in integers', async () => {
  const q = await quantizeText(
    `${
      HEAD
    }g (float[5,2,20] x) => (float[1,2,12] y) <float[1,48,20] W, float[1,48,12] R, int64 trips={3}, bool go={1}, float[1,2,12] h0> {
    y = Loop (trips, go, h0) <body = b (int64 i, bool c, float[1,2,12] h) => (bool d, float[1,2,12] k) { d = Identity(c) o, k, s = LSTM<hidden_size=12>(x, W, R, "", "", h, h) }> }`,
    'dynamic',
  );
  expect(ops(q.model)).toContain('DynamicQuantizeLSTM');
  expect(
    worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
  ).toBeGreaterThan(24);
});

it.each([
  ['GRU', 96, 192],
  ['RNN', 32, 64],
  ['LSTM', 128, 256],
])(
  '%s stays float where no kernel takes it, and says why; format coded stores its weights',
  async (op, rows, biases) => {
    const text = (directions: number): string => `${HEAD}g (float[5,2,20] x) => (float[5,${directions},2,32] y, float[${
      directions
    },2,32] yh, float[5,2,30] z) <float[${directions},${rows},20] W, float[${directions},${rows},32] R, float[${
      directions
    },${biases}] B, float[20,30] m, float[${directions},2,32] h0> {
    [cell] y, yh = ${op}<hidden_size=32${
      directions === 2 ? ', direction="bidirectional"' : ''
    }>(x, W, R, B, "", h0)  z = MatMul(x, m) }`;
    const q = await quantizeText(text(1), 'dynamic', op === 'LSTM' ? 'exclude: [ cell ]' : '');
    expect(ops(q.model)).toContain(op);
    expect([...q.prepared.planned.floatNodes].find(([n]) => n.op === op)?.[1]).toMatch(
      op === 'LSTM' ? /excluded by the recipe/ : /there is no integer/,
    );
    // The state feeds errors back, most of all in a plain RNN of random weights: 6 dB a bit are left.
    for (const [bits, bound] of [
      [8, 30],
      [6, 18],
      [4, 6],
    ] as const) {
      const c = await quantizeText(text(2), 'coded', `coding: { name: integer, bits: ${bits} }`);
      expect(verify(c.model)).toEqual([]);
      expect(
        worstSqnr(await outputsOf(c.float, c.feed, 'disabled'), await outputsOf(c.model, c.feed, 'all')),
        `${bits} bits`,
      ).toBeGreaterThan(bound);
    }
  },
);

it('a batch-first LSTM stays float, for the kernel has no such layout', () => {
  const model = parseModel(
    `${HEAD}g (float[2,5,20] x) => (float[2,5,1,12] y) <float[1,48,20] W, float[1,48,12] R> { [cell] y = ` +
      'LSTM<hidden_size=12, layout=1>(x, W, R) }',
    { randomInitializers: 1 },
  );
  const { integerNodes, floatNodes } = planDynamic(model, {
    weights: { dtype: 'int8', symmetric: true, granularity: 'channel', observer: 'minmax' },
    include: [],
    exclude: [],
    conv: false,
    weightOnly: [],
    embeddings: true,
  });
  expect(integerNodes.size).toBe(0);
  expect([...floatNodes.values()]).toEqual(['the integer kernel has no batch-first layout']);
});
