/** Matrix products: https://onnx.ai/onnx/operators/onnx__MatMul.html, onnx__Gemm.html, onnx__Einsum.html */
import type { Dim, Shape } from '../ir/graph.js';
import { einsumProduct, generalProduct, matrixProduct } from './linear.js';
import { broadcast, sizeOf, type OpSpec } from './spec.js';

/** Shape of a numpy-style matrix product. */
export function matMulShape(a: Shape | undefined, b: Shape | undefined): Shape | undefined {
  if (!a?.length || !b?.length) return undefined;
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  const batch = broadcast(left.slice(0, -2), right.slice(0, -2)) ?? [];
  const rows: Dim[] = a.length === 1 ? [] : [left[left.length - 2] ?? null];
  const columns: Dim[] = b.length === 1 ? [] : [right[right.length - 1] ?? null];
  return [...batch, ...rows, ...columns];
}

export const matMul = {
  op: 'MatMul',
  domain: '',
  since: 1,
  doc: 'Matrix product with numpy broadcasting.',
  foldable: true,
  infer: (ctx) => [{ dtype: ctx.input(0)?.dtype, shape: matMulShape(ctx.input(0)?.shape, ctx.input(1)?.shape) }],
  cost: ([a], [y]) => ({ macs: sizeOf(y?.shape) * sizeOf(a?.shape?.slice(-1)), otherOps: 0 }),
  quant: {
    role: 'compute',
    activations: [0, 1],
    weight: 1,
    qlinear: { op: 'QLinearMatMul', domain: '', form: 'each' },
    channelAxis: (_n, rank) => (rank >= 2 ? rank - 1 : { float: 'a vector weight has no channel axis' }),
  },
  linear: matrixProduct,
  links: 'opaque',
  gradient: 'unsupported',
} satisfies OpSpec;

export const gemm = {
  op: 'Gemm',
  domain: '',
  since: 1,
  doc: 'alpha·A·B + beta·C.',
  foldable: true,
  infer(ctx) {
    const [a, b] = [ctx.input(0), ctx.input(1)];
    const m = a?.shape?.[ctx.node.int('transA', 0) ? 1 : 0];
    const n = b?.shape?.[ctx.node.int('transB', 0) ? 0 : 1];
    return [{ dtype: a?.dtype, shape: a?.shape && b?.shape ? [m ?? null, n ?? null] : undefined }];
  },
  cost: ([a], [y], node) => ({
    macs: sizeOf(y?.shape) * sizeOf(a?.shape && [a.shape[node.int('transA', 0) ? 0 : 1] ?? null]),
    otherOps: 0,
  }),
  quant: {
    role: 'compute',
    activations: [0],
    weight: 1,
    bias: 2,
    qlinear: { op: 'QGemm', domain: 'com.microsoft', form: 'gemm' },
    channelAxis(node) {
      if (node.float('alpha', 1) !== 1 || node.float('beta', 1) !== 1)
        return { float: 'Gemm with alpha or beta other than 1' };
      if (node.int('transA', 0) !== 0) return { float: 'Gemm with a transposed activation' };
      return node.int('transB', 0) ? 0 : 1;
    },
  },
  linear: generalProduct,
  links: 'opaque',
  gradient: 'unsupported',
} satisfies OpSpec;

export const einsum = {
  op: 'Einsum',
  domain: '',
  since: 12,
  doc: 'Einstein summation.',
  foldable: true,
  infer(ctx) {
    const [terms, result] = ctx.node.string('equation').replace(/\s/g, '').split('->');
    const sizes = new Map<string, Dim>();
    (terms ?? '').split(',').forEach((t, i) =>
      [...t].forEach((c, j) => {
        const d = ctx.input(i)?.shape?.[j];
        if (d !== undefined && !t.includes('.')) sizes.set(c, d);
      }),
    );
    const known = result !== undefined && !result.includes('.') && [...result].every((c) => sizes.has(c));
    return [{ dtype: ctx.input(0)?.dtype, shape: known ? [...result].map((c) => sizes.get(c) ?? null) : undefined }];
  },
  cost(inputs, _o, node) {
    const sizes = new Map<string, number>();
    (node.string('equation').replace(/\s/g, '').split('->')[0] ?? '').split(',').forEach((t, i) =>
      [...t].forEach((c, j) => {
        const d = inputs[i]?.shape?.[j];
        sizes.set(c, typeof d === 'number' ? d : 1);
      }),
    );
    return { macs: [...sizes.values()].reduce((n, d) => n * d, 1), otherOps: 0 };
  },
  quant: { role: 'float', because: 'Einsum has no integer kernel' },
  linear: einsumProduct,
  links: 'opaque',
  gradient: 'unsupported',
} satisfies OpSpec;
