import { dataOf } from '../ir/known.js';
import { rulePass } from '../rewrite/pass.js';
import { Tensor } from '../ir/tensor.js';
import { perChannel } from './constants.js';

/**
 * x·W + k with a matrix x and constants W [k, n] and k [n] is Gemm(x, W, k). Gemm has an integer kernel that takes the
 * bias into its int32 accumulators, so quantization gains. Products of more axes stay: Gemm takes matrices only.
 */
export const fuseMatmulAdd = rulePass({
  name: 'fuse-matmul-add',
  doc: 'Fuses a product of matrices and an added bias into Gemm.',
  numerics: 'close',
  opset: 7,
  pattern: 'c = MatMul(x, W!)\ny = Add(c, k!)',
  check(m) {
    const W = m.value('W').data;
    if (m.value('x').shape?.length !== 2 || W?.dims.length !== 2 || W.dtype !== 'float32')
      return 'it is no float32 product of two matrices';
    // two dims, see above
    return perChannel(m.value('k'), 2, 1, W.dims[1]!) !== undefined || 'the constant varies over more than columns';
  },
  rewrite(m, b) {
    const k = m.value('k');
    const bias =
      // check() made sure
      dataOf(k).dims.length === 1
        ? k
        : b.constant(Tensor.f32(perChannel(k, 2, 1, dataOf(m.value('W')).dims[1]!)!), k.name);
    return b.op('Gemm', [m.value('x'), m.value('W'), bias], { name: m.node('c').name || 'Gemm' });
  },
});
