/** Sums, products, functions of elements, pools and reductions. */
import { filled, item } from '../../base/lists.js';
import { normalAxis } from '../../ops/spec.js';
import { axesOf, number } from '../shared/arguments.js';
import type { Edge, Layer } from '../shared/layers.js';
import { coversMap, windowOf } from '../../ops/window.js';
import type { Attribute, PaddleProgram } from './program.js';

type Writer = (l: Layer, to: PaddleProgram) => string | undefined;
const FLOAT_MAX = 3.4028234663852886e38;
const float = (x: number): Attribute => ({ float: Math.min(Math.max(x, -FLOAT_MAX), FLOAT_MAX) });

/** Behind the Relu or Clip that a layer takes in. */
export function activated(l: Layer, to: PaddleProgram, value: string): string {
  return l.clamp ? clampOf(to, value, filled(l.outputs, 0), l.clamp) : value;
}
/**
 * What a `relu` makes becomes uint8 with 255 steps to the absolute maximum. source: paddle/fluid/framework/ir/onednn/
 * compute_propagate_scales_onednn_pass.cc, UpdateReluOutputScales
 */
function clampOf(to: PaddleProgram, value: string, y: Edge, [low, high]: readonly [number, number]): string {
  const made = to.temporary(y.name, y.shape);
  if (low === 0 && high === Infinity) to.add('relu', { X: value }, { Out: made });
  else to.add('clip', { X: value }, { Out: made }, { min: float(low), max: float(high) });
  return made;
}

const BINARY: Readonly<Record<string, string>> = {
  Add: 'elementwise_add',
  Sum: 'elementwise_add',
  Sub: 'elementwise_sub',
  Mul: 'elementwise_mul',
  Div: 'elementwise_div',
  Max: 'elementwise_max',
  Min: 'elementwise_min',
  Pow: 'elementwise_pow',
};
export const binaryOps: readonly string[] = Object.keys(BINARY);
/**
 * Of two operands or more. An elementwise_add becomes part of the convolution before it, which then stays float where
 * the result has no scale: a `sum` does not.
 * source: paddle/fluid/framework/ir/onednn/cpu_quantize_pass.cc, QuantizeConv
 */
export function binary(l: Layer, to: PaddleProgram): string | undefined {
  const y = filled(l.outputs, 0);
  const operands = l.inputs.filter((v) => v !== undefined);
  const widest = Math.max(...operands.map((v) => v.shape.length));
  const alike = operands.every((v) => !v.data && v.shape.join() === y.shape.join());
  if (BINARY[l.op] === 'elementwise_add' && alike && !y.params) {
    const sum = to.temporary(y.name, y.shape);
    to.add('sum', { X: operands.map((v) => to.value(v)) }, { Out: sum });
    to.sets(y, activated(l, to, sum));
    return undefined;
  }
  let made = wide(to, item(operands, 0), widest);
  for (const next of operands.slice(1)) {
    const result = to.temporary(y.name, y.shape);
    to.add(filled([BINARY[l.op]], 0), { X: made, Y: wide(to, next, widest) }, { Out: result }, { axis: -1 });
    made = result;
  }
  to.sets(y, activated(l, to, made));
  return undefined;
}
/** Constants get the axes that they lack. */
function wide(to: PaddleProgram, v: Edge, rank: number): string {
  if (!v.data || v.shape.length === rank) return to.value(v);
  const dims = [...new Array<number>(rank - v.shape.length).fill(1), ...v.shape];
  return to.parameter(v.name, 'float32', dims, v.data.f32());
}

function simple(
  l: Layer,
  to: PaddleProgram,
  type: string,
  attributes: Readonly<Record<string, Attribute>> = {},
): undefined {
  const y = filled(l.outputs, 0);
  const made = to.temporary(y.name, y.shape);
  to.add(type, { X: to.value(filled(l.inputs, 0)) }, { Out: made }, attributes);
  to.sets(y, made);
}
const plain =
  (type: string): Writer =>
  (l, to) =>
    simple(l, to, type);
const withFloat =
  (type: string, from: string, name: string, fallback: number): Writer =>
  (l, to) =>
    simple(l, to, type, { [name]: float(l.node.float(from, fallback)) });

