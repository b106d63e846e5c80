/** Convolutions, products, recurrent cells, attention, pooling and resampling. */
import { at, here, type FacetCase } from './case.js';

export const linearCases: readonly FacetCase[] = [
  here('(float[N,3,8,7] x) => (y) <float[4,3,3,3] w, float[4] b> { y = Conv(x, w, b) }'),
  here(
    '(float[N,4,9,8] x) => (y) <float[6,2,3,2] w> { y = Conv <group = 2, strides = [2,1], pads = ' +
      '[1,0,2,1], dilations = [2,3]> (x, w) }',
  ),
  here(
    '(float[N,4,8,8] x) => (y) <float[4,1,3,3] w> { y = Conv <group = 4, auto_pad = "SAME_UPPER", strides ' +
      '= [3,2]> (x, w) }',
  ),
  here('(float[N,4,8,8] x) => (y) <float[5,4,3,3] w> { y = Conv <auto_pad = "SAME_LOWER", strides = [2,2]> (x, w) }'),
  here('(float[N,4,8,8] x) => (y) <float[5,4,3,3] w> { y = Conv <auto_pad = "VALID", strides = [2,2]> (x, w) }'),
  here('(float[N,3,10] x) => (y) <float[4,3,3] w> { y = Conv <pads = [2,0]> (x, w) }'),
  here('(float[N,2,4,5,6] x) => (y) <float[3,2,2,2,2] w> { y = Conv <strides = [1,2,1]> (x, w) }'),
  here(
    '(float[N,4,6,6] x) => (y) <float[4,4,3,3] w, float[4] b> { y = com.microsoft.FusedConv <activation = ' +
      '"Relu", pads = [1,1,1,1]> (x, w, b) }',
  ),
  here('(float[N,4,4,5] x) => (y) <float[4,3,3,2] w> { y = ConvTranspose(x, w) }'),
  here(
    '(float[N,4,4,5] x) => (y) <float[4,3,3,2] w, float[6] b> { y = ConvTranspose <group = 2, strides = ' +
      '[2,3], pads = [1,0,0,1], output_padding = [1,2], dilations = [1,2]> (x, w, b) }',
  ),
  here(
    '(float[N,4,4,5] x) => (y) <float[4,3,3,3] w> { y = ConvTranspose <auto_pad = "SAME_UPPER", strides = ' +
      '[2,3]> (x, w) }',
  ),
  here(
    '(float[N,4,4,5] x) => (y) <float[4,3,3,3] w> { y = ConvTranspose <auto_pad = "VALID", strides = [2,3]> (x, w) }',
  ),
  here(
    '(float[N,4,4,5] x) => (y) <float[4,3,3,3] w> { y = ConvTranspose <output_shape = [9,12], strides = ' +
      '[2,3]> (x, w) }',
  ),
  here('(float[N,4,6] x) => (y) <float[4,2,3] w> { y = ConvTranspose <strides = [2]> (x, w) }'),
  here(
    '(float[N,8,2,3] x) => (y, z) { y = DepthToSpace <blocksize = 2> (x)  z = DepthToSpace <blocksize = ' +
      '2, mode = "CRD"> (x) }',
  ),
  here('(float[N,2,4,6] x) => (y) { y = SpaceToDepth <blocksize = 2> (x) }'),

  here('(float[N,5,3] x) => (y) <float[3,4] w> { y = MatMul(x, w) }'),
  here('(float[N,1,5,3] x, float[2,3,4] w) => (y) { y = MatMul(x, w) }'),
  here('(float[2,3,4] w, float[N,4,1] x) => (y) { y = MatMul(w, x) }'),
  here(
    '(float[3] x, float[N,3,4] w, float[4] v) => (y, z, d) { y = MatMul(x, w)  z = MatMul(w, v)  d = MatMul(v, v) }',
  ),
  here('(float[N,3] x) => (y) <float[3,4] w, float[4] b> { y = Gemm(x, w, b) }'),
  here('(float[3,N] x) => (y) <float[4,3] w> { y = Gemm <transA = 1, transB = 1, alpha = 0.5> (x, w) }'),
  here('(float[N,3] x) => (y) <float[4,3] w, float[1,4] b> { y = Gemm <transB = 1, beta = 2.0> (x, w, b) }'),
  here('(float[N,3,5] a, float[N,5,4] b) => (y) { y = Einsum <equation = "bij,bjk->bik"> (a, b) }'),
  here('(float[N,3,5] a, float[5,4,3] b) => (y) { y = Einsum <equation = "b i j, j h i -> h b"> (a, b) }'),
  here('(float[N,3,5] a, float[5,4] b) => (y) { y = Einsum <equation = "...ij,jk->...ik"> (a, b) }'),
  here('(float[N,3,5] a, float[5,4] b) => (y) { y = Einsum <equation = "bij,jk"> (a, b) }'),
  here('(float[N,4,4] a) => (y, z) { y = Einsum <equation = "bii->b"> (a)  z = Einsum <equation = "bij->jb"> (a) }'),
  here('(float[N,3,5] a, float[1,3,5] b) => (y) { y = Einsum <equation = "...j,...j"> (a, b) }'),

  ...['LSTM', 'GRU', 'RNN'].flatMap((op) => {
    const g = { LSTM: 4, GRU: 3, RNN: 1 }[op]!; // one of the three
    const states = op === 'LSTM' ? 'h, c' : 'h';
    return [
      here(
        `(float[S,N,3] x) => (y, ${states}) <float[1,${g * 4},3] w, float[1,${g * 4},4] r> { y, ${states} = ` +
          `${op} <hidden_size = 4> (x, w, r) }`,
      ),
      here(
        `(float[S,N,3] x) => (y, ${states}) <float[2,${g * 4},3] w, float[2,${g * 4},4] r, float[2,${g * 8}] b> ` +
          `{ y, ${states} = ${op} <hidden_size = 4, direction = "bidirectional"> (x, w, r, b) }`,
      ),
      ...(op === 'RNN'
        ? []
        : [
            here(
              `(float[S,N,3] x) => (y, ${states}) <float[1,${g * 4},3] w, float[1,${g * 4},4] r> { y, ${states} = ` +
                `${op} <hidden_size = 4, direction = "reverse"> (x, w, r) }`,
            ),
          ]),
    ];
  }),

  at(23)('(float[N,2,4,8] q, float[N,2,6,8] k, float[N,2,6,3] v) => (y) { y = Attention(q, k, v) }'),
  at(23)(
    '(float[N,4,16] q, float[N,6,8] k, float[N,6,6] v) => (y) { y = Attention <q_num_heads = 4, ' +
      'kv_num_heads = 2> (q, k, v) }',
  ),
  at(23)(
    '(float[N,2,4,8] q, float[N,2,4,8] k, float[N,2,4,8] v, float[N,2,3,8] pk, float[N,2,3,8] pv) => (y, ' +
      'nk, nv) { y, nk, nv = Attention(q, k, v, , pk, pv) }',
  ),
  at(23)('(float[N,2,4,8] q, float[N,2,6,8] k, float[N,2,6,8] v) => (y, s) { y, , , s = Attention(q, k, v) }'),
  at(23)(
    '(float[N,2,4,8] x) => (y) <float[10,4] c, float[10,4] s, int64[2,4] p = {0,1,2,3,0,1,2,3}> { y = ' +
      'RotaryEmbedding(x, c, s, p) }',
  ),

  here(
    '(float[N,2,4,8] x, int64[1] p) => (y) <float[10,4] c, float[10,4] s> { y = com.microsoft.RotaryEmbedding(x, p, c, s) }',
  ),
  here(
    '(float[N,4,16] q, float[N,6,16] k, float[N,6,8] v) => (y) { y = com.microsoft.MultiHeadAttention ' +
      '<num_heads = 4> (q, k, v) }',
  ),
  here(
    '(float[N,4,32] q, float[N,4,16] k, float[N,4,16] v, float[N,2,0,8] pk, float[N,2,0,8] pv) => (y, nk, nv) ' +
      '<int32[2] l = {3,3}, int32[1] t = {4}> { y, nk, nv = com.microsoft.GroupQueryAttention <num_heads = 4, ' +
      'kv_num_heads = 2> (q, k, v, pk, pv, l, t) }',
    { open: { nk: [2, 2, null, 8], nv: [2, 2, null, 8] } },
  ),
  here(
    '(float[N,4,8] x) => (y) <float[8,24] w, float[24] b> { y = com.microsoft.Attention <num_heads = 2> (x, w, b) }',
  ),
  here(
    '(float[N,4,8] x) => (y) <float[8,40] w, float[40] b> { y = com.microsoft.Attention <num_heads = 2, ' +
      'qkv_hidden_sizes = [16, 16, 8]> (x, w, b) }',
  ),
  here(
    '(float[N,8] x, float[N,3] r) => (y) <float[3,16,8] v, float[3,8,16] w> { y = com.microsoft.MoE <k = 2, ' +
      'activation_type = "relu"> (x, r, v, , w) }',
  ),
  here(
    '(float[N,32] x, float[N,3] r) => (y) <uint8[3,32,16] v, float[3,32] s, uint8[3,32,16] w, float[3,32] t> { y = ' +
      'com.microsoft.QMoE <k = 2, activation_type = "relu", expert_weight_bits = 4> (x, r, v, s, , w, t) }',
  ),
  here(
    '(float[N,4,32] q, float[N,4,16] k, float[N,4,16] v) => (y) <int32[2] l = {3,3}, int32[1] t = {4}> ' +
      '{ y = com.microsoft.GroupQueryAttention <num_heads = 4, kv_num_heads = 2> (q, k, v, , , l, t) }',
  ),

  ...['MaxPool', 'AveragePool', 'LpPool'].flatMap((op) => [
    here(`(float[N,3,8,7] x) => (y) { y = ${op} <kernel_shape = [3,2]> (x) }`),
    here(`(float[N,3,8,7] x) => (y) { y = ${op} <kernel_shape = [3,3], strides = [2,3], pads = [1,0,1,1]> (x) }`),
    here(
      `(float[N,3,8,8] x) => (y) { y = ${op} <kernel_shape = [3,3], strides = [3,2], auto_pad = "SAME_LOWER"> (x) }`,
    ),
    here(`(float[N,3,9] x) => (y) { y = ${op} <kernel_shape = [2], strides = [2], dilations = [2]> (x) }`),
  ]),
  ...['MaxPool', 'AveragePool'].flatMap((op) => [
    here(`(float[N,3,8,9] x) => (y) { y = ${op} <kernel_shape = [3,3], strides = [2,2], ceil_mode = 1> (x) }`),
    here(`(float[N,3,7] x) => (y) { y = ${op} <kernel_shape = [2], strides = [3], pads = [0,1], ceil_mode = 1> (x) }`),
  ]),
  here('(float[N,3,8,8] x) => (y, i) { y, i = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x) }'),
  here('(float[N,3,8,7] x) => (y, z) { y = GlobalAveragePool(x)  z = GlobalMaxPool(x) }'),

  here('(float[N,3,4,5] x) => (y) <float[4] s = {1,1,2,1.7}> { y = Resize <mode = "nearest"> (x, , s) }'),
  here('(float[1,3,4,5] x) => (y) <int64[4] s = {1,3,9,4}> { y = Resize <mode = "linear"> (x, , , s) }'),
  here(
    '(float[N,3,4,5] x) => (y, z) <int64[2] s = {9,4}, float[1] k = {2.5}> { y = Resize <axes = [2,3], ' +
      'mode = "linear"> (x, , , s)  z = Resize <axes = [-1]> (x, , k) }',
  ),
  here(
    '(float[N,3,4,5] x) => (y) <int64[2] s = {8,8}> { y = Resize <axes = [2,3], keep_aspect_ratio_policy ' +
      '= "not_larger"> (x, , , s) }',
  ),
  here(
    '(float[N,3,4,5] x) => (y) <int64[2] s = {8,8}> { y = Resize <axes = [3,2], keep_aspect_ratio_policy ' +
      '= "not_smaller"> (x, , , s) }',
  ),
  at(10)('(float[N,3,4,5] x) => (y) <float[4] s = {1,1,2,3}> { y = Resize(x, s) }'),
  at(11)('(float[N,3,4,5] x) => (y) <float[0] r = {}, float[4] s = {1,1,2,0.5}> { y = Resize(x, r, s) }'),
  at(9)('(float[N,3,4,5] x) => (y) <float[4] s = {1,1,2,2}> { y = Upsample(x, s) }'),
  at(7)('(float[N,3,4,5] x) => (y) { y = Upsample <scales = [1.0,1.0,3.0,2.0]> (x) }'),
];
