/** Element-by-element ops, unary and broadcasting. https://onnx.ai/onnx/operators/ */
import type { DType } from '../ir/dtype.js';
import { dtypeFromCode } from '../ir/dtype.js';
import type { Dim, Node } from '../ir/graph.js';
import * as activation from './gradients/activations.js';
import * as arithmetic from './gradients/arithmetic.js';
import * as limited from './gradients/clip.js';
import { hardTanh, straightThrough } from './gradients/quant.js';
import { addends, elements, operands, product, scaled, sloped } from './links.js';
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
/** Steps, unless a straight-through estimator is asked for. */
const rounding = { rule: straightThrough, estimate: true } as const;
const logical = { quant: float('logical'), gradient: 'zero' } as const;

/** By default without an integer kernel, and elements keep their places. */
interface UnaryFacets extends Partial<Pick<OpSpec, 'quant' | 'links'>>, Pick<OpSpec, 'gradient'> {
  readonly dtype?: DType;
}
function unary(op: string, since: number, doc: string, { dtype, ...facets }: UnaryFacets): OpSpec {
  return {
    op,
    domain: '',
    since,
    doc,
    foldable: true,
    quant: noKernel,
    linear: 'no',
    links: elements,
    ...facets,
    cost: perElement,
    infer: (ctx) => {
      const x = ctx.input(0);
      return [{ dtype: dtype ?? x?.dtype, shape: x?.shape }];
    },
  };
}

