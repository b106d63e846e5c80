/** What operators cost, counted one by one in loops: what their cost facet is held against. */
import type { Node } from '../../../src/ir/graph.js';

export interface Counted {
  readonly macs: number;
  readonly other: number;
}
type Dims = readonly number[];
/** Counts from the sizes of a node's inputs and outputs as the runtime had them; omitted ones are []. */
type Counter = (node: Node, inputs: readonly Dims[], outputs: readonly Dims[]) => Counted;

/** Runs 'body' for each index of a tensor of such sizes. */
function each(dims: Dims, body: (at: readonly number[]) => void, at: readonly number[] = []): void {
  if (at.length === dims.length) return body(at);
  for (let i = 0; i < dims[at.length]!; i++) each(dims, body, [...at, i]); // shorter than dims
}
function elements(dims: Dims): number {
  let n = 0;
  each(dims, () => n++);
  return n;
}
const NOTHING: Counted = { macs: 0, other: 0 };
const perResult: Counter = (_n, _i, [y]) => ({ macs: 0, other: elements(y!) });
const perOperand: Counter = (_n, [x]) => ({ macs: 0, other: elements(x!) });

/** Each result sums over the channels of its group and the places of the kernel, padded ones included. */
const conv =
  (weight: number): Counter =>
  (_n, inputs, [y]) => {
    const [, channels, ...kernel] = inputs[weight]!; // a convolution has a weight
    let macs = 0;
    each(y!, () => each([channels!, ...kernel], () => macs++));
    return { macs, other: 0 };
  };
/** Each element of the input is spread over the output channels of its group and the places of the kernel. */
const convTranspose: Counter = (_n, [x, w]) => {
  let macs = 0;
  each(x!, () => each(w!.slice(1), () => macs++));
  return { macs, other: 0 };
};
/** Each result is a sum along the last axis of the left operand. */
const product: Counter = (_n, [a], [y]) => {
  let macs = 0;
  each(y!, () => each([a!.at(-1)!], () => macs++));
  return { macs, other: 0 };
};
const gemm: Counter = (node, [a], [y]) => {
  let macs = 0;
  const inner = a![node.int('transA', 0) === 1 ? 0 : 1]!;
  each(y!, () => each([inner], () => macs++));
  return { macs, other: 0 };
};
/** One product for each place of all letters together. */
const einsum: Counter = (node, inputs) => {
  const sizes = new Map<string, number>();
  const terms = node.string('equation').replaceAll(' ', '').split('->')[0]!.split(',');
  terms.forEach((term, i) => {
    const rank = inputs[i]!.length;
    // What an ellipsis stands for, the last axis as Z.
    const hidden = 'XYZ'.slice(3 - (rank - term.replace('...', '').length));
    [...term.replace('...', hidden)].forEach((c, j) => sizes.set(c, Math.max(sizes.get(c) ?? 0, inputs[i]![j]!)));
  });
  return { macs: elements([...sizes.values()]), other: 0 };
};
/** At each step each gate takes a sum over the input and over the state, and is one operation more. */
const recurrent =
  (gates: number): Counter =>
  (_n, [x, w, r]) => {
    let [macs, other] = [0, 0];
    each([x![0]!, x![1]!, w![0]!, gates, r![2]!], () => {
      each([x![2]!], () => macs++);
      each([r![2]!], () => macs++);
      other++;
    });
    return { macs, other };
  };
/** Queries, keys and values are products with one matrix; what they make is attended by heads. */
const projecting: Counter = (node, [x, w], [y]) => {
  const heads = node.int('num_heads', 0);
  const [batch, sequence, inner] = x!;
  const own = node.ints('qkv_hidden_sizes', [w![1]! / 3, w![1]! / 3, y![2]!]);
  let [macs, other] = [0, 0];
  each([batch!, sequence!, w![1]!], () => each([inner!], () => macs++));
  each([batch!, heads, sequence!, sequence!], () => {
    each([own[0]! / heads], () => macs++);
    each([own[2]! / heads], () => macs++);
    other++;
  });
  return { macs, other };
};
/** Each row goes through k experts, each of two matrices; `codes` of a matrix lie in an element. */
const experts =
  (second: number, codes: (node: Parameters<Counter>[0]) => number): Counter =>
  (node, inputs) => {
    let macs = 0;
    each([...inputs[0]!.slice(0, -1), node.int('k', 1)], () => {
      for (const i of [2, second]) each([...inputs[i]!.slice(1), codes(node)], () => macs++);
    });
    return { macs, other: elements(inputs[1]!) };
  };
