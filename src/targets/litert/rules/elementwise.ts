/** Operators that compute each element by itself, with broadcasting. */
import { item } from '../../../base/lists.js';
import type { Node } from '../../../ir/graph.js';
import { ACTIVATION, TENSOR_TYPES, type Operator, type OptionsOf } from '../schema.js';
import { clampedBy, type LayerWriter, type OnCodes, type Rule } from '../layer-writer.js';
import { isTensorType } from '../model-writer.js';
import type { LiteTensor } from '../tensors.js';

const NONE = { activation: ACTIVATION.NONE };
/** Operators without options. */
type Bare = { [O in Operator]: keyof OptionsOf<O> extends never ? O : never }[Operator];

const unary = (op: Bare, codes: OnCodes = 'none'): Rule => ({
  codes,
  write: (w) => w.give(w.op(op, [w.input(0)], {})),
});
/** An operator on two tensors of the same type, of which some runtimes have no more than float32. */
const binary = (op: Bare): Rule => ({
  codes: 'none',
  write: (w) => w.give(w.op(op, [w.input(0), w.input(1)], {})),
});
const arithmetic = (op: 'ADD' | 'SUB' | 'MUL' | 'DIV', codes: OnCodes = 'none'): Rule => ({
  codes,
  write: (w) => w.give(w.op(op, [w.input(0), w.input(1)], { activation: w.activation() })),
});
/** Any number of operands, two after two. */
const folded = (op: 'ADD' | 'MAXIMUM' | 'MINIMUM', finish?: (w: LayerWriter, t: LiteTensor) => LiteTensor): Rule => ({
  codes: 'none',
  write(w) {
    const inputs = w.layer.inputs.map((_, i) => w.real(i));
    const all = inputs.reduce((a, b) => {
      const shape = broadcast(a.shape, b.shape);
      return op === 'ADD' ? w.like('ADD', [a, b], NONE, shape) : w.like(op, [a, b], {}, shape);
    });
    w.give(finish ? finish(w, all) : all);
  },
});
export function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
    return x === 1 ? y : x;
  });
}
/** What is made of several operators on numbers. */
const composed = (make: (w: LayerWriter, x: LiteTensor) => LiteTensor, refuses?: Rule['refuses']): Rule => ({
  codes: 'none',
  ...(refuses ? { refuses } : {}),
  write: (w) => w.give(make(w, w.real(0))),
});
const add = (w: LayerWriter, a: LiteTensor, b: LiteTensor): LiteTensor =>
  w.float('ADD', [a, b], NONE, broadcast(a.shape, b.shape));
const sub = (w: LayerWriter, a: LiteTensor, b: LiteTensor): LiteTensor =>
  w.float('SUB', [a, b], NONE, broadcast(a.shape, b.shape));
const mul = (w: LayerWriter, a: LiteTensor, b: LiteTensor): LiteTensor =>
  w.float('MUL', [a, b], NONE, broadcast(a.shape, b.shape));
const div = (w: LayerWriter, a: LiteTensor, b: LiteTensor): LiteTensor =>
  w.float('DIV', [a, b], NONE, broadcast(a.shape, b.shape));
const exp = (w: LayerWriter, x: LiteTensor): LiteTensor => w.float('EXP', [x], {});

/** ln(1 + e^x) = max(x, 0) + ln(1 + e^−|x|), which does not overflow. */
function softplus(w: LayerWriter, x: LiteTensor): LiteTensor {
  const small = exp(w, w.float('NEG', [w.float('ABS', [x], {})], {}));
  return add(w, w.float('RELU', [x], {}), w.float('LOG', [add(w, small, w.number(1))], {}));
}
/** x where positive, else alpha·(e^(x/beta) − 1). */
function exponential(w: LayerWriter, x: LiteTensor, alpha: number, beta = 1): LiteTensor {
  const below = w.float('MINIMUM', [x, w.number(0)], {});
  const scaled = beta === 1 ? below : div(w, below, w.number(beta));
  return add(w, w.float('RELU', [x], {}), mul(w, w.float('ELU', [scaled], {}), w.number(alpha)));
}
/** Coefficients of erf: Abramowitz and Stegun, 7.1.26; within 1.5e-7. */
const ERF = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
function erf(w: LayerWriter, x: LiteTensor): LiteTensor {
  const size = w.float('ABS', [x], {});
  const t = div(w, w.number(1), add(w, mul(w, size, w.number(0.3275911)), w.number(1)));
  const horner = (y: LiteTensor, c: number): LiteTensor => add(w, mul(w, y, t), w.number(c));
  const first = add(w, mul(w, t, w.number(item(ERF, 0))), w.number(item(ERF, 1)));
  const sum = ERF.slice(2).reduce(horner, first);
  const decay = exp(w, w.float('NEG', [w.float('SQUARE', [x], {})], {}));
  return mul(w, w.float('SIGN', [x], {}), sub(w, w.number(1), mul(w, mul(w, sum, t), decay)));
}

