/** Element-by-element ops, unary and broadcasting. https://onnx.ai/onnx/operators/ */
import type { DType } from '../ir/dtype.js';
import { dtypeFromCode } from '../ir/dtype.js';
import type { Dim, Node } from '../ir/graph.js';
import {
  atLeastOne,
  broadcast,
  intsOf,
  perElement,
  qlinearEach,
  type InferContext,
  type Known,
  type OpSpec,
  type QuantRole,
} from './spec.js';

const float = (because: string): QuantRole => ({ role: 'float', because });
const noKernel = float('no integer kernel');

function unary(op: string, since: number, doc: string, quant: QuantRole = noKernel, dtype?: DType): OpSpec {
  return {
    op,
    domain: '',
    since,
    doc,
    foldable: true,
    quant,
    cost: perElement,
    infer: (ctx) => {
      const x = ctx.input(0);
      return [{ dtype: dtype ?? x?.dtype, shape: x?.shape }];
    },
  };
}

type IntFunction = (a: number, b: number) => number | null;
function binary(
  op: string,
  since: number,
  doc: string,
  quant: QuantRole = noKernel,
  options: { dtype?: DType; ints?: IntFunction } = {},
): OpSpec {
  return {
    op,
    domain: '',
    since,
    doc,
    foldable: true,
    quant,
    cost: perElement,
    infer(ctx) {
      const [a, b] = [ctx.input(0), ctx.input(1)];
      const ints = options.ints && combine(intsOf(ctx, 0), intsOf(ctx, 1), options.ints);
      return [{ dtype: options.dtype ?? a?.dtype ?? b?.dtype, shape: broadcast(a?.shape, b?.shape), ints }];
    },
  };
}
function combine(
  a: readonly Dim[] | undefined,
  b: readonly Dim[] | undefined,
  f: IntFunction,
): readonly Dim[] | undefined {
  if (!a || !b || !(a.length === b.length || a.length === 1 || b.length === 1)) return undefined;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const x = a.length === 1 ? a[0] : a[i];
    const y = b.length === 1 ? b[0] : b[i];
    if (typeof x === 'number' && typeof y === 'number') return f(x, y);
    if (y === 1 && typeof x === 'string' && f(5, 1) === 5) return x; // a symbol times or divided by one
    if (y === 0 && typeof x === 'string' && f(5, 0) === 5) return x; // plus or minus nothing
    return null;
  });
}
/** Whether two elements of shape arithmetic are equal, as 1 or 0. A size, known or not, is never negative. */
function sameSize(x: Dim, y: Dim): Dim {
  if (x === null || y === null) return null;
  if (x === y) return 1;
  if (typeof x === 'number' && typeof y === 'number') return 0;
  return (typeof x === 'number' && x < 0) || (typeof y === 'number' && y < 0) ? 0 : null;
}
/** The i-th element of a vector, or the only one of a vector that is broadcast. */
const at = (v: readonly Dim[], i: number): Dim => (v.length === 1 ? v[0] : v[i]) ?? null;
const lengthOf = (...v: readonly (readonly Dim[] | undefined)[]): number | undefined => {
  const n = Math.max(...v.map((x) => x?.length ?? 0));
  return v.every((x) => x && (x.length === n || x.length === 1)) ? n : undefined;
};
const equal: OpSpec = {
  ...binary('Equal', 1, 'a = b.', float('logical'), { dtype: 'bool' }),
  infer(ctx) {
    const [a, b] = [intsOf(ctx, 0), intsOf(ctx, 1)];
    const n = lengthOf(a, b);
    const ints =
      a && b && n !== undefined ? Array.from({ length: n }, (_, i) => sameSize(at(a, i), at(b, i))) : undefined;
    return [{ dtype: 'bool', shape: broadcast(ctx.input(0)?.shape, ctx.input(1)?.shape), ints }];
  },
};
const arithmetic = (qlinear: string): QuantRole => ({
  role: 'arithmetic',
  inputs: 'all',
  qlinear: qlinearEach(qlinear),
});

