/** Rules of matrix products, convolutions, pooling and normalisations. */
import type { RuleCase } from '../check.js';

const F = { type: 'float' } as const;
const matMul = (a: string, b: string, y: string): RuleCase => ({
  graph: `(real[${a}] a, real[${b}] b) => (real${y && `[${y}]`} y) { y = MatMul (a, b) }`,
});
const gemm = (attrs: string, a: string, b: string, c: string): RuleCase => ({
  graph: `(real[${a}] a, real[${b}] b, real${c} c) => (real[2,4] y) { y = Gemm <${attrs}> (a, b, c) }`,
});
const einsum = (equation: string, y: string, ...operands: readonly string[]): RuleCase => ({
  graph:
    `(${operands.map((s, i) => `real[${s}] x${i}`).join(', ')}) => (real${y && `[${y}]`} y) ` +
    `{ y = Einsum <equation = "${equation}"> (${operands.map((_, i) => `x${i}`).join(', ')}) }`,
});
const conv = (x: string, w: string, y: string, attrs = '', bias = true): RuleCase => ({
  graph:
    `(real[${x}] x, real[${w}] w${bias ? `, real[${y.split(',')[1]}] b` : ''}) => (real[${y}] y) ` +
    `{ y = Conv <${attrs}> (x, w${bias ? ', b' : ''}) }`,
  ...F,
});
const convTranspose = (x: string, w: string, y: string, attrs = '', bias = true): RuleCase => {
  const c = conv(x, w, y, attrs, bias);
  return { ...c, graph: c.graph.replace('Conv', 'ConvTranspose') };
};
const pool = (op: string, x: string, y: string, attrs: string, more: Partial<RuleCase> = {}): RuleCase => ({
  graph: `(real[${x}] x) => (real[${y}] y) { y = ${op} <${attrs}> (x) }`,
  ...more,
});
const norm = (op: string, x: string, factors: string, attrs = '', more: Partial<RuleCase> = {}): RuleCase => ({
  graph: `(real[${x}] x, real[${factors}] s, real[${factors}] b) => (real[${x}] y) { y = ${op} <${attrs}> (x, s, b) }`,
  ...more,
});
/** Also with the sum as a result. */
const skip = (node: string, more: string, sum = false): RuleCase => ({
  graph:
    `(real[2,3,6] x, real[2,3,6] z, real[6] s${more}) => (real[2,3,6] y) ` +
    (sum ? `{ n, , , t = com.microsoft.${node}  y = Mul (n, t) }` : `{ y = com.microsoft.${node} }`),
  ...F,
});
const batchNorm = (x: string, attrs = '', more: Partial<RuleCase> = {}): RuleCase => {
  const c = `real[${x.split(',')[1]}]`;
  return {
    graph:
      `(real[${x}] x, ${c} s, ${c} b, ${c} m, ${c} v) => (real[${x}] y) ` +
      `{ y = BatchNormalization <${attrs}> (x, s, b, m, v) }`,
    within: [0.3, 1.5],
    ...more,
  };
};

/** A cell with all that may be given, over 4 steps of 2 samples with 3 inputs and 2 hidden. */
const cell = (
  op: 'LSTM' | 'GRU' | 'RNN',
  attrs: string,
  { ways = 1, bias = true, start = true, results = '[4,1,2,2]', last = '[1,2,2]' } = {},
): RuleCase => {
  const gates = { LSTM: 4, GRU: 3, RNN: 1 }[op];
  const states = start ? ['h', ...(op === 'LSTM' ? ['c'] : [])] : [];
  const inputs = [
    'real[4,2,3] x',
    `real[${ways},${2 * gates},3] w`,
    `real[${ways},${2 * gates},2] r`,
    ...(bias ? [`real[${ways},${4 * gates}] b`] : []),
    ...states.map((s) => `real${last} ${s}`),
  ];
  const given = ['x', 'w', 'r', bias ? 'b' : '', '', ...states].join(', ');
  const outputs = op === 'LSTM' ? 'y, z, k' : 'y, z';
  const types = [`real${results} y`, `real${last} z`, ...(op === 'LSTM' ? [`real${last} k`] : [])];
  return {
    graph: `(${inputs.join(', ')}) => (${types.join(', ')}) { ${outputs} = ${op} <hidden_size = 2${attrs}> (${
      given
    }) }`,
    ...F,
  };
};
const BOTH = { ways: 2, results: '[4,2,2,2]', last: '[2,2,2]' };

