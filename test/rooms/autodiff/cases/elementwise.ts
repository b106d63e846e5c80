/** Rules of elementwise operators, reductions and operators that move elements. */
import type { RuleCase } from '../check.js';

const SHAPES = ['[7]', '[2,3]', '[2,1,3,2]'];
const unary = (op: string, more: Partial<RuleCase> = {}): RuleCase[] =>
  SHAPES.map((s) => ({ graph: `(real${s} x) => (real${s} y) { y = ${op} (x) }`, ...more }));
/** Operands that are equal, that broadcast, and of which one is a scalar. */
const binary = (op: string, more: Partial<RuleCase> = {}): RuleCase[] =>
  [
    ['[2,3]', '[2,3]', '[2,3]'],
    ['[2,3,4]', '[3,1]', '[2,3,4]'],
    ['', '[4]', '[4]'],
    ['[1,3]', '[2,1]', '[2,3]'],
  ].map(([a, b, y]) => ({ graph: `(real${a} a, real${b} b) => (real${y} y) { y = ${op} (a, b) }`, ...more }));
const reduce = (op: string, more: Partial<RuleCase> = {}): RuleCase[] => [
  { graph: `(real[2,3,4] x) => (real[2,1,1] y) <int64[2] a = {1,-1}> { y = ${op} (x, a) }`, ...more },
  { graph: `(real[2,3,4] x) => (real[3] y) <int64[2] a = {0,2}> { y = ${op} <keepdims = 0> (x, a) }`, ...more },
  { graph: `(real[5] x) => (real y) { y = ${op} <keepdims = 0> (x) }`, ...more },
];
const positive = { within: [0.2, 2] } as const;
const F = { type: 'float' } as const;
const K = { ...F, kinks: [0] } as const;

