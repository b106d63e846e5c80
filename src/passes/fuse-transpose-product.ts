import { dataOf, shapeOf } from '../ir/known.js';
import { inverse, permuteTensor, type Permutation } from '../ops/permutation.js';
import type { Tensor } from '../ir/tensor.js';
import { constantInts, permutationOf } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';

/**
 * Rows of W in the order of x: Reshape(Transpose(x, p), [N, K])·W = Reshape(x, [N, K])·W' where W' has the rows of W as
 * x has its elements, [1,4,4,8] → [1,128] say. What a classifier behind channels last leaves. Also Gemm with transB.
 * Refuses where the Transpose moves axis 0, the reshape does not keep it, sizes are not known, or W has other uses.
 */
export const fuseTransposeProduct = rulePass({
  name: 'fuse-transpose-product',
  doc: 'Drops a Transpose before a flattened product and orders the weights instead.',
  numerics: 'close',
  pattern: [
    't = Transpose(x)\nf = Reshape|Flatten(t, s?)\ny = MatMul(f, W!)',
    't = Transpose(x)\nf = Reshape|Flatten(t, s?)\ny = Gemm(f, W!, b?)',
  ],
  check(m) {
    const shape = m.value('x').shape;
    const p = permutationOf(m.node('t'));
    const rest = shape?.slice(1);
    if (!p || !rest?.every((d) => typeof d === 'number')) return 'the sizes are not known';
    if (p[0] !== 0) return 'the Transpose moves axis 0';
    const f = m.value('f').shape;
    if (f?.length !== 2 || f[1] !== rest.reduce((a, d) => a * d, 1))
      return 'the reshape does not keep axis 0 and flatten the others';
    const target = m.node('f').op === 'Reshape' ? constantInts(m.optional('s')) : [];
    if (!target || target[1] === 0) return 'the target of the reshape is computed, or copies a size';
    const W = m.value('W');
    if (W.uses.size !== 1 || W.isGraphOutput) return `'${W.name}' is shared`;
    const y = m.node('y');
    if (y.op === 'Gemm' && y.int('transA', 0) !== 0) return 'Gemm transposes its first operand';
    return (W.data?.dims.length === 2 && W.data.dtype === 'float32') || `'${W.name}' is no float32 matrix`;
  },
  rewrite(m, b) {
    const [f, y] = [m.node('f'), m.node('y')];
    const flat = b.op(f.op, [m.value('x'), ...f.inputs.slice(1)], { attrs: Object.fromEntries(f.attrs), name: f.name });
    const W = b.constant(reordered(m), m.value('W').name);
    return b.op(y.op, [flat, W, ...y.inputs.slice(2)], { attrs: Object.fromEntries(y.attrs), name: y.name });
  },
});

function reordered(m: Match): Tensor {
  const W = dataOf(m.value('W')); // check() made sure of the weights, the shape and the permutation
  const p = permutationOf(m.node('t'))!;
  const sizes = p.slice(1).map((a) => Number(shapeOf(m.value('x'))[a]));
  const back: Permutation = inverse(p.slice(1).map((a) => a - 1));
  const first = m.node('y').op === 'MatMul' || m.node('y').int('transB', 0) === 0;
  const [rows, columns] = W.dims;
  const split = first ? [...sizes, columns!] : [rows!, ...sizes];
  return permuteTensor(W.reshaped(split), first ? [...back, sizes.length] : [0, ...back.map((a) => a + 1)]).reshaped(
    W.dims,
  );
}
