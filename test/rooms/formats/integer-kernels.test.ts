/**
 * Which operators beside products run as integer kernels, read from onnxruntime's own optimized graph, and how near to
 * float.
 */
import { describe, expect, it } from 'vitest';
import { optimized, outputsOf, quantizeText, worstSqnr } from '../../conformance/quantized.js';

const chain = (middle: string, more = ''): string => `<ir_version: 9, opset_import: ["" : 20]>
g (float[N,3,8,8] x) => (float[N,4,oh,ow] y) <float[8,3,3,3] w1, float[8] b1, float[4,8,1,1] w2, float[4] b2${more}> {
  [c1] a = Conv(x, w1, b1)  ${middle}  [c2] y = Conv(p, w2, b2) }`;

/**
 * Float op between two convolutions → the kernel that runs. SQNR in dB; 8 bits of a fixed range give less where values
 * fill little of it.
 */
const KERNELS: readonly (readonly [name: string, text: string, kernel: string, sqnr: number])[] = [
  ['Sigmoid', chain('p = Sigmoid(a)'), 'com.microsoft.QLinearSigmoid', 30],
  ['Tanh', chain('p = Tanh(a)'), 'com.microsoft.QLinearSigmoid', 30],
  ['Softmax', chain('p = Softmax<axis=1>(a)'), 'com.microsoft.QLinearSoftmax', 30],
  ['LeakyRelu', chain('p = LeakyRelu<alpha=0.2>(a)'), 'com.microsoft.QLinearLeakyRelu', 30],
  ['AveragePool', chain('p = AveragePool<kernel_shape=[2,2]>(a)'), 'com.microsoft.QLinearAveragePool', 30],
  ['GlobalAveragePool', chain('p = GlobalAveragePool(a)'), 'com.microsoft.QLinearGlobalAveragePool', 28],
  ['Mul', chain('s = Sigmoid(a) p = Mul(a, s)'), 'com.microsoft.QLinearMul', 30],
  ['Add', chain('s = LeakyRelu<alpha=0.2>(a) p = Add(a, s)'), 'com.microsoft.QLinearAdd', 30],
  [
    'Concat',
    chain('s = Sigmoid(a) q = Concat<axis=1>(a, s) p = Conv(q, w3)', ', float[8,16,1,1] w3'),
    'com.microsoft.QLinearConcat',
    30,
  ],
];

describe.each(KERNELS)('%s', (_name, text, kernel, sqnr) => {
  it.each(['qdq', 'qoperator'])('runs as an integer kernel in format %s', async (format) => {
    const q = await quantizeText(text, format);
    const { ops, integerMacsShare } = await optimized(q);
    expect(Object.keys(ops)).toContain(kernel);
    expect(integerMacsShare).toBe(1);
    expect([ops.QuantizeLinear, ops.DequantizeLinear], 'codes from end to end').toEqual([1, 1]);
    expect(
      worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
    ).toBeGreaterThan(sqnr);
  });
});

/** onnxruntime takes HardSwish and Mish apart. Exp stretches the largest values, and so their rounding. */
it.each([
  ['HardSwish', 'HardSigmoid', 25],
  ['HardSigmoid', 'HardSigmoid', 25],
  ['Elu', 'Elu', 25],
  ['Gelu', 'Gelu', 25],
  ['Erf', 'Erf', 25],
  ['Softplus', 'Softplus', 25],
  ['Mish', 'Softplus', 25],
  ['Exp', 'Exp', 20],
])('%s has no kernel on codes, computes in float, and the plan says so', async (op, kernel, sqnr) => {
  const q = await quantizeText(chain(`[op] p = ${op}(a)`), 'qdq');
  const node = [...q.prepared.planned.floatNodes].find(([n]) => n.op === op);
  expect(node?.[1]).toMatch(/no integer kernel/);
  const { ops, integerMacsShare } = await optimized(q);
  expect(ops[kernel] ?? 0).toBeGreaterThan(0);
  expect(integerMacsShare).toBe(1);
  expect(
    worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')),
  ).toBeGreaterThan(sqnr);
});

it('fixed ranges use every code of the type, whatever calibration saw', async () => {
  const of = async (op: string, activations: string) => {
    const q = await quantizeText(chain(`p = ${op}(a)`), 'qdq', activations);
    const p = q.paramsByName.get('p')!;
    return [p.scale[0], p.zeroPoint[0]];
  };
  expect(await of('Sigmoid', '')).toEqual([1 / 256, 0]);
  expect(await of('Tanh', '')).toEqual([1 / 128, 128]);
  expect(await of('Softmax<axis=1>', '')).toEqual([1 / 256, 0]);
  const int8 = 'activations: { dtype: int8 }';
  expect(await of('Sigmoid', int8)).toEqual([1 / 256, -128]);
  expect(await of('Tanh', int8)).toEqual([1 / 128, 0]);
});

it('Tanh as Sigmoid gives the codes of Tanh itself', async () => {
  const q = await quantizeText(chain('p = Tanh(a)'), 'qdq');
  const plain = await quantizeText(chain('p = Tanh(a)'), 'qdq');
  for (const n of [...plain.model.graph.nodes]) {
    if (n.op !== 'Sigmoid') continue;
    // DQ(2s) → Sigmoid → Q(1/256, 0) back to DQ(s) → Tanh → Q(1/128, 128).
    const [dequantize] = [n.inputs[0]!.producer!];
    const [use] = n.outputs[0]!.uses;
    dequantize.setInput(
      1,
      [...plain.model.graph.initializers].find((v) => v.name === 'a_scale')!,
    );
    for (const [i, name] of [
      [1, 'p_scale'],
      [2, 'p_zero_point'],
    ] as const)
      use!.node.setInput(
        i,
        [...plain.model.graph.initializers].find((v) => v.name === name)!,
      );
    (n as { op: string }).op = 'Tanh'; // only a test changes what a node is
  }
  const [a, b] = [await outputsOf(q.model, q.feed, 'disabled'), await outputsOf(plain.model, plain.feed, 'disabled')];
  expect([...a.y!]).toEqual([...b.y!]);
});
