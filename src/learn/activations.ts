/** Activations as the quantized model has them, in a form that gradients pass through. */
import { integerRange, type DType } from '../ir/dtype.js';
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';

/** Random numbers that a step needs: an input of the graph, and its shape. */
export interface Draw {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * Everybody who reads a value reads it quantized and dequantized. The gradient is that of clipping: rounding counts as
 * if it did nothing.
 *
 * With `drop`, each element is left as it is with that probability (QDrop, https://arxiv.org/abs/2203.05740). What is
 * left is drawn as the sum of two random numbers modulo 1, one for the leading and one for the trailing axes: uniform,
 * and any two elements are independent, for as few numbers as the axes have places.
 */
export function quantizeActivations(
  b: GraphBuilder,
  activations: ReadonlyMap<QuantPoint, QuantParams>,
  valueOf: (v: Value) => Value | undefined,
  drop = 0,
): Draw[] {
  const draws: Draw[] = [];
  for (const [point, params] of activations) {
    const v = 'uses' in point ? valueOf(point) : undefined;
    if (!v || v.data || !v.uses.size || params.scheme.granularity.kind !== 'tensor') continue;
    if (!/^u?int(8|16)$/.test(params.scheme.dtype)) continue;
    const readers = [...v.uses];
    const made = quantized(b, v, params);
    const shape = v.shape?.filter((d) => typeof d === 'number');
    const some = drop > 0 && shape?.length && shape.length === v.shape?.length;
    const read = some ? mixed(b, v, made, shape, drop, draws) : made;
    for (const u of readers) u.node.setInput(u.index, read);
  }
  return draws;
}

const learning = { name: 'fake_quantized' };

function quantized(b: GraphBuilder, v: Value, { scheme, scale, zeroPoint }: QuantParams): Value {
  const dtype: DType = scheme.dtype;
  const [low, high] = integerRange(dtype) ?? [0, 0];
  const [s, z] = [scale[0] ?? 1, zeroPoint[0] ?? 0];
  const end = (code: number): Value => b.constant(Tensor.f32([code - z], []), 'fake_quantized_end');
  const step = b.constant(Tensor.f32([s], []), 'fake_quantized_scale');
  const clipped = b.op('Clip', [b.op('Div', [v, step], learning), end(low), end(high)], learning);
  return b.op('Mul', [b.op('Round', [clipped], learning), step], learning);
}

function mixed(
  b: GraphBuilder,
  float: Value,
  made: Value,
  shape: readonly number[],
  drop: number,
  draws: Draw[],
): Value {
  const half = Math.ceil(shape.length / 2);
  const number = (first: boolean): Value => {
    const own = shape.map((n, a) => (a < half === first ? n : 1));
    const value = b.input(b.freeName(`draw for ${float.name}`), 'float32', own);
    draws.push({ name: value.name, shape: own });
    return value;
  };
  const sum = b.op('Add', [number(true), number(false)], learning);
  const share = b.op('Mod', [sum, b.constant(1)], { ...learning, attrs: { fmod: 1 } });
  return b.op('Where', [b.op('Less', [share, b.constant(drop)], learning), float, made], learning);
}