export const functions: Readonly<Record<string, Writer>> = {
  Abs: plain('abs'),
  Ceil: plain('ceil'),
  Cos: plain('cos'),
  Erf: plain('erf'),
  Exp: plain('exp'),
  Floor: plain('floor'),
  Log: plain('log'),
  Mish: withFloat('mish', 'threshold', 'threshold', 20),
  Reciprocal: plain('reciprocal'),
  Sigmoid: plain('sigmoid'),
  Sin: plain('sin'),
  Softplus: plain('softplus'),
  Sqrt: plain('sqrt'),
  Tanh: plain('tanh'),
  Neg: (l, to) => simple(l, to, 'scale', { scale: float(-1), bias: float(0), bias_after_scale: true }),
  LeakyRelu: withFloat('leaky_relu', 'alpha', 'alpha', 0.01),
  Elu: withFloat('elu', 'alpha', 'alpha', 1),
  Gelu: (l, to) => simple(l, to, 'gelu', { approximate: l.node.string('approximate', 'none') === 'tanh' }),
  HardSwish: (l, to) => simple(l, to, 'hard_swish', { threshold: float(6), scale: float(6), offset: float(3) }),
  HardSigmoid: (l, to) =>
    simple(l, to, 'hard_sigmoid', {
      slope: float(l.node.float('alpha', 0.2)),
      offset: float(l.node.float('beta', 0.5)),
    }),
  Relu: (l, to) => clampLayer(l, to, [0, Infinity]),
  Clip(l, to) {
    const [low, high] = [number(l, 'min', 1, -Infinity), number(l, 'max', 2, Infinity)];
    return low === undefined || high === undefined ? 'its limits are not constants' : clampLayer(l, to, [low, high]);
  },
};
function clampLayer(l: Layer, to: PaddleProgram, limits: readonly [number, number]): undefined {
  const y = filled(l.outputs, 0);
  to.sets(y, clampOf(to, to.value(filled(l.inputs, 0)), y, limits));
}

/** Over the whole map as a mean: int8 kernels for such pools are not there, "could not create a descriptor". */
export function pool(l: Layer, to: PaddleProgram): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  if (l.outputs[1]) return 'its indices are wanted';
  if (x.shape.length !== 4) return `it has ${x.shape.length - 2} spatial axes, where 2 must be`;
  const max = l.op === 'MaxPool';
  const sizes = x.shape.slice(2);
  const w = windowOf(l.node, l.node.ints('kernel_shape'), sizes, y.shape.slice(2));
  if (w.dilations.some((d) => d !== 1)) return 'its window is dilated';
  if (w.tail.some((t) => t > 0)) return 'its windows reach beyond the padding (ceil_mode)';
  if (!max && coversMap(w, sizes)) return globalPool(l, to);
  return simple(l, to, 'pool2d', {
    pooling_type: max ? 'max' : 'avg',
    ksize: w.kernel,
    strides: w.strides,
    paddings: [0, 1].flatMap((i) => [item(w.before, i), item(w.after, i)]),
    global_pooling: false,
    adaptive: false,
    ceil_mode: false,
    exclusive: max || l.node.int('count_include_pad', 0) === 0,
    data_format: 'NCHW',
    padding_algorithm: 'EXPLICIT',
  });
}
export function globalPool(l: Layer, to: PaddleProgram): undefined {
  const dim = filled(l.inputs, 0)
    .shape.slice(2)
    .map((_, i) => i + 2);
  return simple(l, to, l.op === 'GlobalMaxPool' ? 'reduce_max' : 'reduce_mean', {
    dim,
    keep_dim: true,
    reduce_all: false,
  });
}

const REDUCTIONS: Readonly<Record<string, string>> = {
  ReduceMean: 'reduce_mean',
  ReduceSum: 'reduce_sum',
  ReduceMax: 'reduce_max',
  ReduceMin: 'reduce_min',
  ReduceProd: 'reduce_prod',
};
export const reductions: readonly string[] = Object.keys(REDUCTIONS);
export function reduce(l: Layer, to: PaddleProgram): string | undefined {
  const axes = axesOf(l);
  if (!axes) return 'its axes are not constants';
  if (l.node.int('noop_with_empty_axes', 0) === 1 && !l.inputs[1]) return 'it reduces nothing';
  if (axes.includes(0)) return 'it reduces the batch axis';
  return simple(l, to, filled([REDUCTIONS[l.op]], 0), {
    dim: axes,
    keep_dim: l.node.int('keepdims', 1) === 1,
    reduce_all: false,
  });
}

/** Before opset 13 over all axes from the given one on: the same where those behind it have one element. */
export function softmax(l: Layer, to: PaddleProgram, opset: number): string | undefined {
  const x = filled(l.inputs, 0);
  const axis = normalAxis(l.node.int('axis', opset < 13 ? 1 : -1), x.shape.length);
  if (opset < 13 && x.shape.slice(axis + 1).some((n) => n > 1)) return 'it runs over several axes';
  return simple(l, to, 'softmax', { axis });
}
