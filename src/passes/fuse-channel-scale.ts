import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import type { Node } from '../ir/graph.js';
import { rulePass, type Pass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { perChannel } from './constants.js';

/**
 * k · (W·x + b) = (k·W)·x + k·b, with one factor per output channel: [C,1,1] after a convolution, [n] after a product.
 * `axis` is where the output holds its channels, `channelOf` which channel an element of the weights belongs to.
 * Refuses factors that vary along other axes, and a bias that is not one value per channel.
 */
function channelScale(
  name: string,
  op: string,
  axis: (rank: number) => number,
  channelsOf: (node: Node, dims: readonly number[]) => number,
  channelOf: (node: Node, dims: readonly number[], index: number) => number,
): Pass {
  const factors = (m: Match): Float64Array | undefined => {
    const rank = m.value('c').shape?.length;
    const W = m.value('W').data;
    if (rank === undefined || W?.dtype !== 'float32' || W.dims.length < 2) return undefined;
    const k = perChannel(m.value('k'), rank, axis(rank), channelsOf(m.node('c'), W.dims));
    const inverse = m.node('y').op === 'Div';
    return k?.every((v) => Number.isFinite(inverse ? 1 / v : v)) ? (inverse ? k.map((v) => 1 / v) : k) : undefined;
  };
  return rulePass({
    name,
    doc: `Takes a constant factor per channel into the weights of the ${op} before it.`,
    numerics: 'close',
    pattern: ['Mul', 'Div'].map((last) => `c = ${op}(x, W!, B?!)\ny = ${last}(c, k!)`),
    check(m) {
      const k = factors(m);
      if (!k) return 'shapes or types are not known, or the factor varies over more than channels';
      const bias = m.optional('B')?.data;
      return (
        !bias ||
        (bias.dtype === 'float32' && bias.size === k.length && bias.dims.length === 1) ||
        'the bias is not one value per channel'
      );
    },
    rewrite(m, b) {
      const node = m.node('c');
      const W = dataOf(m.value('W')); // check() made sure, here and below
      const k = factors(m)!;
      const old = W.f64();
      const weights = new Float32Array(old.length);
      for (let i = 0; i < old.length; i++) weights[i] = old[i]! * k[channelOf(node, W.dims, i)]!;
      const bias = m.optional('B');
      const inputs = [m.value('x'), b.constant(Tensor.f32(weights, W.dims), m.value('W').name)];
      if (bias?.data) inputs.push(b.constant(Tensor.f32(bias.data.f64().map((v, i) => v * k[i]!)), bias.name));
      return b.op(op, inputs, { attrs: Object.fromEntries(node.attrs), name: node.name });
    },
  });
}

const product = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);

export const fuseChannelScaleConv = channelScale(
  'fuse-channel-scale-conv',
  'Conv',
  () => 1,
  (_n, dims) => dims[0]!,
  (_n, dims, i) => Math.floor(i / product(dims.slice(1))),
);
export const fuseChannelScaleConvTranspose = channelScale(
  'fuse-channel-scale-conv-transpose',
  'ConvTranspose',
  () => 1,
  (n, dims) => dims[1]! * n.int('group', 1),
  (n, dims, i) => {
    // W is [inputs, outputs / group, kernel…]: the group is told by the input channel.
    const spatial = product(dims.slice(2));
    const group = Math.floor(Math.floor(i / (spatial * dims[1]!)) / (dims[0]! / n.int('group', 1)));
    return group * dims[1]! + (Math.floor(i / spatial) % dims[1]!);
  },
);
export const fuseChannelScaleMatmul = channelScale(
  'fuse-channel-scale-matmul',
  'MatMul',
  (rank) => rank - 1,
  (_n, dims) => dims[dims.length - 1]!,
  (_n, dims, i) => i % dims[dims.length - 1]!,
);
export const fuseChannelScaleGemm = channelScale(
  'fuse-channel-scale-gemm',
  'Gemm',
  () => 1,
  (n, dims) => (n.int('transB', 0) ? dims[0]! : dims[1]!),
  (n, dims, i) => (n.int('transB', 0) ? Math.floor(i / dims[1]!) : i % dims[1]!),
);
