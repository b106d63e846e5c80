/** Pools, reductions and normalisations. source: src/layer/pooling.cpp, reduction.cpp, softmax.cpp, layernorm.cpp */
import { filled, item } from '../../base/lists.js';
import { normalAxis } from '../../ops/spec.js';
import { axesOf } from '../shared/arguments.js';
import type { Layer } from '../shared/layers.js';
import { windowOf } from '../../ops/window.js';
import { float, int, type NcnnNet } from './file.js';
import { reshaped, sizesOf } from './sizes.js';

const [MAX, MEAN] = [0, 1];
/** Numbers of reductions. */
const REDUCTIONS: Readonly<Record<string, number>> = {
  ReduceSum: 0,
  ReduceSumSquare: 2,
  ReduceMean: 3,
  ReduceMax: 4,
  ReduceMin: 5,
  ReduceProd: 6,
  ReduceL1: 7,
  ReduceL2: 8,
  ReduceLogSum: 9,
  ReduceLogSumExp: 10,
};
export const reductions: readonly string[] = Object.keys(REDUCTIONS);

export function pool(l: Layer, net: NcnnNet): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  if (l.outputs[1]) return 'its indices are wanted';
  if (x.shape.length !== 3 && x.shape.length !== 4)
    return `it has ${x.shape.length - 2} spatial axes, where 1 or 2 may be`;
  const flat = x.shape.length === 3;
  const [sizes, results] = [x.shape.slice(2), y.shape.slice(2)];
  const w = windowOf(l.node, l.node.ints('kernel_shape'), sizes, results);
  if (w.dilations.some((d) => d !== 1)) return 'its window is dilated';
  if ([...w.before, ...w.after].some((p) => p < 0)) return 'a pad is negative';
  const counting = l.op === 'AveragePool' && l.node.int('count_include_pad', 0) === 1;
  const ceil = w.tail.some((t) => t > 0);
  if (ceil && counting) return 'it counts padding, and its windows reach beyond it';
  // Windows of pad_mode 0 may begin in the padding behind the input: ONNX leaves such windows out.
  const padded = sizes.map((n, i) => n + item(w.before, i) + item(w.after, i) - item(w.kernel, i));
  const count = (i: number): number => (ceil ? Math.ceil : Math.floor)(item(padded, i) / item(w.strides, i)) + 1;
  if (results.some((n, i) => n !== count(i))) return 'a window begins in the padding';
  const at = (list: readonly number[], fromEnd: number, none: number): string =>
    int(list[list.length - fromEnd] ?? none);
  const map = flat ? [item(x.shape, 1), 1, item(x.shape, 2)] : sizesOf(x);
  const made = net.add('Pooling', y.name, [reshaped(net, net.blob(x), sizesOf(x), map, `${l.name}_map`)], {
    0: int(l.op === 'MaxPool' ? MAX : MEAN),
    1: at(w.kernel, 1, 1),
    11: at(w.kernel, 2, 1),
    2: at(w.strides, 1, 1),
    12: at(w.strides, 2, 1),
    3: at(w.before, 1, 0),
    13: at(w.before, 2, 0),
    14: at(w.after, 1, 0),
    15: at(w.after, 2, 0),
    5: int(ceil ? 0 : 1),
    ...(l.op === 'AveragePool' ? { 6: int(counting ? 1 : 0) } : {}),
  });
  const result = flat ? [item(y.shape, 1), 1, item(y.shape, 2)] : sizesOf(y);
  net.holds(y, reshaped(net, made, result, sizesOf(y), y.name));
  return undefined;
}

/** Over the whole map, which leaves one number for each channel. */
export function globalPool(l: Layer, net: NcnnNet): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const own = sizesOf(x);
  const map = [
    item(own, 0),
    own.slice(1, -1).reduce((n, d) => n * d, 1),
    own.length > 1 ? item(own, own.length - 1) : 1,
  ];
  const input = reshaped(net, net.blob(x), own, map, `${l.name}_map`);
  const made = net.add('Pooling', `${y.name}_means`, [input], {
    0: int(l.op === 'GlobalMaxPool' ? MAX : MEAN),
    4: int(1),
  });
  net.holds(y, reshaped(net, made, [item(own, 0)], sizesOf(y), y.name));
  return undefined;
}

