/** Matrix products: https://onnx.ai/onnx/operators/onnx__MatMul.html, onnx__Gemm.html, onnx__Einsum.html */
import type { Dim, Node, Shape } from '../ir/graph.js';
import { einsum as einsumGradient } from './gradients/einsum.js';
import * as gradients from './gradients/matmul.js';
import { einsumProduct, generalProduct, matrixProduct } from './linear.js';
import { besideProduct } from './removal-links.js';
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
  links: { rule: 'opaque', removal: besideProduct },
  gradient: gradients.matMul,
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
  gradient: gradients.gemm,
} satisfies OpSpec;

export const einsum = {
  op: 'Einsum',
  domain: '',
  since: 12,
  doc: 'Einstein summation.',
  foldable: true,
  infer(ctx) {
    const { sizes, result } = einsumAxes(
      ctx.node,
      [...ctx.node.inputs.keys()].map((i) => ctx.input(i)?.shape),
    );
    const dtype = ctx.input(0)?.dtype;
    return [{ dtype, shape: result?.every((c) => sizes.has(c)) ? result.map((c) => sizes.get(c) ?? null) : undefined }];
  },
  cost(inputs, _o, node) {
    const { sizes } = einsumAxes(
      node,
      inputs.map((x) => x?.shape),
    );
    return { macs: sizeOf([...sizes.values()]), otherOps: 0 };
  },
  quant: { role: 'float', because: 'Einsum has no integer kernel' },
  linear: einsumProduct,
  links: 'opaque',
  gradient: einsumGradient,
} satisfies OpSpec;

/**
 * The size of each letter of the equation, and the letters of the result. Axes behind an ellipsis are named by their
 * place from its end ('.0' is the last); a result that is not written has them first, then the letters that stand once.
 */
function einsumAxes(
  node: Node,
  shapes: readonly (Shape | undefined)[],
): { readonly sizes: ReadonlyMap<string, Dim>; readonly result: readonly string[] | undefined } {
  const [left = '', right] = node.string('equation').replace(/\s/g, '').split('->');
  const sizes = new Map<string, Dim>();
  let [hidden, whole] = [0, true];
  const expand = (term: string, rank: number): string[] => {
    const [before = '', after] = term.split('...');
    if (after === undefined) return [...before];
    const count = Math.max(0, rank - before.length - after.length);
    return [...before, ...Array.from({ length: count }, (_, i) => `.${count - 1 - i}`), ...after];
  };
  left.split(',').forEach((term, i) => {
    const shape = shapes[i];
    if (!shape) {
      whole = false;
      return;
    }
    const letters = expand(term, shape.length);
    hidden = Math.max(hidden, letters.filter((c) => c.length > 1).length);
    letters.forEach((c, j) => {
      // Operands of size 1 give way, and a number says more than a symbol.
      const [old, d] = [sizes.get(c), shape[j] ?? null];
      if (old === undefined || old === 1 || (typeof old !== 'number' && typeof d === 'number' && d !== 1))
        sizes.set(c, d);
    });
  });
  if (right !== undefined && (whole || !right.includes('.')))
    return { sizes, result: expand(right, right.replace('...', '').length + hidden) };
  if (right !== undefined || !whole) return { sizes, result: undefined };
  const letters = [...left.replace(/[.,]/g, '')];
  const once = letters.filter((c) => letters.indexOf(c) === letters.lastIndexOf(c)).sort();
  return { sizes, result: [...expand('...', hidden), ...once] };
}