type IntFunction = (a: number, b: number) => number | null;
interface BinaryFacets extends UnaryFacets {
  readonly ints?: IntFunction;
}
function binary(op: string, since: number, doc: string, options: BinaryFacets): OpSpec {
  const { dtype, ints: compute, ...facets } = options;
  return {
    op,
    domain: '',
    since,
    doc,
    foldable: true,
    quant: noKernel,
    linear: 'no',
    links: operands,
    ...facets,
    cost: perElement,
    infer(ctx) {
      const [a, b] = [ctx.input(0), ctx.input(1)];
      const ints = compute && combine(intsOf(ctx, 0), intsOf(ctx, 1), compute);
      return [{ dtype: dtype ?? a?.dtype ?? b?.dtype, shape: broadcast(a?.shape, b?.shape), ints }];
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
  ...binary('Equal', 1, 'a = b.', { ...logical, dtype: 'bool' }),
  infer(ctx) {
    const [a, b] = [intsOf(ctx, 0), intsOf(ctx, 1)];
    const n = lengthOf(a, b);
    const ints =
      a && b && n !== undefined ? Array.from({ length: n }, (_, i) => sameSize(at(a, i), at(b, i))) : undefined;
    return [{ dtype: 'bool', shape: broadcast(ctx.input(0)?.shape, ctx.input(1)?.shape), ints }];
  },
};
const summed = (qlinear: string): QuantRole => ({
  role: 'arithmetic',
  inputs: 'all',
  qlinear: qlinearEach(qlinear),
});

function variadic(
  op: string,
  since: number,
  doc: string,
  links: OpSpec['links'],
  gradient: OpSpec['gradient'],
): OpSpec {
  return {
    op,
    domain: '',
    since,
    doc,
    foldable: true,
    cost: perElement,
    quant: noKernel,
    linear: 'no',
    links,
    gradient,
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
  linear: 'no',
  links: elements,
  gradient: arithmetic.cast,
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
  linear: 'no',
  links: operands,
  gradient: arithmetic.where,
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
  unary('Relu', 1, 'max(x, 0).', {
    gradient: activation.relu,
    quant: { role: 'clamp', bounds: () => [0, Infinity] },
    links: scaled,
  }),
  unary('Clip', 1, 'Clamps to [min, max].', {
    gradient: limited.clip,
    quant: { role: 'clamp', bounds: clipBounds },
  }),
  unary('LeakyRelu', 1, 'x or alpha·x.', {
    gradient: activation.leakyRelu,
    quant: { role: 'arithmetic', inputs: [0], qlinear: qlinearEach('QLinearLeakyRelu') },
    links: scaled,
  }),
  unary('Sigmoid', 1, '1 / (1 + e^−x).', {
    gradient: activation.sigmoid,
    quant: { role: 'arithmetic', inputs: [0], range: [0, 1], qlinear: qlinearEach('QLinearSigmoid') },
  }),
  unary('Tanh', 1, 'Hyperbolic tangent.', {
    gradient: activation.tanh,
    // tanh x = 2 · sigmoid(2x) − 1
    quant: {
      role: 'arithmetic',
      inputs: [0],
      range: [-1, 1],
      twin: { op: 'Sigmoid', factor: 2, range: [0, 1] },
    },
  }),
  unary('Erf', 9, 'Error function.', { gradient: activation.erf }),
  unary('Exp', 1, 'e^x.', { gradient: activation.exp }),
  unary('Log', 1, 'Natural logarithm.', { gradient: activation.log }),
  unary('Sqrt', 1, 'Square root.', { gradient: activation.sqrt }),
  unary('Reciprocal', 1, '1 / x.', { gradient: activation.reciprocal }),
  unary('Neg', 1, '−x.', { gradient: activation.neg, links: scaled }),
  unary('Abs', 1, '|x|.', { gradient: activation.abs, links: scaled }),
  unary('Ceil', 1, 'Rounds up.', { gradient: rounding }),
  unary('Floor', 1, 'Rounds down.', { gradient: rounding }),
  unary('Round', 11, 'Rounds half to even.', { gradient: rounding }),
  unary('Sign', 9, 'Sign.', { gradient: { rule: hardTanh, estimate: true } }),
  unary('Elu', 1, 'Exponential linear unit.', { gradient: activation.elu }),
  unary('Selu', 1, 'Scaled ELU.', { gradient: activation.selu }),
  unary('Celu', 12, 'Continuous ELU.', { gradient: activation.celu }),
  unary('Softplus', 1, 'ln(1 + e^x).', { gradient: activation.softplus }),
  unary('Softsign', 1, 'x / (1 + |x|).', { gradient: activation.softsign }),
  unary('HardSigmoid', 1, 'Clamped line.', { gradient: activation.hardSigmoid }),
  unary('HardSwish', 14, 'x · HardSigmoid(x).', { gradient: activation.hardSwish }),
  unary('Gelu', 20, 'Gaussian error linear unit.', { gradient: activation.gelu }),
  unary('Mish', 18, 'x · tanh(softplus(x)).', { gradient: activation.mish }),
  unary('Swish', 24, 'x · sigmoid(αx).', { gradient: activation.swish }),
  unary('ThresholdedRelu', 10, 'x above alpha, else 0.', { gradient: activation.thresholdedRelu }),
  unary('Shrink', 9, 'Soft threshold.', { gradient: activation.shrink }),
  unary('Sin', 7, 'Sine.', { gradient: activation.sin }),
  unary('Cos', 7, 'Cosine.', { gradient: activation.cos }),
  unary('Tan', 7, 'Tangent.', { gradient: activation.tan }),
  unary('Asin', 7, 'Arc sine.', { gradient: activation.asin }),
  unary('Acos', 7, 'Arc cosine.', { gradient: activation.acos }),
  unary('Atan', 7, 'Arc tangent.', { gradient: activation.atan }),
  unary('Sinh', 9, 'Hyperbolic sine.', { gradient: activation.sinh }),
  unary('Cosh', 9, 'Hyperbolic cosine.', { gradient: activation.cosh }),
  unary('Asinh', 9, 'Inverse sinh.', { gradient: activation.asinh }),
  unary('Acosh', 9, 'Inverse cosh.', { gradient: activation.acosh }),
  unary('Atanh', 9, 'Inverse tanh.', { gradient: activation.atanh }),
  unary('Not', 1, 'Logical not.', logical),
  unary('BitwiseNot', 18, 'Bitwise not.', logical),
  unary('IsNaN', 9, 'Whether NaN.', { ...logical, dtype: 'bool' }),
  unary('IsInf', 10, 'Whether infinite.', { ...logical, dtype: 'bool' }),
  {
    ...unary('Identity', 1, 'The input itself.', {
      gradient: activation.identity,
      quant: { role: 'passthrough', data: [0] },
      links: scaled,
    }),
    cost: 'free',
    infer: (ctx) => [{ dtype: ctx.input(0)?.dtype, shape: ctx.input(0)?.shape, ints: intsOf(ctx, 0) }],
  },
  {
    ...unary('Dropout', 1, 'The input itself at inference.', {
      gradient: limited.dropout,
      quant: { role: 'passthrough', data: [0] },
      links: scaled,
    }),
    cost: 'free',
    infer: (ctx) => [
      { dtype: ctx.input(0)?.dtype, shape: ctx.input(0)?.shape },
      { dtype: 'bool', shape: ctx.input(0)?.shape },
    ],
  },
  binary('Add', 1, 'a + b.', {
    gradient: arithmetic.sumOfTwo,
    quant: summed('QLinearAdd'),
    links: addends,
    ints: (a, b) => a + b,
  }),
  binary('Mul', 1, 'a · b.', {
    gradient: arithmetic.productOfTwo,
    quant: summed('QLinearMul'),
    links: product,
    ints: (a, b) => a * b,
  }),
  binary('Sub', 1, 'a − b.', { gradient: arithmetic.difference, links: addends, ints: (a, b) => a - b }),
  binary('Div', 1, 'a / b.', {
    gradient: arithmetic.quotient,
    links: product,
    ints: (a, b) => (b === 0 ? null : Math.trunc(a / b) + 0),
  }),
  binary('Pow', 1, 'a^b.', { gradient: arithmetic.power }),
  binary('Mod', 10, 'Remainder.', { gradient: arithmetic.remainder }),
  binary('PRelu', 1, 'x or slope·x.', { gradient: limited.pRelu, links: sloped }),
  binary('And', 1, 'Logical and.', { ...logical, dtype: 'bool' }),
  binary('Or', 1, 'Logical or.', { ...logical, dtype: 'bool' }),
  binary('Xor', 1, 'Logical exclusive or.', { ...logical, dtype: 'bool' }),
  equal,
  binary('Greater', 1, 'a > b.', { ...logical, dtype: 'bool' }),
  binary('GreaterOrEqual', 12, 'a ≥ b.', { ...logical, dtype: 'bool' }),
  binary('Less', 1, 'a < b.', { ...logical, dtype: 'bool' }),
  binary('LessOrEqual', 12, 'a ≤ b.', { ...logical, dtype: 'bool' }),
  binary('BitwiseAnd', 18, 'Bitwise and.', logical),
  binary('BitwiseOr', 18, 'Bitwise or.', logical),
  binary('BitwiseXor', 18, 'Bitwise exclusive or.', logical),
  binary('BitShift', 11, 'Shift.', logical),
  variadic('Max', 1, 'Largest of the inputs.', operands, arithmetic.extremeOfAll),
  variadic('Min', 1, 'Smallest of the inputs.', operands, arithmetic.extremeOfAll),
  variadic('Sum', 1, 'Sum of the inputs.', addends, arithmetic.sumOfAll),
  variadic('Mean', 1, 'Mean of the inputs.', addends, arithmetic.meanOfAll),
  cast,
  where,
];