export const elementwiseCases: Readonly<Record<string, readonly RuleCase[]>> = {
  Relu: unary('Relu'),
  Clip: [
    { graph: '(real[9] x, real l, real h) => (real[9] y) { y = Clip (x, l, h) }', given: { l: [-0.3], h: [0.4] } },
    { graph: '(real[2,4] x, real h) => (real[2,4] y) { y = Clip (x, , h) }', given: { h: [0.2] } },
    { graph: '(real[2,4] x, real l) => (real[2,4] y) { y = Clip (x, l) }', given: { l: [0.2] } },
    { graph: '(real[2,4] x) => (real[2,4] y) { y = Clip (x) }' },
  ],
  LeakyRelu: [...unary('LeakyRelu', K), ...unary('LeakyRelu <alpha = 0.3>', K)],
  PRelu: [
    { graph: '(real[2,3,4] x, real[3,1] s) => (real[2,3,4] y) { y = PRelu (x, s) }', ...K },
    { graph: '(real[2,4] x, real[4] s) => (real[2,4] y) { y = PRelu (x, s) }', ...K },
    { graph: '(real[5] x, real[1] s) => (real[5] y) { y = PRelu (x, s) }', ...K },
  ],
  Sigmoid: unary('Sigmoid'),
  Tanh: unary('Tanh'),
  Erf: unary('Erf', F),
  Exp: unary('Exp'),
  Log: unary('Log', positive),
  Sqrt: unary('Sqrt', positive),
  Reciprocal: unary('Reciprocal', positive),
  Neg: unary('Neg'),
  Abs: unary('Abs'),
  Elu: [...unary('Elu', K), ...unary('Elu <alpha = 1.7>', K)],
  Selu: [...unary('Selu', K), ...unary('Selu <alpha = 1.2, gamma = 0.7>', K)],
  Celu: [...unary('Celu', K), ...unary('Celu <alpha = 0.5>', K)],
  Softplus: unary('Softplus', F),
  Softsign: unary('Softsign', F),
  HardSigmoid: [
    ...unary('HardSigmoid', { ...F, kinks: [-2.5, 2.5] }),
    ...unary('HardSigmoid <alpha = 0.9, beta = 0.4>', { ...F, kinks: [-0.4 / 0.9, 0.6 / 0.9] }),
  ],
  HardSwish: unary('HardSwish', { ...F, within: [-5, 5], kinks: [-3, 3] }),
  Gelu: [...unary('Gelu', F), ...unary('Gelu <approximate = "tanh">')],
  Mish: unary('Mish', F),
  Swish: [...unary('Swish', { opset: 24 }), ...unary('Swish <alpha = 1.6>', { opset: 24 })],
  ThresholdedRelu: unary('ThresholdedRelu <alpha = 0.3>', { ...F, kinks: [0.3] }),
  Shrink: unary('Shrink <lambd = 0.4, bias = 0.1>', { ...F, kinks: [-0.4, 0.4] }),
  Sin: unary('Sin'),
  Cos: unary('Cos'),
  Tan: unary('Tan', { ...F, within: [-1, 1] }),
  Asin: unary('Asin', { ...F, within: [-0.8, 0.8] }),
  Acos: unary('Acos', { ...F, within: [-0.8, 0.8] }),
  Atan: unary('Atan', F),
  Sinh: unary('Sinh', F),
  Cosh: unary('Cosh', F),
  Asinh: unary('Asinh', F),
  Acosh: unary('Acosh', { ...F, within: [1.2, 3] }),
  Atanh: unary('Atanh', { ...F, within: [-0.8, 0.8] }),
  Identity: unary('Identity'),
  Dropout: unary('Dropout'),
  Add: binary('Add'),
  Sub: binary('Sub'),
  Mul: binary('Mul'),
  Div: binary('Div', positive),
  Pow: [
    ...binary('Pow', positive),
    ...[2, 3, 0, 1, 0.5, -1].map((p) => ({
      graph: `(real[2,3] x) => (real[2,3] y) <real p = {${p}}> { y = Pow (x, p) }`,
      ...positive,
    })),
    { graph: '(real[4] x) => (real[4] y) <int64 p = {3}> { y = Pow (x, p) }' },
  ],
  Mod: binary('Mod <fmod = 1>', { within: [0.5, 3] }),
  Max: binary('Max'),
  Min: binary('Min'),
  Sum: binary('Sum'),
  Mean: binary('Mean', F),
  Cast: ['[5]', '[2,3]', ''].map((s): RuleCase => ({
    graph: `(real${s} x) => (real${s} y) { a = Cast <to = 11> (x) b = Sin (a) y = Cast <to = 1> (b) }`,
    ...F,
  })),
  Where: [
    { graph: '(bool[2,3] c, real[2,3] a, real[3] b) => (real[2,3] y) { y = Where (c, a, b) }' },
    { graph: '(bool[3] c, real[2,1] a, real b) => (real[2,3] y) { y = Where (c, a, b) }' },
    { graph: '(bool[2,1] c, real[4] a, real[2,4] b) => (real[2,4] y) { y = Where (c, a, b) }' },
  ],
  ReduceSum: [
    ...reduce('ReduceSum'),
    { graph: '(real[2,3] x) => (real[2,3] y) { y = ReduceSum <noop_with_empty_axes = 1> (x) }' },
    { graph: '(real[2,3] x) => (real[2,1] y) { y = ReduceSum <axes = [1]> (x) }', opset: 11 },
  ],
  ReduceMean: [
    ...reduce('ReduceMean'),
    { graph: '(real[2,3] x) => (real[2,1] y) { y = ReduceMean <axes = [1]> (x) }', opset: 13 },
  ],
  ReduceMax: reduce('ReduceMax'),
  ReduceMin: reduce('ReduceMin'),
  ReduceProd: [
    ...reduce('ReduceProd'),
    { graph: '(real[5] x) => (real y) { y = ReduceProd <keepdims = 0> (x) }', given: { x: [2, 0, 3, 1, 0.5] } },
    { graph: '(real[4] x) => (real y) { y = ReduceProd <keepdims = 0> (x) }', given: { x: [2, 0, 3, 0] } },
  ],
  ReduceL1: reduce('ReduceL1'),
  ReduceL2: reduce('ReduceL2'),
  ReduceLogSum: reduce('ReduceLogSum', positive),
  ReduceLogSumExp: reduce('ReduceLogSumExp'),
  ReduceSumSquare: reduce('ReduceSumSquare'),
  CumSum: ['', ' <exclusive = 1>', ' <reverse = 1>', ' <reverse = 1, exclusive = 1>'].map((a) => ({
    graph: `(real[2,3,2] x) => (real[2,3,2] y) <int64 i = {1}> { y = CumSum${a} (x, i) }`,
  })),
};
