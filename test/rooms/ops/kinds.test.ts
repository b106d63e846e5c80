/** The questions that rooms ask of single operators: for each, operators of which it is true and some of which not. */
import { expect, it } from 'vitest';
import { Node, Value } from '../../../src/ir/graph.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import * as kinds from '../../../src/ops/kinds.js';

const of = (op: string, domain = ''): Node => new Node(op, [new Value('x')], ['y'], domain);

type Question = Exclude<keyof typeof kinds, 'joins' | 'control' | 'dynamicForm' | 'tripsOf' | 'normalization'>;
/** Operators with yes, then operators with no; `!` before a name: of another domain. */
const ANSWERS: Readonly<Record<Question, readonly [yes: string, no: string]>> = {
  isConstantNode: ['Constant', '!Constant Identity'],
  isIdentityNode: ['Identity', '!Identity Dropout'],
  isTranspose: ['Transpose', '!Transpose Reshape'],
  isView: ['Reshape Flatten Squeeze Unsqueeze Identity Dropout', 'Transpose Slice Shape Constant !Reshape'],
  readsNoData: ['Constant Shape Size', 'Reshape !Shape'],
  keepsValue: ['Identity', 'Cast Dropout !Identity'],
  isMultiplication: ['Mul', 'Div !Mul'],
  isWorkless: ['Reshape Flatten Squeeze Unsqueeze Identity Dropout Constant Shape Size', 'Transpose Cast !Shape'],
  bringsWeight: ['DequantizeLinear !DequantizeLinear Identity Cast Transpose Reshape Mul Sub', 'Add MatMul Gather'],
  keepsEachChannel: ['Relu LeakyRelu Identity Dropout MaxPool GlobalAveragePool', 'Reshape Concat Conv'],
  keepsMeans: ['Flatten Pad Slice Concat Split AveragePool ReduceMean', 'MaxPool Relu Mul !Pad'],
  mixesAll: ['Add Mul GlobalAveragePool', 'Concat MaxPool Sub !Add'],
  isAddition: ['Add', 'Sum Sub !Add'],
  isSum: ['Add Sum', 'Sub Mean !Sum'],
  addsBorder: ['Pad', 'Concat'],
  learnsOperand: ['Mul', 'Clip'],
  isLogarithm: ['Log', 'Exp !Log'],
  isRoot: ['Sqrt Pow', 'Reciprocal !Sqrt'],
  isMatMul: ['MatMul', 'Gemm'],
  isRelu: ['Relu', 'Clip LeakyRelu !Relu'],
  isSoftmax: ['Softmax', 'LogSoftmax !Softmax'],
  isGroupNormalization: ['GroupNormalization', 'BatchNormalization !GroupNormalization'],
  isBatchNormalization: ['BatchNormalization', 'InstanceNormalization !BatchNormalization'],
  isLayerNormalization: ['LayerNormalization', 'BatchNormalization !LayerNormalization'],
  isQuantize: ['QuantizeLinear !QuantizeLinear', 'DequantizeLinear DynamicQuantizeLinear'],
  isDequantize: ['DequantizeLinear !DequantizeLinear', 'QuantizeLinear'],
  isConvolution: ['Conv ConvTranspose ConvInteger', 'MatMul Concat'],
  isMatrixProduct: ['MatMul Gemm', 'Conv MatMulInteger'],
  isCellOrAttention: ['LSTM GRU RNN !Attention !MultiHeadAttention !GroupQueryAttention', 'MatMul Softmax'],
};
const nodes = (names: string): Node[] =>
  names.split(' ').map((n) => (n.startsWith('!') ? of(n.slice(1), 'com.microsoft') : of(n)));

it.each(Object.entries(ANSWERS))('%s', (question, [yes, no]) => {
  const ask = kinds[question as Question]; // a key of the table
  expect(nodes(yes).filter((n) => !ask(n))).toEqual([]);
  expect(nodes(no).filter(ask)).toEqual([]);
});
it('keepsValue of casts', () => {
  const cast = (from: 'float32' | 'float16'): Node => {
    const n = of('Cast');
    [n.inputs[0]!.dtype, n.outputs[0]!.dtype] = [from, 'float32'];
    return n;
  };
  expect([cast('float32'), cast('float16')].map(kinds.keepsValue)).toEqual([true, false]);
});
it('normalization', () => {
  const norms = nodes('LayerNormalization SimplifiedLayerNormalization RMSNormalization');
  for (const n of norms) expect(kinds.normalization(n)).toEqual({ data: [0], scale: 1, bias: 2 });
  expect(nodes('!SkipLayerNormalization !SkipSimplifiedLayerNormalization').map(kinds.normalization)).toEqual([
    { data: [0, 1], scale: 2, bias: 3, sum: 3 },
    { data: [0, 1], scale: 2, bias: -1, sum: 3 },
  ]);
  expect(nodes('InstanceNormalization Add').map(kinds.normalization)).toEqual([undefined, undefined]);
});
it('joins', () => {
  expect(nodes('Add Sub Sum Mean').map(kinds.joins)).toEqual(['added', 'added', 'added', 'added']);
  expect(nodes('Concat Mul Relu').map(kinds.joins)).toEqual(['beside', undefined, undefined]);
});
it('dynamicForm', () => {
  expect(nodes('Conv LSTM GRU RNN ConvTranspose MatMul Gemm').map(kinds.dynamicForm)).toEqual([
    'convolution',
    'lstm',
    'none',
    'none',
    'none',
    'product',
    'product',
  ]);
});
it('control and tripsOf', () => {
  expect(nodes('If Loop Scan Relu !Loop').map(kinds.control)).toEqual([
    'branches',
    'repeats',
    'repeats',
    undefined,
    undefined,
  ]);
  const { graph } = parseModel(`<ir_version: 8, opset_import: ["" : 17]>
g (float[7,2] x, bool c) => (float y, float z, float[7,2] s) <int64 trips = {5}, bool go = {1}> {
  y = Loop<body = b (int64 i, bool d) => (bool e, float o) { e = Identity(d)  o = Cast<to=1>(i) }>(trips, go)
  z = Loop<body = b (int64 i, bool d) => (bool e, float o) { e = Identity(d)  o = Cast<to=1>(i) }>(, c)
  s = Scan<num_scan_inputs=1, body = b (float[2] r) => (float[2] t) { t = Relu(r) }>(x) }`);
  expect([...graph.nodes].map((n) => [n.op, kinds.tripsOf(n)])).toEqual([
    ['Loop', 5],
    ['Loop', 1],
    ['Scan', 7],
  ]);
  expect(kinds.tripsOf(of('If'))).toBe(1);
});