function variadic(op: string, since: number, doc: string): OpSpec {
  return {
    op,
    domain: '',
    since,
    doc,
    foldable: true,
    cost: perElement,
    quant: noKernel,
    infer(ctx) {
      atLeastOne(ctx);
      return [
        {
          dtype: ctx.input(0)?.dtype,
          shape: ctx.node.inputs.map((_, i) => ctx.input(i)?.shape).reduce((a, b) => broadcast(a, b)),
        },
      ];
    },
  };
}

/** Bounds of a Clip whose limits are attributes (opset < 11) or constants. */
function clipBounds(node: Node): readonly [number, number] | undefined {
  const bound = (i: number, attr: string, fallback: number): number | undefined => {
    const v = node.inputs[i];
    if (v) return v.isInitializer ? v.data?.f64()[0] : undefined;
    return node.float(attr, fallback);
  };
  const low = bound(1, 'min', -Infinity);
  const high = bound(2, 'max', Infinity);
  return low === undefined || high === undefined ? undefined : [low, high];
}

export const cast = {
  op: 'Cast',
  domain: '',
  since: 1,
  doc: 'Conversion to another element type.',
  foldable: true,
  cost: perElement,
  quant: float('changes the type'),
  infer(ctx) {
    const x = ctx.input(0);
    return [{ dtype: dtypeFromCode(ctx.node.int('to')), shape: x?.shape, ints: intsOf(ctx, 0) }];
  },
} satisfies OpSpec;

export const where = {
  op: 'Where',
  domain: '',
  since: 9,
  doc: 'Chooses by a condition.',
  foldable: true,
  cost: perElement,
  quant: {
    role: 'arithmetic',
    inputs: [1, 2],
    qlinear: { op: 'QLinearWhere', domain: 'com.microsoft', form: 'where' },
  },
  infer(ctx: InferContext): Known[] {
    const [c, a, b] = [ctx.input(0)?.ints, intsOf(ctx, 1), intsOf(ctx, 2)];
    const n = lengthOf(c, a, b);
    const choose = (i: number): Dim => {
      const k = at(c!, i);
      return k === 1 ? at(a!, i) : k === 0 ? at(b!, i) : null;
    }; // only where lengthOf saw all three
    return [
      {
        dtype: ctx.input(1)?.dtype,
        shape: broadcast(broadcast(ctx.input(0)?.shape, ctx.input(1)?.shape), ctx.input(2)?.shape),
        ints: n === undefined ? undefined : Array.from({ length: n }, (_, i) => choose(i)),
      },
    ];
  },
} satisfies OpSpec;