/** max(0, min(1, alpha·x + beta)). */
const hardSigmoid = (w: LayerWriter, x: LiteTensor, alpha: number, beta: number): LiteTensor =>
  clampedBy(w, add(w, mul(w, x, w.number(alpha)), w.number(beta)), [0, 1]);

const compare = (op: Bare): Rule => ({
  codes: 'none',
  write: (w) => w.give(w.model.op(op, [w.real(0), w.real(1)], { type: 'bool' }, w.out().shape, {}, w.out().name)),
});

const clip: Rule = {
  codes: 'same',
  refuses: (node) =>
    [1, 2].some((i) => node.inputs[i] && !node.inputs[i].data) ? 'its limits are not constant' : undefined,
  write(w) {
    const bound = (i: number, attribute: string, none: number): number =>
      w.has(i) ? item(w.constant(i)?.f64() ?? [], 0) : w.node.float(attribute, none);
    w.give(clampedBy(w, w.input(0), [bound(1, 'min', -Infinity), bound(2, 'max', Infinity)]));
  },
};
const relu: Rule = { codes: 'same', write: (w) => w.give(clampedBy(w, w.input(0), [0, Infinity])) };

const power: Rule = {
  codes: 'none',
  write(w) {
    const data = w.constant(1);
    const exponent = data?.size === 1 ? data.f64()[0] : undefined;
    const x = w.real(0);
    const same = w.out().shape.length === x.shape.length;
    if (exponent === 2 && same) w.give(w.float('SQUARE', [x], {}));
    else if (exponent === 0.5 && same) w.give(w.float('SQRT', [x], {}));
    else w.give(w.op('POW', [x, w.real(1)], {}));
  },
};

const cast: Rule = {
  codes: 'none',
  write(w) {
    const x = w.real(0);
    const { dtype } = w.out();
    if (!isTensorType(dtype)) return w.refuse(`it makes ${dtype}`);
    w.give(x.type === dtype ? x : w.op('CAST', [x], { from: TENSOR_TYPES[x.type], to: TENSOR_TYPES[dtype] }));
  },
};

/** A slope for each channel, as PRELU takes it: the axes behind the batch. */
const pRelu: Rule = {
  codes: 'none',
  write(w) {
    const [x, slope] = [w.real(0), w.constant(1)];
    const rank = x.shape.length;
    if (!slope || slope.dims.length > rank || (slope.dims.length === rank && slope.dims[0] !== 1)) {
      const negative = mul(w, w.float('MINIMUM', [x, w.number(0)], {}), w.real(1));
      w.give(add(w, w.float('RELU', [x], {}), negative));
      return;
    }
    const dims = [...Array<number>(rank).fill(1), ...slope.dims].slice(-(rank - 1));
    w.give(w.op('PRELU', [x, w.model.constant(slope.reshaped(dims), w.edge(1).name)], {}));
  },
};

const where: Rule = {
  codes: 'none',
  write: (w) => w.give(w.op('SELECT_V2', [w.real(0), w.real(1), w.real(2)], {})),
};
const bothFloat = (node: Node): string | undefined =>
  node.int('fmod', 0) === 0 ? undefined : 'FLOOR_MOD takes the sign of the divisor, fmod that of the dividend';

