/** Operators that work element by element, normalisations and reductions. */
import { at, here, type FacetCase } from './case.js';

const UNARY =
  'Relu LeakyRelu Sigmoid Tanh Erf Exp Log Sqrt Reciprocal Neg Abs Ceil Floor Round Sign Elu Selu Celu Softplus ' +
  'Softsign HardSigmoid HardSwish Gelu Mish ThresholdedRelu Shrink Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh ' +
  'Atanh IsNaN IsInf Identity Dropout Clip Softmax LogSoftmax Hardmax LpNormalization MeanVarianceNormalization';
const FLOAT_PAIRS = 'Add Mul Sub Div Pow PRelu Greater GreaterOrEqual Less LessOrEqual Max Min Sum Mean';
const LOGICAL = 'And Or Xor';
const BITS = 'BitwiseAnd BitwiseOr BitwiseXor';
const REDUCTIONS =
  'ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare';
const each = (names: string, make: (op: string) => FacetCase[]): FacetCase[] => names.split(' ').flatMap(make);

export const elementwiseCases: readonly FacetCase[] = [
  ...each(UNARY, (op) => [
    here(`(float[N,3,4,2] x) => (y) { y = ${op}(x) }`),
    here(`(float[3,2,2,2] x) => (y) { y = ${op}(x) }`),
  ]),
  at(24)('(float[N,3] x) => (y) { y = Swish <alpha = 2.0> (x) }'),
  at(6)('(float[N,3] x) => (y) { y = Clip <min = 0.0, max = 6.0> (x) }'),
  here('(float[N,3] x, bool t) => (y, m) <float r = {0.5}> { y, m = Dropout(x, r) }'),
  here('(bool[N,3] x) => (y) { y = Not(x) }'),
  here('(uint8[N,3] x) => (y) { y = BitwiseNot(x) }'),
  // One operand of fewer axes, one of size 1 along another, and one that is wider on each side.
  ...each(FLOAT_PAIRS, (op) => [
    here(`(float[N,3,4] x, float[3,1] k) => (y) { y = ${op}(x, k) }`),
    here(`(float[N,3,4] x) => (y) <float[4] k> { y = ${op}(x, k) }`),
  ]),
  ...each('Add Mul Equal Max Mean', (op) => [
    here(`(float[3,1] k, float[N,1,4] x) => (y) { y = ${op}(k, x) }`),
    here(`(float[N,1] k, float[1,4] x) => (y) { y = ${op}(k, x) }`),
  ]),
  here('(float[N,3] a, float[3] b, float[1] c) => (y, z) { y = Sum(b, a, c)  z = Max(c, b, a) }'),
  here('(int32[N,3] x, int32[3] k) => (y, z) <int32 o = {1}> { y = Equal(x, k)  d = Add(k, o)  z = Mod(x, d) }'),
  here('(int64[N,3] x) => (y) <int64[3] k = {2,2,3}> { y = Mod(x, k) }'),
  ...each(LOGICAL, (op) => [here(`(bool[N,3,4] x, bool[4] k) => (y) { y = ${op}(x, k) }`)]),
  ...each(BITS, (op) => [here(`(uint8[N,3,4] x, uint8[3,1] k) => (y) { y = ${op}(x, k) }`)]),
  here('(uint8[N,3] x, uint8[3] k) => (y) { y = BitShift <direction = "LEFT"> (x, k) }'),
  here('(float[N,3] x) => (y, z) { y = Cast <to = 7> (x)  z = Cast <to = 10> (x) }'),
  here('(uint8[N,3] x) => (y, z) { y = Cast <to = 1> (x)  z = Cast <to = 9> (x) }'),
  here('(bool[3,1] c, float[N,1,4] a, float[4] b) => (y) { y = Where(c, a, b) }'),
  here('(bool[N,3] c, int64 a, int64[3] b) => (y) { y = Where(c, a, b) }'),

  here(
    '(float[N,3,4] x) => (y) <float[3] g, float[3] b, float[3] m, float[3] v> { y = BatchNormalization(x, ' +
      'g, b, m, v) }',
  ),
  here('(float[N,3,4] x) => (y) <float[3] g, float[3] b> { y = InstanceNormalization(x, g, b) }'),
  here('(float[N,4,5] x) => (y) <float[4] g, float[4] b> { y = GroupNormalization <num_groups = 2> (x, g, b) }'),
  here('(float[N,4,5] x) => (y, m, s) <float[5] g, float[5] b> { y, m, s = LayerNormalization(x, g, b) }'),
  here('(float[N,4,5] x) => (y, m, s) <float[4,5] g> { y, m, s = LayerNormalization <axis = 1> (x, g) }'),
  at(23)('(float[N,4,5] x) => (y) <float[5] g> { y = RMSNormalization(x, g) }'),
  here('(float[N,4,5] x) => (y) <float[5] g> { y = SimplifiedLayerNormalization(x, g) }'),
  here(
    '(float[N,4,8] x, float[N,4,8] z) => (y, s) <float[8] g, float[8] b> { y, , , s = ' +
      'com.microsoft.SkipSimplifiedLayerNormalization(x, z, g, b) }',
  ),
  here(
    '(float[N,4,8] x, float[N,4,8] z) => (y, s) <float[8] g, float[8] b, float[8] c> { y, , , s = ' +
      'com.microsoft.SkipLayerNormalization(x, z, g, b, c) }',
  ),
  here('(float[N,4,8] x) => (y) { y = com.microsoft.Gelu(x) }'),
  here('(float[N,4,8] x) => (y) { y = com.microsoft.QuickGelu(x) }'),
  here('(float[N,4,8] x) => (y) <float[8] b> { y = com.microsoft.BiasGelu(x, b) }'),
  here('(float[N,4,8] x) => (y, z) <float[8] b> { y = com.microsoft.FastGelu(x, b)  z = com.microsoft.FastGelu(x) }'),
  here('(float[N,4,5,5] x) => (y) { y = LRN <size = 3> (x) }'),

  ...each(REDUCTIONS, (op) => [
    at(18)(
      `(float[N,3,4] x) => (y, z) <int64[1] a = {1}, int64[2] b = {-1,0}> { y = ${op}(x, a)  z = ${op} ` +
        '<keepdims = 0> (x, b) }',
    ),
    at(18)(
      `(float[N,3,4] x) => (y, z, e) <int64[0] a = {}> { y = ${op}(x)  z = ${op} <keepdims = 0> (x)  e = ` +
        `${op} <noop_with_empty_axes = 1> (x, a) }`,
    ),
    at(11)(`(float[N,3,4] x) => (y, z) { y = ${op} <axes = [2]> (x)  z = ${op} <axes = [-2], keepdims = 0> (x) }`),
  ]),
  ...each('ArgMax ArgMin', (op) => [
    here(
      `(float[N,3,4] x) => (y, z, d) { y = ${op} <axis = 1> (x)  z = ${op} <axis = -1, keepdims = 0> (x)  d ` +
        `= ${op}(x) }`,
    ),
  ]),
];
