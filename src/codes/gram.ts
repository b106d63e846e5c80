/**
 * What a layer's inputs look like to its weights: Σ x·xᵀ over all places where it is applied, summed inside
 * onnxruntime.
 */
import { dataOf } from '../ir/known.js';
import { filled } from '../base/lists.js';
import type { Node, Value } from '../ir/graph.js';
import { normalAxis } from '../ops/spec.js';
import { Tensor } from '../ir/tensor.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import type { LayerShape } from '../channels/layer.js';

/**
 * Nodes that give the inputs of a convolution as columns: float32 [groups, columns, places]. These are its
 * patches, taken with its own strides, pads and dilations by a depthwise convolution with unit kernels. Of the places
 * in one sample every `step`-th is taken.
 */
export function columnsOf(
  b: GraphBuilder,
  { node, groups, columns }: Pick<LayerShape, 'node' | 'groups' | 'columns'>,
  x: Value,
  step: number,
): Value {
  const ints = (...v: readonly number[]): Value => b.constant(Tensor.i64(v), 'gram_constant');
  const thinned = (v: Value, axis: number): Value =>
    step === 1
      ? v
      : b.op('Slice', [v, ints(0), ints(Number.MAX_SAFE_INTEGER), ints(axis), ints(step)], { name: 'gram' });
  const patches = isPointwise(node)
    ? x
    : b.op('Conv', [x, unitKernels(b, node, groups * dataOf(filled(node.inputs, 1)).dims[1]!)], {
        // a layer's weight is a constant of at least two axes
        name: 'gram',
        attrs: { ...Object.fromEntries(node.attrs), group: groups * dataOf(filled(node.inputs, 1)).dims[1]! },
      });
  const split = thinned(b.op('Reshape', [patches, ints(0, groups, columns, -1)], { name: 'gram' }), 3);
  return b.op(
    'Reshape',
    [b.op('Transpose', [split], { attrs: { perm: [1, 2, 0, 3] }, name: 'gram' }), ints(groups, columns, -1)],
    { name: 'gram' },
  );
}

/** The inputs of a product as rows: float32 [places, columns], every `step`-th of them. */
export function rowsOf(b: GraphBuilder, { columns }: LayerShape, x: Value, step: number): Value {
  const ints = (...v: readonly number[]): Value => b.constant(Tensor.i64(v), 'gram_constant');
  const flat = b.op('Reshape', [x, ints(-1, columns)], { name: 'gram' });
  return step === 1
    ? flat
    : b.op('Slice', [flat, ints(0), ints(Number.MAX_SAFE_INTEGER), ints(0), ints(step)], { name: 'gram' });
}

/** A convolution whose patches are single elements, each used once. */
function isPointwise(node: Node): boolean {
  const kernel = dataOf(filled(node.inputs, 1)).dims.slice(2); // a layer's weight is constant
  const attr = (name: string, value: number): boolean => {
    const a = node.attrs.get(name);
    return a?.type !== 'ints' || a.value.every((v) => Number(v) === value);
  };
  return (
    kernel.every((k) => k === 1) &&
    attr('strides', 1) &&
    attr('pads', 0) &&
    node.string('auto_pad', 'NOTSET') !== 'SAME_UPPER' &&
    node.string('auto_pad', 'NOTSET') !== 'SAME_LOWER'
  );
}

/** For each channel one kernel for each of its places: [channels · places, 1, …kernel]. */
function unitKernels(b: GraphBuilder, node: Node, channels: number): Value {
  const kernel = dataOf(filled(node.inputs, 1)).dims.slice(2);
  const places = kernel.reduce((n, d) => n * d, 1);
  const data = new Float32Array(channels * places * places);
  for (let c = 0; c < channels; c++) for (let p = 0; p < places; p++) data[(c * places + p) * places + p] = 1;
  return b.constant(Tensor.f32(data, [channels * places, 1, ...kernel]), 'gram_kernels');
}

/** Σ x·yᵀ over the places: [groups, columns, columns]. */
export function productsOf(b: GraphBuilder, x: Value, y: Value): Value {
  return b.op('MatMul', [x, b.op('Transpose', [y], { attrs: { perm: [0, 2, 1] }, name: 'gram' })], { name: 'gram' });
}

/** Σ x over the places: [groups, columns]. */
export function sumsOf(b: GraphBuilder, x: Value): Value {
  return b.op('ReduceSum', [x, b.constant(Tensor.i64([2]), 'gram_axes')], { attrs: { keepdims: 0 }, name: 'gram' });
}

/** Σ y and Σ y² of each output channel of the layer's own output: [groups · rows] each. */
export function outputSums(
  b: GraphBuilder,
  { view }: LayerShape,
  y: Value,
  rank: number,
): { sums: Value; squares: Value } {
  const channel = normalAxis(view.resultAxis, rank);
  const axes = Array.from({ length: rank }, (_, i) => i).filter((a) => a !== channel);
  const input = b.constant(Tensor.i64(axes), 'gram_axes');
  return {
    sums: b.op('ReduceSum', [y, input], { attrs: { keepdims: 0 }, name: 'gram' }),
    squares: b.op('ReduceSum', [b.op('Mul', [y, y], { name: 'gram' }), input], {
      attrs: { keepdims: 0 },
      name: 'gram',
    }),
  };
}