export const productCases: Readonly<Record<string, readonly RuleCase[]>> = {
  MatMul: [
    matMul('2,3', '3,4', '2,4'),
    matMul('5,2,3', '3,4', '5,2,4'),
    matMul('2,5,2,3', '5,3,4', '2,5,2,4'),
    matMul('2,3', '5,3,4', '5,2,4'),
    matMul('2,1,2,3', '1,5,3,4', '2,5,2,4'),
    matMul('3', '3,4', '4'),
    matMul('2,3', '3', '2'),
    matMul('3', '3', ''),
    matMul('3', '5,3,4', '5,4'),
    matMul('5,2,3', '3', '5,2'),
  ],
  Gemm: [
    gemm('', '2,3', '3,4', '[4]'),
    gemm('transA = 1, alpha = 0.5', '3,2', '3,4', '[2,1]'),
    gemm('transB = 1, beta = 2.0', '2,3', '4,3', '[2,4]'),
    gemm('transA = 1, transB = 1, alpha = 2.0, beta = 0.5', '3,2', '4,3', ''),
    { graph: '(real[2,3] a, real[3,4] b) => (real[2,4] y) { y = Gemm (a, b) }' },
  ],
  Einsum: [
    einsum('ij,jk->ik', '2,4', '2,3', '3,4'),
    einsum('bhid,bhjd->bhij', '2,2,3,4', '2,2,3,5', '2,2,4,5'),
    einsum('ij,jk', '2,4', '2,3', '3,4'),
    einsum('ij->', '', '2,3'),
    einsum('ij->ji', '3,2', '2,3'),
    einsum('ij,k->i', '2', '2,3', '4'),
    einsum('...ij,...jk->...ik', '5,2,4', '5,2,3', '5,3,4'),
    einsum('...i,i->...', '2,3', '2,3,4', '4'),
    einsum('i,j,k->ijk', '2,3,4', '2', '3', '4'),
  ],
  Conv: [
    conv('2,3,6,5', '4,3,3,3', '2,4,6,5', 'pads = [1,1,1,1]'),
    conv('2,3,6,5', '4,3,3,3', '2,4,4,3', ''),
    conv('1,3,7,6', '4,3,3,2', '1,4,4,3', 'pads = [1,0,1,1], strides = [2,2]'),
    conv('1,2,8,8', '3,2,3,3', '1,3,3,3', 'strides = [3,3], pads = [1,1,0,0]'),
    conv('1,2,9,9', '3,2,3,3', '1,3,5,7', 'dilations = [2,1]', false),
    conv('1,2,9,9', '3,2,2,2', '1,3,4,2', 'dilations = [2,3], strides = [2,4], pads = [0,1,1,0]'),
    conv('2,4,5,5', '6,2,3,3', '2,6,5,5', 'group = 2, pads = [1,1,1,1]'),
    conv('2,4,5,5', '4,1,3,3', '2,4,5,5', 'group = 4, pads = [1,1,1,1]'),
    conv('2,3,6,7', '3,1,3,2', '2,3,3,2', 'group = 3, dilations = [2,1], strides = [1,3]'),
    conv('1,3,4,70', '3,1,3,3', '1,3,4,70', 'group = 3, pads = [1,1,1,1]'), // rows too long for a band
    conv('2,9,5,5', '4,9,3,3', '2,4,3,3', ''),
    conv('2,9,4,5', '4,9,1,1', '2,4,4,5', ''),
    conv('2,4,6,6', '8,1,3,3', '2,8,3,3', 'group = 4, pads = [1,1,1,1], strides = [2,2]'),
    conv('2,3,5,5', '4,3,1,1', '2,4,5,5', ''),
    conv('2,3,5,6', '4,3,1,1', '2,4,3,3', 'strides = [2,2]'),
    conv('1,2,5,8', '3,2,3,4', '1,3,5,8', 'auto_pad = "SAME_UPPER"'),
    conv('1,2,5,8', '3,2,3,4', '1,3,3,4', 'auto_pad = "SAME_LOWER", strides = [2,2]'),
    conv('1,2,5,8', '3,2,3,4', '1,3,3,5', 'auto_pad = "VALID"'),
    conv('2,3,9', '4,3,3', '2,4,5', 'strides = [2], pads = [1,1]'),
    conv('1,2,4,3,5', '3,2,2,3,2', '1,3,3,3,4', 'pads = [0,1,0,0,1,0]'),
    conv('1,2,4,3,5', '3,2,2,3,2', '1,3,2,2,2', 'pads = [0,1,0,0,1,0], strides = [2,2,3]'),
    conv('2,2,4,6,5', '2,1,3,2,3', '2,2,4,5,7', 'group = 2, pads = [1,0,2,1,1,2], dilations = [1,2,1]'),
    conv('2,2,6,5', '3,2,2,3', '2,3,7,4', 'pads = [2,0,1,3], dilations = [2,2]'), // zeros on one side only
    conv('2,2,3,4', '3,2,1,1', '2,3,7,6', 'pads = [1,0,3,2]'), // more padding than the kernel reaches
    conv('1,1,4,4', '2,1,3,3', '1,2,8,8', 'pads = [3,3,3,3]'),
    conv('1,2,6,6', '3,2,2,2', '1,3,2,2', 'strides = [4,4]'), // what lies between the windows is never read
  ],
  ConvTranspose: [
    convTranspose('2,3,4,5', '3,2,3,3', '2,2,6,7', ''),
    convTranspose('1,3,4,4', '3,2,3,3', '1,2,7,7', 'strides = [2,2], pads = [1,1,1,1]'),
    convTranspose('1,3,4,4', '3,2,3,3', '1,2,8,8', 'strides = [2,2], pads = [1,1,1,1], output_padding = [1,1]'),
    convTranspose('1,4,3,3', '4,2,2,2', '1,4,6,6', 'strides = [2,2], group = 2', false),
    convTranspose('1,4,3,3', '4,1,3,3', '1,4,5,5', 'group = 4'),
    convTranspose('1,2,3,4', '2,3,3,3', '1,3,7,8', 'dilations = [2,2]'),
    convTranspose('1,2,3,3', '2,2,3,3', '1,2,6,6', 'strides = [2,2], auto_pad = "SAME_UPPER"'),
    convTranspose('1,2,3,3', '2,2,3,3', '1,2,6,6', 'strides = [2,2], auto_pad = "SAME_LOWER"'),
    convTranspose('1,2,3,3', '2,2,3,3', '1,2,8,7', 'strides = [2,2], output_shape = [8,7]'),
    convTranspose('1,2,5', '2,3,4', '1,3,10', 'strides = [2], pads = [1,1]'),
  ],
  MaxPool: [
    pool('MaxPool', '2,3,6,6', '2,3,3,3', 'kernel_shape = [2,2], strides = [2,2]'),
    pool('MaxPool', '1,2,7,7', '1,2,4,4', 'kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]'),
    pool('MaxPool', '1,2,7,6', '1,2,3,3', 'kernel_shape = [3,2], strides = [2,2]'),
    pool('MaxPool', '1,1,6,6', '1,1,3,3', 'kernel_shape = [3,3], strides = [2,2], ceil_mode = 1'),
    pool('MaxPool', '1,1,7,7', '1,1,3,3', 'kernel_shape = [3,3], dilations = [2,2]'),
    pool('MaxPool', '1,2,9', '1,2,5', 'kernel_shape = [3], strides = [2], auto_pad = "SAME_UPPER"'),
  ],
  AveragePool: [
    pool('AveragePool', '2,3,6,6', '2,3,3,3', 'kernel_shape = [2,2], strides = [2,2]', F),
    pool('AveragePool', '1,2,7,7', '1,2,4,4', 'kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]', F),
    pool('AveragePool', '1,2,5,6', '1,2,5,6', 'kernel_shape = [3,3], pads = [1,1,1,1], count_include_pad = 1', F),
    pool('AveragePool', '1,2,6,6', '1,2,3,3', 'kernel_shape = [3,3], strides = [2,2], ceil_mode = 1', F),
    pool(
      'AveragePool',
      '1,1,8,8',
      '1,1,4,4',
      'kernel_shape = [3,3], strides = [2,2], pads = [0,0,1,1], ceil_mode = 1, count_include_pad = 1',
      F,
    ),
    pool('AveragePool', '1,2,7,7', '1,2,4,4', 'kernel_shape = [3,3], strides = [2,2], auto_pad = "SAME_UPPER"', F),
    pool('AveragePool', '1,2,9', '1,2,5', 'kernel_shape = [3], dilations = [2]', F),
  ],
  LpPool: [
    pool('LpPool', '1,2,6,6', '1,2,3,3', 'kernel_shape = [2,2], strides = [2,2]', { ...F, kinks: [0] }),
    pool('LpPool', '1,2,5,5', '1,2,3,3', 'kernel_shape = [3,3]', { ...F, kinks: [0] }),
    pool('LpPool', '1,2,7', '1,2,4', 'kernel_shape = [3], strides = [2], pads = [1,1], p = 3', { ...F, kinks: [0] }),
  ],
  GlobalAveragePool: ['2,3,4,5', '1,2,7', '2,2,2,3,2'].map((x) =>
    pool(
      'GlobalAveragePool',
      x,
      x
        .split(',')
        .map((d, i) => (i < 2 ? d : 1))
        .join(),
      '',
      F,
    ),
  ),
  GlobalMaxPool: ['2,3,4,5', '1,2,7', '2,2,2,3,2'].map((x) =>
    pool(
      'GlobalMaxPool',
      x,
      x
        .split(',')
        .map((d, i) => (i < 2 ? d : 1))
        .join(),
      '',
      F,
    ),
  ),
  LayerNormalization: [
    norm('LayerNormalization', '2,3,6', '6'),
    norm('LayerNormalization', '2,3,4', '3,4', 'axis = 1'),
    norm('LayerNormalization', '4,5', '5', 'axis = -1, epsilon = 0.01'),
    { graph: '(real[3,5] x, real[5] s) => (real[3,5] y) { y = LayerNormalization (x, s) }' },
  ],
  RMSNormalization: ['2,3,6', '4,5', '7'].map((x) => ({
    graph: `(real[${x}] x, real[${x.split(',').at(-1)}] s) => (real[${x}] y) { y = RMSNormalization (x, s) }`,
    opset: 23,
  })),
  SimplifiedLayerNormalization: ['2,3,6', '4,5', '7'].map((x) => ({
    graph: `(real[${x}] x, real[${x.split(',').at(-1)}] s) => (real[${x}] y) { y = SimplifiedLayerNormalization (x, s) }`,
  })),
  SkipSimplifiedLayerNormalization: [
    skip('SkipSimplifiedLayerNormalization (x, z, s)', ''),
    skip('SkipSimplifiedLayerNormalization <epsilon = 0.01> (x, z, s, b)', ', real[6] b'),
    skip('SkipSimplifiedLayerNormalization (x, z, s, b)', ', real[6] b', true),
  ],
  SkipLayerNormalization: [
    skip('SkipLayerNormalization (x, z, s, b)', ', real[6] b'),
    skip('SkipLayerNormalization <epsilon = 0.01> (x, z, s, b, c)', ', real[6] b, real[6] c'),
    skip('SkipLayerNormalization (x, z, s, , c)', ', real[6] c', true),
  ],
  BiasGelu: ['2,3,6', '4,5', '3,7'].map((x) => ({
    graph: `(real[${x}] x, real[${x.split(',').at(-1)}] b) => (real[${x}] y) { y = com.microsoft.BiasGelu (x, b) }`,
    ...F,
  })),
  FastGelu: ['2,3,6', '4,5'].flatMap((x) => [
    { graph: `(real[${x}] x) => (real[${x}] y) { y = com.microsoft.FastGelu (x) }`, ...F },
    {
      graph: `(real[${x}] x, real[${x.split(',').at(-1)}] b) => (real[${x}] y) { y = com.microsoft.FastGelu (x, b) }`,
      ...F,
    },
  ]),
  QuickGelu: ['', '<alpha = 1.0>', '<alpha = 0.5>'].map((a) => ({
    graph: `(real[3,5] x) => (real[3,5] y) { y = com.microsoft.QuickGelu ${a} (x) }`,
    ...F,
  })),
  InstanceNormalization: [
    norm('InstanceNormalization', '2,3,4,5', '3', '', F),
    norm('InstanceNormalization', '1,2,7', '2', 'epsilon = 0.1', F),
    norm('InstanceNormalization', '2,2,2,3,2', '2', '', F),
  ],
  GroupNormalization: [
    norm('GroupNormalization', '2,6,3,2', '6', 'num_groups = 3', F),
    norm('GroupNormalization', '2,4,5', '4', 'num_groups = 1', F),
    norm('GroupNormalization', '1,4,2,2', '4', 'num_groups = 4', F),
    norm('GroupNormalization', '2,6,3,2', '3', 'num_groups = 3', { ...F, opset: 18 }),
  ],
  BatchNormalization: [
    batchNorm('2,3,4,5'),
    batchNorm('4,3'),
    batchNorm('2,3,6', 'epsilon = 0.1'),
    ...['4,3,2,3', '8,3', '3,2,5'].map((x) =>
      batchNorm(x, '', { options: { batchNorm: 'batch', wrt: ['x', 's', 'b'] } }),
    ),
    {
      graph:
        '(real[4,3,2,3] x, real[3] s, real[3] b, real[3] m, real[3] v) => (real[4,3,2,3] y) ' +
        '{ y, p, q = BatchNormalization <training_mode = 1> (x, s, b, m, v) }',
      options: { wrt: ['x', 's', 'b'] },
    },
  ],
  MeanVarianceNormalization: [
    pool('MeanVarianceNormalization', '2,3,4,5', '2,3,4,5', '', F),
    pool('MeanVarianceNormalization', '2,3,4', '2,3,4', 'axes = [1,2]', F),
    pool('MeanVarianceNormalization', '3,6', '3,6', 'axes = [-1]', F),
  ],
  LpNormalization: [
    pool('LpNormalization', '2,3', '2,3', ''),
    pool('LpNormalization', '2,3,4', '2,3,4', 'axis = 1, p = 1'),
    pool('LpNormalization', '5,2', '5,2', 'axis = 0, p = 2'),
  ],
  LSTM: [
    cell('LSTM', ''),
    cell('LSTM', ', direction = "reverse"', { bias: false, start: false }),
    cell('LSTM', ', direction = "bidirectional"', BOTH),
  ],
  GRU: [
    cell('GRU', ''),
    cell('GRU', ', linear_before_reset = 1'),
    cell('GRU', ', direction = "bidirectional", linear_before_reset = 1', BOTH),
    cell('GRU', ', direction = "reverse"', { bias: false, start: false }),
  ],
  RNN: [
    cell('RNN', ''),
    cell('RNN', ', direction = "bidirectional"', BOTH),
    cell('RNN', ', direction = "reverse"', { bias: false, start: false }),
  ],
  Softmax: [
    pool('Softmax', '2,5', '2,5', ''),
    pool('Softmax', '2,3,4', '2,3,4', 'axis = 1'),
    pool('Softmax', '2,3,4', '2,3,4', 'axis = 1', { opset: 11 }), // over the last two axes together
  ],
  LogSoftmax: [
    pool('LogSoftmax', '2,5', '2,5', ''),
    pool('LogSoftmax', '2,3,4', '2,3,4', 'axis = 0'),
    pool('LogSoftmax', '2,3,4', '2,3,4', 'axis = 1', { opset: 11 }),
  ],
};
