/** Small models for what is written to .tflite: name, graph, and whether it runs on codes too. */
interface Case {
  readonly graph: string;
  readonly opset?: number;
  /** Not for codes: the operator computes in float, or its codes have scales that a range for all does not suit. */
  readonly float?: true;
  /** Least dB against the codes computed exactly, where a kernel rounds more than once. */
  readonly least?: number;
}
const one = (node: string, from = 'float[1,4,6,6] x', to = 'float[1,4,6,6] y', constants = ''): string =>
  `g (${from}) => (${to}) ${constants ? `<${constants}> ` : ''}{ [n] ${node} }`;
const unary = (op: string, attributes = ''): Case => ({
  graph: one(`y = ${op}${attributes}(x)`, 'float[2,3,5] x', 'float[2,3,5] y'),
  float: true,
});
const conv = (
  attributes: string,
  to: string,
  weight = 'float[8,4,3,3] w, float[8] b',
  from = 'float[1,4,6,6] x',
): Case => ({
  graph: one(`y = Conv<${attributes}>(x, w, b)`, from, to, weight),
});

export const CASES: Readonly<Record<string, Case>> = {
  'conv without padding': conv('kernel_shape = [3,3]', 'float[1,8,4,4] y'),
  'conv padded alike': conv('pads = [1,1,1,1]', 'float[1,8,6,6] y'),
  'conv with a stride, padded at the start': conv('pads = [1,1,1,1], strides = [2,2]', 'float[1,8,3,3] y'),
  'conv padded unevenly': conv('pads = [2,0,0,1]', 'float[1,8,6,5] y'),
  'conv with SAME_UPPER': conv('auto_pad = "SAME_UPPER", strides = [2,1]', 'float[1,8,3,6] y'),
  'conv with SAME_LOWER': conv('auto_pad = "SAME_LOWER", strides = [2,2]', 'float[1,8,3,3] y'),
  'conv with VALID': conv('auto_pad = "VALID"', 'float[1,8,4,4] y'),
  'conv dilated': conv('dilations = [2,1], pads = [2,1,2,1]', 'float[1,8,6,6] y'),
  'conv depthwise': conv('group = 4, pads = [1,1,1,1]', 'float[1,4,6,6] y', 'float[4,1,3,3] w, float[4] b'),
  'conv depthwise, two for each': conv('group = 4', 'float[1,8,4,4] y', 'float[8,1,3,3] w, float[8] b'),
  'conv in groups': conv('group = 2', 'float[1,6,4,4] y', 'float[6,2,3,3] w, float[6] b'),
  'conv over a line': conv(
    'pads = [1,1], strides = [2]',
    'float[1,8,4] y',
    'float[8,4,3] w, float[8] b',
    'float[1,4,7] x',
  ),
  'conv without a bias, and Relu': {
    graph: 'g (float[1,4,6,6] x) => (float[1,8,4,4] y) <float[8,4,3,3] w> { [c] a = Conv(x, w) [r] y = Relu(a) }',
  },
  'conv and Clip to 6': {
    graph:
      'g (float[1,4,6,6] x) => (float[1,8,4,4] y) <float[8,4,3,3] w, float low = {0}, float high = {6}> ' +
      '{ [c] a = Conv(x, w) [r] y = Clip(a, low, high) }',
  },
  'conv and Clip to other limits': {
    graph:
      'g (float[1,4,6,6] x) => (float[1,8,4,4] y) <float[8,4,3,3] w, float low = {-0.25}, float high = {0.5}> ' +
      '{ [c] a = Conv(x, w) [r] y = Clip(a, low, high) }',
  },
  'ConvTranspose with a stride': {
    graph: one(
      'y = ConvTranspose<strides = [2,2]>(x, w, b)',
      'float[1,4,5,6] x',
      'float[1,3,11,13] y',
      'float[4,3,3,3] w, float[3] b',
    ),
  },
  'ConvTranspose, cut at the border': {
    graph: one(
      'y = ConvTranspose<strides = [2,2], pads = [1,1,1,1], output_padding = [1,1]>(x, w)',
      'float[1,4,5,6] x',
      'float[1,3,10,12] y',
      'float[4,3,3,3] w',
    ),
  },
  'ConvTranspose of twice the size': {
    graph: one(
      'y = ConvTranspose<strides = [2,2], pads = [1,1,1,1]>(x, w)',
      'float[1,4,5,6] x',
      'float[1,3,10,12] y',
      'float[4,3,4,4] w',
    ),
  },
  'MaxPool with padding': {
    graph: one(
      'y = MaxPool<kernel_shape = [3,3], pads = [1,1,1,1], strides = [2,2]>(x)',
      undefined,
      'float[1,4,3,3] y',
    ),
  },
  'MaxPool with ceil_mode': {
    graph: one('y = MaxPool<kernel_shape = [3,2], strides = [2,3], ceil_mode = 1>(x)', undefined, 'float[1,4,3,2] y'),
  },
  'AveragePool of everything': {
    graph: one('y = AveragePool<kernel_shape = [6,6]>(x)', undefined, 'float[1,4,1,1] y'),
  },
  'AveragePool of windows': {
    graph: one('y = AveragePool<kernel_shape = [2,3], strides = [2,3]>(x)', undefined, 'float[1,4,3,2] y'),
  },
  'AveragePool that counts its border': {
    graph: one('y = AveragePool<kernel_shape = [3,3], pads = [1,1,1,1], count_include_pad = 1>(x)'),
  },
  'AveragePool that leaves its border out': {
    graph: one('y = AveragePool<kernel_shape = [3,3], pads = [1,1,1,1]>(x)'),
  },
  'AveragePool, uneven border left out': {
    graph: one('y = AveragePool<kernel_shape = [3,3], pads = [2,0,0,1]>(x)', undefined, 'float[1,4,6,5] y'),
  },
  'AveragePool with ceil_mode': {
    graph: one(
      'y = AveragePool<kernel_shape = [3,3], strides = [2,2], ceil_mode = 1>(x)',
      undefined,
      'float[1,4,3,3] y',
    ),
    opset: 19,
  },
  GlobalAveragePool: { graph: one('y = GlobalAveragePool(x)', undefined, 'float[1,4,1,1] y') },
  GlobalMaxPool: { graph: one('y = GlobalMaxPool(x)', undefined, 'float[1,4,1,1] y'), float: true },
  'Resize to twice, nearest': {
    graph: one(
      'y = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, , s)',
      undefined,
      'float[1,4,12,18] y',
      'float[4] s = {1, 1, 2, 3}',
    ),
  },
  'Resize of half pixels, nearest': {
    graph: one('y = Resize<mode = "nearest">(x, , s)', undefined, 'float[1,4,12,12] y', 'float[4] s = {1, 1, 2, 2}'),
  },
  'Resize, linear': {
    graph: one('y = Resize<mode = "linear">(x, , s)', undefined, 'float[1,4,9,15] y', 'float[4] s = {1, 1, 1.5, 2.5}'),
    float: true,
  },
  'Resize between corners': {
    graph: one(
      'y = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(x, , , t)',
      undefined,
      'float[1,4,11,7] y',
      'int64[4] t = {1, 4, 11, 7}',
    ),
    float: true,
  },
  DepthToSpace: { graph: one('y = DepthToSpace<blocksize = 2>(x)', undefined, 'float[1,1,12,12] y') },
  'DepthToSpace, channel first': {
    graph: one('y = DepthToSpace<blocksize = 2, mode = "CRD">(x)', 'float[1,8,3,2] x', 'float[1,2,6,4] y'),
  },
  SpaceToDepth: { graph: one('y = SpaceToDepth<blocksize = 2>(x)', undefined, 'float[1,16,3,3] y') },
  BatchNormalization: {
    graph: one(
      'y = BatchNormalization(x, a, b, c, d)',
      undefined,
      undefined,
      'float[4] a, float[4] b, float[4] c, float[4] d = {1, 2, 3, 0.5}',
    ),
    float: true,
  },
  InstanceNormalization: {
    graph: one('y = InstanceNormalization(x, a, b)', undefined, undefined, 'float[4] a, float[4] b'),
    float: true,
  },
  GroupNormalization: {
    graph: one('y = GroupNormalization<num_groups = 2>(x, a, b)', undefined, undefined, 'float[4] a, float[4] b'),
    opset: 21,
    float: true,
  },
  'LayerNormalization over two axes': {
    graph: one(
      'y = LayerNormalization<axis = -2>(x, a, b)',
      'float[2,3,5] x',
      'float[2,3,5] y',
      'float[3,5] a, float[3,5] b',
    ),
    float: true,
  },
  RMSNormalization: {
    graph: one('y = RMSNormalization(x, a)', 'float[2,3,5] x', 'float[2,3,5] y', 'float[5] a'),
    opset: 23,
    float: true,
  },
  Gemm: { graph: one('y = Gemm<transB = 1>(x, w, b)', 'float[1,6] x', 'float[1,5] y', 'float[5,6] w, float[5] b') },
  'Gemm, not transposed': {
    graph: one('y = Gemm(x, w, b)', 'float[1,6] x', 'float[1,5] y', 'float[6,5] w, float[5] b'),
  },
  'Gemm with factors': {
    graph: one(
      'y = Gemm<alpha = 0.5, beta = 2.0, transA = 1>(x, w, b)',
      'float[6,3] x',
      'float[3,5] y',
      'float[6,5] w, float[3,5] b',
    ),
    float: true,
  },
  'MatMul by a matrix': { graph: one('y = MatMul(x, w)', 'float[1,3,6] x', 'float[1,3,5] y', 'float[6,5] w') },
  'MatMul of two': { graph: one('y = MatMul(x, z)', 'float[1,2,3,6] x, float[1,2,6,5] z', 'float[1,2,3,5] y') },
  'MatMul by a stack': { graph: one('y = MatMul(x, w)', 'float[1,2,3,6] x', 'float[1,2,3,5] y', 'float[2,6,5] w') },
  'MatMul of a vector': { graph: one('y = MatMul(x, z)', 'float[6] x, float[6,5] z', 'float[5] y'), float: true },
  Add: { graph: one('y = Add(x, z)', 'float[1,4,6,6] x, float[1,4,6,6] z') },
  'Add with broadcasting': { graph: one('y = Add(x, z)', 'float[1,4,6,6] x, float[1,4,1,1] z') },
  'Add of a constant, and Relu': {
    graph: 'g (float[1,4,6,6] x) => (float[1,4,6,6] y) <float[1,4,1,1] c> { [a] s = Add(x, c) [r] y = Relu(s) }',
  },
  Mul: { graph: one('y = Mul(x, z)', 'float[1,4,6,6] x, float[1,4,6,6] z') },
  'Sub and Div': {
    graph: 'g (float[2,3] x) => (float[2,3] y) <float[3] c, float two = {2}> { [s] a = Sub(x, c) [d] y = Div(a, two) }',
    float: true,
  },
  'Concat of channels': {
    graph: one('y = Concat<axis = 1>(x, z)', 'float[1,4,6,6] x, float[1,2,6,6] z', 'float[1,6,6,6] y'),
  },
  'a net of images in one layout': {
    graph:
      'g (float[1,4,6,6] x) => (float[1,10,5,6] y) <float[8,4,3,3] w, float[1,8,1,1] m, int64[8] p = {0,1,0,0,0,1,0,0}, ' +
      'int64[2] from = {2, 1}, int64[2] to = {12, 6}, int64[2] axes = {1, 2}> ' +
      '{ [c] a = Conv<pads = [1,1,1,1]>(x, w) [s] b = Mul(a, m) [j] d = Concat<axis = 1>(b, x) [t] e = Pad(d, p) ' +
      '[i] y = Slice(e, from, to, axes) }',
  },
  'flatten behind images': {
    graph:
      'g (float[1,4,6,6] x) => (float[1,5] y) <float[8,4,3,3] w, float[128,5] v, int64[2] s = {1, -1}> ' +
      '{ [c] a = Conv(x, w) [f] b = Reshape(a, s) [m] y = MatMul(b, v) }',
  },
  Split: {
    graph:
      'g (float[1,6,4] x) => (float[1,2,4] y, float[1,4,4] z) <int64[2] s = {2, 4}> { [n] y, z = Split<axis = 1>(x, s) }',
  },
  'Split into equal parts': {
    graph: 'g (float[1,6,4] x) => (float[1,3,4] y, float[1,3,4] z) { [n] y, z = Split<axis = 1>(x) }',
  },
  Slice: {
    graph: one(
      'y = Slice(x, a, b, c)',
      'float[1,6,4] x',
      'float[1,3,2] y',
      'int64[2] a = {1, -3}, int64[2] b = {4, -1}, int64[2] c = {1, 2}',
    ),
  },
  'Slice with steps': {
    graph: one(
      'y = Slice(x, a, b, c, s)',
      'float[1,4,6,6] x',
      'float[1,4,3,2] y',
      'int64[2] a = {0, 1}, int64[2] b = {6, 6}, int64[2] c = {2, 3}, int64[2] s = {2, 3}',
    ),
  },
  'Slice backwards': {
    graph: one(
      'y = Slice(x, a, b, c, s)',
      'float[1,6,4] x',
      'float[1,6,2] y',
      'int64[2] a = {-1, 3}, int64[2] b = {-100, 0}, int64[2] c = {1, 2}, int64[2] s = {-1, -2}',
    ),
  },
  Pad: { graph: one('y = Pad(x, p)', 'float[1,3,4] x', 'float[1,6,4] y', 'int64[6] p = {0,1,0,0,2,0}') },
  'Pad with a number': {
    graph: one('y = Pad(x, p, v)', 'float[1,3,4] x', 'float[1,6,4] y', 'int64[6] p = {0,1,0,0,2,0}, float v = {1.5}'),
  },
  'Pad that cuts': { graph: one('y = Pad(x, p)', 'float[1,3,4] x', 'float[1,3,4] y', 'int64[6] p = {0,1,0,0,-1,0}') },
  'Pad mirrored': {
    graph: one('y = Pad<mode = "reflect">(x, p)', 'float[1,3,4] x', 'float[1,5,5] y', 'int64[6] p = {0,1,0,0,1,1}'),
  },
  Transpose: { graph: one('y = Transpose<perm = [0,2,1]>(x)', 'float[1,3,4] x', 'float[1,4,3] y') },
  Gather: {
    graph: one('y = Gather<axis = 1>(x, i)', 'float[1,3,4] x', 'float[1,2,2,4] y', 'int64[2,2] i = {0, -1, 1, 2}'),
  },
  'Gather of one': { graph: one('y = Gather<axis = 2>(x, i)', 'float[1,3,4] x', 'float[1,3] y', 'int64 i = {-2}') },
  Expand: { graph: one('y = Expand(x, s)', 'float[3,1] x', 'float[2,3,4] y', 'int64[3] s = {2, 3, 4}') },
  Tile: { graph: one('y = Tile(x, s)', 'float[3,1] x', 'float[6,4] y', 'int64[2] s = {2, 4}') },
  'Squeeze and Unsqueeze': {
    graph:
      'g (float[1,3,4] x) => (float[3,1,4] y) <int64[1] a = {0}, int64[1] b = {1}> { [s] z = Squeeze(x, a) [u] y = Unsqueeze(z, b) }',
  },
  Softmax: { graph: one('y = Softmax(x)', 'float[1,3,5] x', 'float[1,3,5] y') },
  'Softmax of another axis': { graph: one('y = Softmax<axis = 1>(x)', 'float[1,3,5] x', 'float[1,3,5] y') },
  'Softmax before opset 13': { graph: one('y = Softmax<axis = 1>(x)', 'float[1,3,5] x', 'float[1,3,5] y'), opset: 11 },
  LogSoftmax: { graph: one('y = LogSoftmax(x)', 'float[1,3,5] x', 'float[1,3,5] y'), float: true },
  Sigmoid: { graph: one('y = Sigmoid(x)') },
  Tanh: { graph: one('y = Tanh(x)') },
  LeakyRelu: { graph: one('y = LeakyRelu<alpha = 0.2>(x)') },
  'PRelu by channel': { graph: one('y = PRelu(x, s)', undefined, undefined, 'float[4,1,1] s'), float: true },
  'PRelu behind a conv': {
    graph:
      'g (float[1,4,6,6] x) => (float[1,4,4,4] y) <float[4,4,3,3] w, float[4,1,1] s> { [c] a = Conv(x, w) [p] y = PRelu(a, s) }',
    float: true,
  },
  'Relu and Clip alone': {
    graph:
      'g (float[2,3] x) => (float[2,3] y, float[2,3] z) <float a = {-0.5}, float b = {1.25}> { [r] y = Relu(x) [c] z = Clip(x, a, b) }',
  },
  Pow: {
    graph:
      'g (float[2,3] x) => (float[2,3] y, float[2,3] z) <float two = {2}, float three = {3}> { [a] y = Pow(x, two) [b] z = Pow(x, three) }',
    float: true,
  },
  'Max and Min of three': {
    graph:
      'g (float[2,3] x) => (float[2,3] y, float[2,3] z) <float[3] a, float b = {0.1}> { [m] y = Max(x, a, b) [n] z = Min(x, a, b) }',
    float: true,
  },
  Where: {
    graph:
      'g (float[2,3] x) => (float[2,3] y) <float zero = {0}, float one = {1}> { [c] b = Greater(x, zero) [w] y = Where(b, x, one) }',
    float: true,
  },
  comparisons: {
    graph:
      'g (float[2,3] x) => (float[2,3] y) <float[3] a> { [a] p = Less(x, a) [b] q = LessOrEqual(x, a) [c] r = Equal(x, a) ' +
      '[d] s = GreaterOrEqual(x, a) [e] t = And(p, q) [f] u = Or(t, r) [g] v = Not(u) [h] k = Xor(v, s) [i] y = Cast<to = 1>(k) }',
    float: true,
  },
  'ArgMax and TopK': {
    graph:
      'g (float[2,5] x) => (float[2,1] y, float[2,2] v, float[2,2] z) <int64[1] k = {2}> { [a] i = ArgMax<axis = 1>(x) [c] y = Cast<to = 1>(i) ' +
      '[t] v, j = TopK(x, k) [d] z = Cast<to = 1>(j) }',
    float: true,
  },
  CumSum: { graph: one('y = CumSum<reverse = 1>(x, a)', 'float[2,5] x', 'float[2,5] y', 'int64 a = {1}'), float: true },
  ...Object.fromEntries(
    ['Mean', 'Sum', 'Max', 'Min', 'Prod', 'L1', 'L2', 'SumSquare', 'LogSumExp'].map((how): [string, Case] => [
      `Reduce${how}`,
      {
        graph: one(
          `y = Reduce${how}<axes = [-1, 0], keepdims = ${how.length % 2}>(x)`,
          'float[2,3,5] x',
          how.length % 2 ? 'float[1,3,1] y' : 'float[3] y',
        ),
        opset: 12,
        float: true,
      },
    ]),
  ),
  ...Object.fromEntries(
    [
      ['Erf'],
      ['Exp'],
      ['Abs'],
      ['Neg'],
      ['Ceil'],
      ['Floor'],
      ['Round'],
      ['Sign'],
      ['Sin'],
      ['Cos'],
      ['Reciprocal'],
      ['Softplus'],
      ['Softsign'],
      ['Mish'],
      ['HardSwish'],
      ['HardSigmoid', '<alpha = 0.3, beta = 0.4>'],
      ['Elu'],
      ['Elu', '<alpha = 0.5>'],
      ['Celu', '<alpha = 2.0>'],
      ['Selu'],
      ['Gelu'],
      ['Gelu', '<approximate = "tanh">'],
    ].map(([op, attributes]): [string, Case] => [
      `${op}${attributes ?? ''}`,
      { ...unary(op ?? '', attributes), opset: 20 },
    ]),
  ),
};
