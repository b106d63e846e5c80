/** In which order integer kernels of onnxruntime multiply the weights of one output. */
import type { Node } from '../ir/graph.js';
import type { Packing } from '../scheme/types.js';
import { specOf } from './index.js';

/**
 * How the weight that is input `index` of a node is packed where uint8 inputs meet int8 weights; undefined where
 * kernels do not take them in pairs, or are not known to. Of `any` kernels only which elements make an output is said.
 *
 * Matrices [K, N] run down their columns; weights of an LSTM [directions, 4 · hidden, inputs] along their rows.
 * QLinearConv takes its weights to [position, channel, output]
 * (onnxruntime/core/providers/cpu/quantization/qlinearconv.cpp), so that with an odd number of channels pairs reach
 * over two positions. Its kernel for depthwise convolutions of one output a channel widens first
 * (onnxruntime/core/mlas/lib/qdwconv.cpp), and is not of this kind; nor is a product whose weight is the left operand.
 */
export function packingOf(
  node: Node,
  index: number,
  dims: readonly number[],
  kernels: 'onnxruntime' | 'any' = 'onnxruntime',
): Packing | undefined {
  if (node.domain !== '') return undefined;
  if (node.op === 'LSTM') return (index === 1 || index === 2) && dims.length === 3 ? matrix(dims, false) : undefined;
  const role = specOf(node)?.quant;
  if (role?.role !== 'compute' || index !== role.weight || dims.length < 2) return undefined;
  const axis = role.channelAxis(node, dims.length);
  if (typeof axis !== 'number') return undefined;
  if (node.op === 'ConvTranspose') return undefined;
  if (node.op !== 'Conv') return matrix(dims, axis === dims.length - 1);
  const [rows, channels] = dims as [number, number]; // two axes or more
  const depthwise = channels === 1 && rows === node.int('group', 1) && rows > 1;
  if (depthwise && kernels === 'onnxruntime') return undefined;
  const positions = dims.slice(2).reduce((n, d) => n * d, 1);
  return {
    groups: 1,
    rows,
    positions,
    channels,
    groupStride: 0,
    rowStride: channels * positions,
    positionStride: 1,
    channelStride: positions,
  };
}

/** [groups…, K, N] with outputs last, or [groups…, N, K]. */
function matrix(dims: readonly number[], outputsLast: boolean): Packing {
  const [a, b] = dims.slice(-2) as [number, number]; // callers checked the rank
  const [rows, channels] = outputsLast ? [b, a] : [a, b];
  return {
    groups: dims.slice(0, -2).reduce((n, d) => n * d, 1),
    rows,
    positions: 1,
    channels,
    groupStride: a * b,
    rowStride: outputsLast ? 1 : b,
    positionStride: 0,
    channelStride: outputsLast ? b : 1,
  };
}

/** Offsets of a row's elements from its first one, in the order in which a kernel takes them. */
export function packedOrder({ positions, channels, positionStride, channelStride }: Packing): Int32Array {
  const order = new Int32Array(positions * channels);
  for (let p = 0, at = 0; p < positions; p++) {
    for (let c = 0; c < channels; c++) order[at++] = p * positionStride + c * channelStride;
  }
  return order;
}

/** Offset of the first element of each row of each group. */
export function* rowStarts({ groups, rows, groupStride, rowStride }: Packing): Generator<number> {
  for (let g = 0; g < groups; g++) for (let r = 0; r < rows; r++) yield g * groupStride + r * rowStride;
}
