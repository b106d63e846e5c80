/** Reductions: https://onnx.ai/onnx/operators/onnx__ReduceMean.html and neighbours. */
import type { DType } from '../ir/dtype.js';
import type { Dim } from '../ir/graph.js';
import * as gradients from './gradients/reduce.js';
import { reduced } from './links.js';
import { axesOf, axisOf, sizeOf, STEPS, type OpSpec, type QuantRole } from './spec.js';

const noKernel: QuantRole = { role: 'float', because: 'no integer kernel' };

function reduce(op: string, doc: string, gradient: OpSpec['gradient'], links: OpSpec['links'] = 'opaque'): OpSpec {
  return {
    op,
    domain: '',
    since: 1,
    doc,
    foldable: true,
    quant: noKernel,
    linear: 'no',
    links,
    gradient,
    cost: ([x]) => ({ macs: 0, otherOps: sizeOf(x?.shape) }),
    infer(ctx) {
      const x = ctx.input(0);
      const shape = x?.shape;
      if (!shape) return [{ dtype: x?.dtype, shape: undefined }];
      const given = axesOf(ctx, 1);
      const keep = ctx.node.int('keepdims', 1) === 1;
      if (!given && ctx.node.inputs[1]) return [{ dtype: x.dtype, shape: keep ? shape.map(() => null) : undefined }];
      if (!given?.length && ctx.node.int('noop_with_empty_axes', 0) === 1) return [{ dtype: x.dtype, shape }];
      const axes = new Set((given?.length ? given : shape.map((_, i) => i)).map((a) => axisOf(ctx, a, shape.length)));
      const out: Dim[] = [];
      shape.forEach((d, i) => {
        if (!axes.has(i)) out.push(d);
        else if (keep) out.push(1);
      });
      return [{ dtype: x.dtype, shape: out }];
    },
  };
}

function argReduce(op: string, doc: string): OpSpec {
  return {
    op,
    domain: '',
    since: 1,
    doc,
    foldable: true,
    quant: noKernel,
    ...STEPS,
    cost: ([x]) => ({ macs: 0, otherOps: sizeOf(x?.shape) }),
    infer(ctx) {
      const shape = ctx.input(0)?.shape;
      const dtype: DType = 'int64';
      if (!shape) return [{ dtype, shape: undefined }];
      const axis = axisOf(ctx, ctx.node.int('axis', 0), shape.length);
      const keep = ctx.node.int('keepdims', 1) === 1;
      return [{ dtype, shape: shape.flatMap((d, i) => (i !== axis ? [d] : keep ? [1] : [])) }];
    },
  };
}

export const reduceOps: readonly OpSpec[] = [
  reduce('ReduceMean', 'Mean.', gradients.reduceMean, reduced),
  reduce('ReduceSum', 'Sum.', gradients.reduceSum, reduced),
  reduce('ReduceMax', 'Maximum.', gradients.reduceExtreme, reduced),
  reduce('ReduceMin', 'Minimum.', gradients.reduceExtreme, reduced),
  reduce('ReduceProd', 'Product.', gradients.reduceProd),
  reduce('ReduceL1', 'Sum of absolute values.', gradients.reduceL1),
  reduce('ReduceL2', 'Euclidean norm.', gradients.reduceL2),
  reduce('ReduceLogSum', 'Logarithm of the sum.', gradients.reduceLogSum),
  reduce('ReduceLogSumExp', 'Logarithm of the sum of exponentials.', gradients.reduceLogSumExp),
  reduce('ReduceSumSquare', 'Sum of squares.', gradients.reduceSumSquare),
  argReduce('ArgMax', 'Index of the maximum.'),
  argReduce('ArgMin', 'Index of the minimum.'),
];