export const elementwiseOps: readonly OpSpec[] = [
  unary('Relu', 1, 'max(x, 0).', { role: 'clamp', bounds: () => [0, Infinity] }),
  { ...unary('Clip', 1, 'Clamps to [min, max].', { role: 'clamp', bounds: clipBounds }) },
  unary('LeakyRelu', 1, 'x or alpha·x.', { role: 'arithmetic', inputs: [0], qlinear: qlinearEach('QLinearLeakyRelu') }),
  unary('Sigmoid', 1, '1 / (1 + e^−x).', {
    role: 'arithmetic',
    inputs: [0],
    range: [0, 1],
    qlinear: qlinearEach('QLinearSigmoid'),
  }),
  unary('Tanh', 1, 'Hyperbolic tangent.', {
    role: 'arithmetic',
    inputs: [0],
    range: [-1, 1],
    twin: { op: 'Sigmoid', factor: 2, range: [0, 1] },
  }), // tanh x = 2 · sigmoid(2x) − 1
  unary('Erf', 9, 'Error function.'),
  unary('Exp', 1, 'e^x.'),
  unary('Log', 1, 'Natural logarithm.'),
  unary('Sqrt', 1, 'Square root.'),
  unary('Reciprocal', 1, '1 / x.'),
  unary('Neg', 1, '−x.'),
  unary('Abs', 1, '|x|.'),
  unary('Ceil', 1, 'Rounds up.'),
  unary('Floor', 1, 'Rounds down.'),
  unary('Round', 11, 'Rounds half to even.'),
  unary('Sign', 9, 'Sign.'),
  unary('Elu', 1, 'Exponential linear unit.'),
  unary('Selu', 1, 'Scaled ELU.'),
  unary('Celu', 12, 'Continuous ELU.'),
  unary('Softplus', 1, 'ln(1 + e^x).'),
  unary('Softsign', 1, 'x / (1 + |x|).'),
  unary('HardSigmoid', 1, 'Clamped line.'),
  unary('HardSwish', 14, 'x · HardSigmoid(x).'),
  unary('Gelu', 20, 'Gaussian error linear unit.'),
  unary('Mish', 18, 'x · tanh(softplus(x)).'),
  unary('Swish', 24, 'x · sigmoid(αx).'),
  unary('ThresholdedRelu', 10, 'x above alpha, else 0.'),
  unary('Shrink', 9, 'Soft threshold.'),
  unary('Sin', 7, 'Sine.'),
  unary('Cos', 7, 'Cosine.'),
  unary('Tan', 7, 'Tangent.'),
  unary('Asin', 7, 'Arc sine.'),
  unary('Acos', 7, 'Arc cosine.'),
  unary('Atan', 7, 'Arc tangent.'),
  unary('Sinh', 9, 'Hyperbolic sine.'),
  unary('Cosh', 9, 'Hyperbolic cosine.'),
  unary('Asinh', 9, 'Inverse sinh.'),
  unary('Acosh', 9, 'Inverse cosh.'),
  unary('Atanh', 9, 'Inverse tanh.'),
  unary('Not', 1, 'Logical not.', float('logical')),
  unary('BitwiseNot', 18, 'Bitwise not.', float('logical')),
  unary('IsNaN', 9, 'Whether NaN.', float('logical'), 'bool'),
  unary('IsInf', 10, 'Whether infinite.', float('logical'), 'bool'),
  {
    ...unary('Identity', 1, 'The input itself.', { role: 'passthrough', data: [0] }),
    cost: 'free',
    infer: (ctx) => [{ dtype: ctx.input(0)?.dtype, shape: ctx.input(0)?.shape, ints: intsOf(ctx, 0) }],
  },
  {
    ...unary('Dropout', 1, 'The input itself at inference.', { role: 'passthrough', data: [0] }),
    cost: 'free',
    infer: (ctx) => [
      { dtype: ctx.input(0)?.dtype, shape: ctx.input(0)?.shape },
      { dtype: 'bool', shape: ctx.input(0)?.shape },
    ],
  },
  binary('Add', 1, 'a + b.', arithmetic('QLinearAdd'), { ints: (a, b) => a + b }),
  binary('Mul', 1, 'a · b.', arithmetic('QLinearMul'), { ints: (a, b) => a * b }),
  binary('Sub', 1, 'a − b.', noKernel, { ints: (a, b) => a - b }),
  binary('Div', 1, 'a / b.', noKernel, { ints: (a, b) => (b === 0 ? null : Math.trunc(a / b) + 0) }),
  binary('Pow', 1, 'a^b.'),
  binary('Mod', 10, 'Remainder.'),
  binary('PRelu', 1, 'x or slope·x.'),
  binary('And', 1, 'Logical and.', float('logical'), { dtype: 'bool' }),
  binary('Or', 1, 'Logical or.', float('logical'), { dtype: 'bool' }),
  binary('Xor', 1, 'Logical exclusive or.', float('logical'), { dtype: 'bool' }),
  equal,
  binary('Greater', 1, 'a > b.', float('logical'), { dtype: 'bool' }),
  binary('GreaterOrEqual', 12, 'a ≥ b.', float('logical'), { dtype: 'bool' }),
  binary('Less', 1, 'a < b.', float('logical'), { dtype: 'bool' }),
  binary('LessOrEqual', 12, 'a ≤ b.', float('logical'), { dtype: 'bool' }),
  binary('BitwiseAnd', 18, 'Bitwise and.', float('logical')),
  binary('BitwiseOr', 18, 'Bitwise or.', float('logical')),
  binary('BitwiseXor', 18, 'Bitwise exclusive or.', float('logical')),
  binary('BitShift', 11, 'Shift.', float('logical')),
  variadic('Max', 1, 'Largest of the inputs.'),
  variadic('Min', 1, 'Smallest of the inputs.'),
  variadic('Sum', 1, 'Sum of the inputs.'),
  variadic('Mean', 1, 'Mean of the inputs.'),
  cast,
  where,
];