export function reduce(l: Layer, net: NcnnNet): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const axes = axesOf(l);
  if (!axes) return 'its axes are not constants';
  if (l.node.int('noop_with_empty_axes', 0) === 1 && axes.length === x.shape.length && !l.inputs[1])
    return 'it reduces nothing';
  const rank = x.shape.length;
  const own = axes.filter((a) => a > 0).map((a) => a - 1);
  if (axes.includes(0) && rank > 1 && own.length !== rank - 1) return 'it reduces the batch axis';
  if (l.op === 'ReduceMean' && rank === 4 && own.length === 2 && own[0] === 1) return globalPool(l, net);
  const made = net.add('Reduction', `${y.name}_reduced`, [net.blob(x)], {
    0: int(filled([REDUCTIONS[l.op]], 0)),
    1: int(0),
    2: float(1),
    3: (own.length ? own : [0]).map(int),
    4: int(1),
    5: int(1),
  });
  const kept = sizesOf(x).map((n, i) => (own.includes(i) || rank === 1 ? 1 : n));
  net.holds(y, reshaped(net, made, kept, sizesOf(y), y.name));
  return undefined;
}

/** Before opset 13, over all axes from the given one on. */
export function softmax(l: Layer, net: NcnnNet, opset: number): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const rank = x.shape.length;
  const axis = normalAxis(l.node.int('axis', opset < 13 ? 1 : -1), rank);
  if (axis === 0) return 'it runs along the batch axis';
  const own = sizesOf(x);
  const rest = own.slice(axis - 1).reduce((n, d) => n * d, 1);
  const sizes = opset < 13 ? [...own.slice(0, axis - 1), rest] : own;
  const input = reshaped(net, net.blob(x), own, sizes, `${l.name}_rows`);
  const made = net.add('Softmax', y.name, [input], { 0: int(axis - 1), 1: int(1) });
  net.holds(y, reshaped(net, made, sizes, sizesOf(y), y.name));
  return undefined;
}

export function layerNormalization(l: Layer, net: NcnnNet): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const rank = x.shape.length;
  const axis = normalAxis(l.node.int('axis', -1), rank);
  const [scale, shift] = [l.inputs[1]?.data, l.inputs[2]?.data];
  if (!scale || (l.inputs[2] && !shift)) return 'its scale and bias are not constants';
  if (axis < 1 || l.outputs[1] || l.outputs[2])
    return axis < 1 ? 'it runs over the batch axis' : 'its statistics are wanted';
  const own = sizesOf(x);
  const size = own.slice(axis - 1).reduce((n, d) => n * d, 1);
  if (scale.size !== size) return 'its scale is not one number for each element';
  const sizes = [own.slice(0, axis - 1).reduce((n, d) => n * d, 1), size];
  const input = reshaped(net, net.blob(x), own, sizes, `${l.name}_rows`);
  const made = net.add('LayerNorm', y.name, [input], {
    0: int(size),
    1: float(l.node.float('epsilon', 1e-5)),
    2: int(1),
  });
  net.floats(scale.f32());
  net.floats(shift?.f32() ?? new Float32Array(size));
  net.holds(y, reshaped(net, made, sizes, sizesOf(y), y.name));
  return undefined;
}

export function batchNormalization(l: Layer, net: NcnnNet): string | undefined {
  const y = filled(l.outputs, 0);
  const [scale, shift, mean, variance] = l.inputs.slice(1).map((v) => v?.data?.f32());
  if (!scale || !shift || !mean || !variance) return 'its parameters are not constants';
  if (l.node.int('training_mode', 0) === 1) return 'it is in training mode';
  const epsilon = l.node.float('epsilon', 1e-5);
  net.holds(
    y,
    net.add('BatchNorm', y.name, [net.blob(filled(l.inputs, 0))], { 0: int(scale.length), 1: float(epsilon) }),
  );
  for (const list of [scale, mean, variance, shift]) net.floats(list);
  return undefined;
}

export function instanceNormalization(l: Layer, net: NcnnNet): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const [scale, shift] = l.inputs.slice(1).map((v) => v?.data?.f32());
  if (!scale || !shift) return 'its scale and bias are not constants';
  if (sizesOf(x).length !== 3) return 'it is not over a map';
  const settings = { 0: int(scale.length), 1: float(l.node.float('epsilon', 1e-5)), 2: int(1) };
  net.holds(y, net.add('InstanceNorm', y.name, [net.blob(x)], settings));
  net.floats(scale);
  net.floats(shift);
  return undefined;
}
