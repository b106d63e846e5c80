/** QuantizeLinear and DequantizeLinear nodes, whoever wrote them. */
import type { DType } from '../ir/dtype.js';
import type { Node, Value } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';
import { isDequantize, isQuantize } from '../ops/kinds.js';
import { normalAxis } from '../ops/spec.js';

export interface Pair {
  readonly node: Node;
  readonly kind: 'quantize' | 'dequantize';
  /** What is quantized, or the codes. */
  readonly data: Value;
  readonly scale: Tensor | undefined;
  /** Undefined where it is left out, or is no constant. */
  readonly zeroPoint: Tensor | undefined;
  readonly hasZeroPoint: boolean;
  /** Type of the codes. */
  readonly dtype: DType;
  /** Of the scales, where there are several; counted from the front where the rank is known. */
  readonly axis: number;
  readonly blocked: boolean;
  /** Codes of a constant, or a constant that is quantized when the model runs. */
  readonly constant: boolean;
}

const OUTPUT_TYPES: Readonly<Record<number, DType>> = {
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  21: 'uint4',
  22: 'int4',
};

/** A node read as a pair; undefined for other nodes, and those without data or scale. */
export function pairOf(node: Node): Pair | undefined {
  if (!isQuantize(node) && !isDequantize(node)) return undefined;
  const [data, scale, zeroPoint] = node.inputs;
  if (!data || !scale) return undefined;
  const kind = isQuantize(node) ? 'quantize' : 'dequantize';
  const source = kind === 'dequantize' && data.producer && isQuantize(data.producer) ? data.producer : undefined;
  const own =
    kind === 'quantize' ? (OUTPUT_TYPES[node.int('output_dtype', 0)] ?? 'uint8') : (data.data?.dtype ?? data.dtype);
  const dtype = constantOf(zeroPoint)?.dtype ?? zeroPoint?.dtype ?? own ?? 'uint8';
  const rank = (data.data?.dims ?? data.shape)?.length;
  const axis = node.int('axis', 1);
  return {
    node,
    kind,
    data,
    scale: constantOf(scale),
    zeroPoint: constantOf(zeroPoint),
    hasZeroPoint: zeroPoint !== null && zeroPoint !== undefined,
    dtype,
    axis: rank === undefined ? axis : normalAxis(axis, rank),
    blocked: node.int('block_size', 0) > 0,
    constant: constantOf(data) !== undefined || constantOf(source?.inputs[0]) !== undefined,
  };
}

/** The data of an initializer, or of a Constant node. */
export function constantOf(v: Value | null | undefined): Tensor | undefined {
  if (!v) return undefined;
  if (v.data) return v.data;
  const attr = v.producer?.op === 'Constant' ? v.producer.attrs.get('value') : undefined;
  return attr?.type === 'tensor' ? attr.value : undefined;
}