/** Scores of all queries and keys, and the sums of values by them. */
const attention: Counter = (node, inputs, outputs) => {
  if (node.domain !== '') return projecting(node, inputs, outputs);
  const [q, k, v] = inputs;
  const split = (dims: Dims, heads: number): Dims =>
    dims.length === 4 ? dims : [dims[0]!, heads, dims[1]!, dims[2]! / heads];
  const [a, b, c] = [
    split(q!, node.int('q_num_heads', 0)),
    split(k!, node.int('kv_num_heads', 0)),
    split(v!, node.int('kv_num_heads', 0)),
  ];
  let [macs, other] = [0, 0];
  each([a[0]!, a[1]!, a[2]!, b[2]!], () => {
    each([a[3]!], () => macs++);
    each([c[3]!], () => macs++);
    other++;
  });
  return { macs, other };
};
const pool: Counter = (node, _i, [y]) => {
  let other = 0;
  each(y!, () => each(node.ints('kernel_shape'), () => other++));
  return { macs: 0, other };
};

/** The same by heads of one size, all in one axis of queries, keys and values. */
const headed: Counter = (node, [q, k], [y]) => {
  const heads = node.int('num_heads', 0);
  let [macs, other] = [0, 0];
  each([q![0]!, heads, q![1]!, k![1]!], () => {
    each([q![2]! / heads], () => macs++);
    each([y![2]! / heads], () => macs++);
    other++;
  });
  return { macs, other };
};
/** A sum, and what comes of it. */
const twice: Counter = (_n, _i, [y]) => ({ macs: 0, other: 2 * elements(y!) });

const COUNTERS: Readonly<Record<string, Counter>> = {
  Conv: conv(1),
  ConvInteger: conv(1),
  FusedConv: (n, i, o) => ({ macs: conv(1)(n, i, o).macs, other: elements(o[0]!) }),
  QLinearConv: conv(3),
  ConvTranspose: convTranspose,
  MatMul: product,
  MatMulInteger: product,
  QLinearMatMul: product,
  MatMulIntegerToFloat: product,
  DynamicQuantizeMatMul: product,
  MatMulNBits: product,
  Gemm: gemm,
  QGemm: gemm,
  Einsum: einsum,
  LSTM: recurrent(4),
  GRU: recurrent(3),
  RNN: recurrent(1),
  Attention: attention,
  MoE: experts(4, () => 1),
  QMoE: experts(5, (n) => 8 / n.int('expert_weight_bits', 4)),
  MultiHeadAttention: headed,
  GroupQueryAttention: headed,
  SkipLayerNormalization: twice,
  SkipSimplifiedLayerNormalization: twice,
  RotaryEmbedding: (n, i, o) => ({ macs: 0, other: 3 * perResult(n, i, o).other }),
  MaxPool: pool,
  AveragePool: pool,
  LpPool: pool,
  GlobalAveragePool: perOperand,
  GlobalMaxPool: perOperand,
};
/** Operators that compute nothing: they move elements, or know sizes. */
const FREE = new Set(
  (
    'DepthToSpace SpaceToDepth Identity Dropout Reshape Flatten Transpose Squeeze Unsqueeze Slice Gather ' +
    'GatherElements ' +
    'GatherND Concat Split Pad Expand Tile Shape Size ConstantOfShape Range OneHot NonZero TopK ' +
    'ScatterElements ScatterND ' +
    'Scatter CumSum Trilu ReverseSequence Constant'
  ).split(' '),
);
/** One operation for each element of the result. */
const PER_RESULT = new Set(
  (
    'Relu Clip LeakyRelu Sigmoid Tanh Erf Exp Log Sqrt Reciprocal Neg Abs Ceil Floor Round Sign Elu Selu ' +
    'Celu Softplus ' +
    'Softsign HardSigmoid HardSwish Gelu Mish Swish ThresholdedRelu Shrink Sin Cos Tan Asin Acos Atan ' +
    'Sinh Cosh Asinh ' +
    'Acosh Atanh Not BitwiseNot IsNaN IsInf Add Mul Sub Div Pow Mod PRelu And Or Xor Equal Greater ' +
    'GreaterOrEqual Less ' +
    'LessOrEqual BitwiseAnd BitwiseOr BitwiseXor BitShift Max Min Sum Mean Cast Where BatchNormalization ' +
    'InstanceNormalization LayerNormalization GroupNormalization RMSNormalization LpNormalization ' +
    'SimplifiedLayerNormalization BiasGelu FastGelu QuickGelu ' +
    'MeanVarianceNormalization LRN Softmax LogSoftmax Hardmax Resize Upsample QuantizeLinear DequantizeLinear ' +
    'DynamicQuantizeLinear GatherBlockQuantized QLinearAdd QLinearMul QLinearSigmoid QLinearLeakyRelu QLinearSoftmax ' +
    'QLinearGlobalAveragePool'
  ).split(' '),
);

/** The counter of an operator; undefined for those that only run subgraphs. */
export function counterOf(op: string): Counter | undefined {
  if (op.startsWith('Reduce') || op.startsWith('Arg')) return perOperand;
  if (FREE.has(op)) return () => NOTHING;
  return COUNTERS[op] ?? (PER_RESULT.has(op) ? perResult : undefined);
}