/** A curve with its scale and zero point fixed in the kernel. */
const fixed = (op: 'LOGISTIC' | 'TANH', scale: number, zeroPoint: number): Rule => ({
  codes: 'own',
  write(w) {
    const quant = { scale: [scale], zeroPoint: [zeroPoint], axis: 0 };
    const x = w.input(0);
    w.give(w.onCodes ? w.model.op(op, [x], { type: 'int8', quant }, x.shape, {}, w.out().name) : w.op(op, [x], {}));
  },
});
const same: Rule = { codes: 'same', write: (w) => w.give(w.input(0)) };

export const elementwise: Readonly<Record<string, Rule>> = {
  Add: arithmetic('ADD', 'own'),
  Mul: arithmetic('MUL', 'own'),
  Sub: arithmetic('SUB', 'own'),
  Div: arithmetic('DIV'),
  Max: folded('MAXIMUM'),
  Min: folded('MINIMUM'),
  Sum: folded('ADD'),
  Mean: folded('ADD', (w, t) => mul(w, t, w.number(1 / w.layer.inputs.length))),
  Pow: power,
  Mod: { codes: 'none', refuses: bothFloat, write: (w) => w.give(w.op('FLOOR_MOD', [w.real(0), w.real(1)], {})) },
  PRelu: pRelu,
  And: binary('LOGICAL_AND'),
  Or: binary('LOGICAL_OR'),
  Xor: compare('NOT_EQUAL'),
  Not: unary('LOGICAL_NOT'),
  Equal: compare('EQUAL'),
  Greater: compare('GREATER'),
  GreaterOrEqual: compare('GREATER_EQUAL'),
  Less: compare('LESS'),
  LessOrEqual: compare('LESS_EQUAL'),
  Where: where,
  Cast: cast,
  Relu: relu,
  Clip: clip,
  LeakyRelu: {
    codes: 'own',
    write: (w) => w.give(w.op('LEAKY_RELU', [w.input(0)], { alpha: w.node.float('alpha', 0.01) })),
  },
  Sigmoid: fixed('LOGISTIC', 1 / 256, -128),
  Tanh: fixed('TANH', 1 / 128, 0),
  HardSwish: unary('HARD_SWISH'),
  HardSigmoid: composed((w, x) => hardSigmoid(w, x, w.node.float('alpha', 0.2), w.node.float('beta', 0.5))),
  Gelu: composed((w, x) => w.float('GELU', [x], { approximate: w.node.string('approximate', 'none') === 'tanh' })),
  Elu: composed((w, x) => {
    const alpha = w.node.float('alpha', 1);
    return alpha === 1 ? w.float('ELU', [x], {}) : exponential(w, x, alpha);
  }),
  Celu: composed((w, x) => exponential(w, x, w.node.float('alpha', 1), w.node.float('alpha', 1))),
  Selu: composed((w, x) =>
    mul(
      w,
      exponential(w, x, w.node.float('alpha', 1.6732632423543772)),
      w.number(w.node.float('gamma', 1.0507009873554805)),
    ),
  ),
  Softplus: composed(softplus),
  Softsign: composed((w, x) => div(w, x, add(w, w.float('ABS', [x], {}), w.number(1)))),
  Mish: composed((w, x) => mul(w, x, w.float('TANH', [softplus(w, x)], {}))),
  Swish: composed((w, x) => {
    const alpha = w.node.float('alpha', 1);
    return mul(w, x, w.float('LOGISTIC', [alpha === 1 ? x : mul(w, x, w.number(alpha))], {}));
  }),
  Erf: composed(erf),
  Exp: unary('EXP'),
  Log: unary('LOG'),
  Sqrt: unary('SQRT'),
  Reciprocal: composed((w, x) => div(w, w.number(1), x)),
  Neg: unary('NEG'),
  Abs: unary('ABS'),
  Ceil: unary('CEIL'),
  Floor: unary('FLOOR'),
  Round: unary('ROUND'),
  Sign: unary('SIGN'),
  Sin: unary('SIN'),
  Cos: unary('COS'),
  Identity: same,
  Dropout: { ...same, refuses: (node) => (node.outputs[1]?.name ? 'its mask is used' : undefined) },
};
