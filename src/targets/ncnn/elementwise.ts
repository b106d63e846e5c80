/** Sums, products and functions of elements. source: src/layer/binaryop.cpp, unaryop.cpp and others */
import { filled, item } from '../../base/lists.js';
import { number } from '../shared/arguments.js';
import type { Edge, Layer } from '../shared/layers.js';
import { float, int, type NcnnNet, type Settings } from './file.js';
import { operand, operandRefused, sizesOf } from './sizes.js';

/** Number of an operation and of that with its operands exchanged. */
const BINARY: Readonly<Record<string, readonly [plain: number, exchanged: number]>> = {
  Add: [0, 0],
  Sum: [0, 0],
  Sub: [1, 7],
  Mul: [2, 2],
  Div: [3, 8],
  Max: [4, 4],
  Min: [5, 5],
  Pow: [6, 9],
};
const UNARY: readonly string[] =
  'Abs Neg Floor Ceil Square Sqrt Rsqrt Exp Log Sin Cos Tan Asin Acos Atan Reciprocal Tanh Log10 Round Trunc'.split(
    ' ',
  );
const FLOAT_MAX = 3.4028234663852886e38;

export const binaryOps: readonly string[] = Object.keys(BINARY);
export const unaryOps: readonly string[] = UNARY.filter((op) => !/Square|Rsqrt|Log10|Trunc|Tanh/.test(op));

/** Of two operands or more, one after the other. */
export function binary(l: Layer, net: NcnnNet): string | undefined {
  const y = filled(l.outputs, 0);
  const operands = l.inputs.filter((v) => v !== undefined);
  const rank = sizesOf(y).length;
  const refused = operands.map((v) => operandRefused(v, rank)).find((r) => r !== undefined);
  if (refused !== undefined) return refused;
  const [plain, exchanged] = filled([BINARY[l.op]], 0);
  const first = item(operands, 0);
  let made = operands.length > 1 && scalarOf(first) !== undefined ? undefined : operand(net, first, rank);
  for (const [i, next] of operands.entries()) {
    if (i === 0) continue;
    const scalar = scalarOf(next);
    const name = i === operands.length - 1 && !l.clamp ? y.name : `${y.name}_${i}`;
    if (made === undefined && scalar === undefined)
      made = net.add(
        'BinaryOp',
        name,
        [operand(net, next, rank)],
        scalarSettings(exchanged, filled([scalarOf(first)], 0)),
      );
    else if (scalar !== undefined)
      made = net.add('BinaryOp', name, [made ?? operand(net, first, rank)], scalarSettings(plain, scalar));
    else made = net.add('BinaryOp', name, [filled([made], 0), operand(net, next, rank)], { 0: int(plain) });
  }
  net.holds(y, clamped(l, net, filled([made], 0)));
  return undefined;
}
const scalarOf = ({ data }: Edge): number | undefined => (data?.size === 1 ? data.f64()[0] : undefined);
const scalarSettings = (operation: number, value: number): Settings => ({
  0: int(operation),
  1: int(1),
  2: float(value),
});

/** The Relu or Clip that a layer takes in, where ncnn's takes none. */
function clamped({ clamp, outputs }: Layer, net: NcnnNet, blob: string): string {
  return clamp ? clampOf(net, blob, clamp, filled(outputs, 0).name) : blob;
}
function clampOf(net: NcnnNet, blob: string, [low, high]: readonly [number, number], name: string): string {
  if (low === 0 && high === Infinity) return net.add('ReLU', name, [blob]);
  return net.add('Clip', name, [blob], { 0: float(Math.max(low, -FLOAT_MAX)), 1: float(Math.min(high, FLOAT_MAX)) });
}

export const unary = (l: Layer, net: NcnnNet): undefined => simple(l, net, 'UnaryOp', { 0: int(UNARY.indexOf(l.op)) });

function simple(l: Layer, net: NcnnNet, type: string, settings: Settings = {}): undefined {
  const y = filled(l.outputs, 0);
  net.holds(y, net.add(type, y.name, [net.blob(filled(l.inputs, 0))], settings));
}

type Writer = (l: Layer, net: NcnnNet) => string | undefined;
/** Functions of one operand by their ONNX names. */
export const functions: Readonly<Record<string, Writer>> = {
  Relu: (l, net) => simple(l, net, 'ReLU'),
  LeakyRelu: (l, net) => simple(l, net, 'ReLU', { 0: float(l.node.float('alpha', 0.01)) }),
  Sigmoid: (l, net) => simple(l, net, 'Sigmoid'),
  Tanh: (l, net) => simple(l, net, 'TanH'),
  Elu: (l, net) => simple(l, net, 'ELU', { 0: float(l.node.float('alpha', 1)) }),
  Mish: (l, net) => simple(l, net, 'Mish'),
  Erf: (l, net) => simple(l, net, 'Erf'),
  Gelu: (l, net) => simple(l, net, 'GELU', { 0: int(l.node.string('approximate', 'none') === 'tanh' ? 1 : 0) }),
  HardSigmoid: (l, net) => simple(l, net, 'HardSigmoid', slope(l, 0.2)),
  HardSwish: (l, net) => simple(l, net, 'HardSwish', { 0: float(1 / 6), 1: float(0.5) }),
  Selu: (l, net) =>
    simple(l, net, 'SELU', {
      0: float(l.node.float('alpha', 1.6732632423543772)),
      1: float(l.node.float('gamma', 1.0507009873554805)),
    }),
  Celu: (l, net) => simple(l, net, 'CELU', { 0: float(l.node.float('alpha', 1)) }),
  Clip(l, net) {
    const [low, high] = [number(l, 'min', 1, -Infinity), number(l, 'max', 2, Infinity)];
    if (low === undefined || high === undefined) return 'its limits are not constants';
    const y = filled(l.outputs, 0);
    net.holds(y, clampOf(net, net.blob(filled(l.inputs, 0)), [low, high], y.name));
    return undefined;
  },
  PRelu(l, net) {
    const slopes = l.inputs[1]?.data;
    if (!slopes) return 'its slope is not a constant';
    const channels = filled(l.inputs, 0).shape[1];
    const perChannel =
      slopes.size === 1 ||
      (slopes.size === channels && (slopes.dims.at(-1) === 1 || sizesOf(filled(l.inputs, 0)).length === 1));
    if (!perChannel) return 'its slope is not one number for each channel';
    simple(l, net, 'PReLU', { 0: int(slopes.size) });
    net.floats(slopes.f32());
    return undefined;
  },
};
const slope = (l: Layer, alpha: number): Settings => ({
  0: float(l.node.float('alpha', alpha)),
  1: float(l.node.float('beta', 0.5)),
});
