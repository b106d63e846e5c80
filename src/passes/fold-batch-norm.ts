import { dataOf } from '../ir/known.js';
import type { Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { rulePass, type RewriteRule } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import type { GraphBuilder } from '../rewrite/builder.js';

/**
 * y = γ·(Wx + b − μ)/σ + β with σ = √(var + ε) is W'x + b' with W' = W·γ/σ and b' = (b − μ)·γ/σ + β, by output channel.
 * Computed in float64, stored in float32. Refuses where a weight or statistic is not constant, or in training mode.
 */
function foldRule(
  name: string,
  op: string,
  channelOf: (node: Node, dims: readonly number[]) => (index: number) => number,
): RewriteRule {
  return {
    name,
    doc: `Folds inference BatchNormalization into the ${op} before it.`,
    numerics: 'close',
    pattern: `c = ${op}(x, W, B?)\ny = BatchNormalization(c, gamma, beta, mean, var)`,
    check(m) {
      const bn = m.node('y');
      if (bn.int('training_mode', 0) !== 0) return 'BatchNormalization is in training mode';
      if (bn.outputs.slice(1).some((o) => o.uses.size || o.isGraphOutput)) return 'its statistics are used';
      if (m.value('W').dtype !== 'float32' && m.value('W').data?.dtype !== 'float32') return 'weights are not float32';
      const conv = m.node('c');
      if (op === 'Gemm' && (conv.float('alpha', 1) !== 1 || conv.float('beta', 1) !== 1))
        return 'Gemm has alpha or beta';
      const b = m.optional('B')?.data;
      if (b && b.size !== (m.value('gamma').data?.size ?? -1)) return 'the bias is not one value per channel';
      return m.constant('W', 'B', 'gamma', 'beta', 'mean', 'var');
    },
    rewrite: (m, b) => fold(m, b, channelOf),
  };
}

function fold(
  m: Match,
  b: GraphBuilder,
  channelOf: (node: Node, dims: readonly number[]) => (index: number) => number,
): Value {
  const conv = m.node('c');
  const W = dataOf(m.value('W')); // check() made sure that it is constant
  const { weights, bias } = scaled(m, W, m.optional('B')?.data, channelOf(conv, W.dims));
  return b.op(
    conv.op,
    [
      m.value('x'),
      b.constant(weights, m.value('W').name),
      b.constant(bias, m.optional('B')?.name ?? `${m.value('W').name}_bias`),
    ],
    { attrs: Object.fromEntries(conv.attrs), name: conv.name },
  );
}

/** W·γ/σ and (b − μ)·γ/σ + β of a match whose statistics are constants. */
function scaled(
  m: Match,
  W: Tensor,
  b: Tensor | undefined,
  channel: (index: number) => number,
): { readonly weights: Tensor; readonly bias: Tensor } {
  const data = (name: string): Float64Array => dataOf(m.value(name)).f64(); // check() made sure that it is constant
  const [gamma, beta, mean, variance] = [data('gamma'), data('beta'), data('mean'), data('var')];
  const epsilon = m.node('y').float('epsilon', 1e-5);
  const factor = gamma.map((g, i) => g / Math.sqrt(variance[i]! + epsilon));
  const old = W.f32();
  const weights = new Float32Array(old.length);
  for (let i = 0; i < old.length; i++) weights[i] = old[i]! * factor[channel(i)]!;
  const before = b?.f64();
  return {
    weights: Tensor.f32(weights, W.dims),
    bias: Tensor.f32(Float32Array.from(beta, (v, i) => ((before?.[i] ?? 0) - mean[i]!) * factor[i]! + v)),
  };
}

const product = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);

export const foldBatchNormConv = rulePass(
  foldRule('fold-batch-norm-conv', 'Conv', (_n, dims) => {
    const per = product(dims.slice(1));
    return (i) => Math.floor(i / per);
  }),
);
export const foldBatchNormConvTranspose = rulePass(
  foldRule('fold-batch-norm-conv-transpose', 'ConvTranspose', (node, dims) => {
    // W is [inputs, outputs / group, kernel…]: the group is told by the input channel.
    const spatial = product(dims.slice(2));
    const perGroup = dims[1]!;
    const inputsPerGroup = dims[0]! / node.int('group', 1);
    return (i) => {
      const input = Math.floor(i / (spatial * perGroup));
      return Math.floor(input / inputsPerGroup) * perGroup + (Math.floor(i / spatial) % perGroup);
    };
  }),
);
export const foldBatchNormGemm = rulePass(
  foldRule('fold-batch-norm-gemm', 'Gemm', (node, dims) =>
    node.int('transB', 0) ? (i) => Math.floor(i / dims[1]!) : (i) => i % dims[1]!,
  ),
);

/**
 * The same for a product of a matrix and a constant, which becomes Gemm: its bias is new. Only of matrices, whose
 * columns are the channels.
 */
export const foldBatchNormMatmul = rulePass({
  name: 'fold-batch-norm-matmul',
  doc: 'Folds inference BatchNormalization into the MatMul before it, as Gemm.',
  numerics: 'close',
  opset: 7,
  pattern: 'c = MatMul(x, W!)\ny = BatchNormalization(c, gamma!, beta!, mean!, var!)',
  check(m) {
    const [W, bn] = [m.value('W').data, m.node('y')];
    if (bn.int('training_mode', 0) !== 0) return 'BatchNormalization is in training mode';
    if (bn.outputs.slice(1).some((o) => o.uses.size || o.isGraphOutput)) return 'its statistics are used';
    return (
      (W?.dtype === 'float32' && W.dims.length === 2 && m.value('x').shape?.length === 2) ||
      'it is no float32 product of two matrices'
    );
  },
  rewrite(m, b) {
    // check() made sure
    const { weights, bias } = scaled(m, dataOf(m.value('W')), undefined, (i) => i % dataOf(m.value('W')).dims[1]!);
    return b.op(
      'Gemm',
      [m.value('x'), b.constant(weights, m.value('W').name), b.constant(bias, `${m.value('W').name}_bias`)],
      { name: m.node('c').name || 'Gemm' },
    );
  },
});
