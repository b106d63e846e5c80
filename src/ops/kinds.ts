/**
 * What rooms above ask of single operators, beside the facets: each question is one predicate, so that no name of an
 * operator is tested elsewhere.
 */
import type { Node } from '../ir/graph.js';
import { specOf } from './index.js';
import { recurrentCell } from './linear.js';

const standard = (...ops: readonly string[]): ((n: Node) => boolean) => {
  const set = new Set(ops);
  return (n) => n.domain === '' && set.has(n.op);
};
/**
 * For questions asked of graphs that onnxruntime wrote too, in which its own domain holds twins of ONNX's operators.
 */
const anyDomain = (...ops: readonly string[]): ((n: Node) => boolean) => {
  const set = new Set(ops);
  return (n) => set.has(n.op);
};

/** A value written in a node. */
export const isConstantNode = standard('Constant');
/** Gives its input as it is. */
export const isIdentityNode = standard('Identity');
const isCast = standard('Cast');
/** Gives its input as it is, of the type that it has. */
export const keepsValue = (n: Node): boolean =>
  isIdentityNode(n) || (isCast(n) && n.inputs[0]?.dtype !== undefined && n.inputs[0].dtype === n.outputs[0]?.dtype);
export const isTranspose = standard('Transpose');
/** Gives the bytes of its first input, under another shape at most. */
export const isView = standard('Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity', 'Dropout');
/** Reads sizes, or nothing. */
export const readsNoData = standard('Constant', 'Shape', 'Size');
/** Moves no data when the model runs. */
export const isWorkless = (n: Node): boolean => isView(n) || readsNoData(n);
/** Hands a weight on to who computes with it, as chains of conversions do. */
export const bringsWeight = anyDomain('DequantizeLinear', 'Identity', 'Cast', 'Transpose', 'Reshape', 'Mul', 'Sub');
/** Channels of the result are those of the operand, one by one, whatever shape it has beside them. */
export const keepsEachChannel = anyDomain(
  'Relu',
  'LeakyRelu',
  'Identity',
  'Dropout',
  'MaxPool',
  'AveragePool',
  'GlobalAveragePool',
  'GlobalMaxPool',
);
/** Hands channels on, so that their means stay. Zero padding of an image is taken for more of it. */
export const keepsMeans = standard(
  'Identity',
  'Dropout',
  'Flatten',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Pad',
  'Slice',
  'Concat',
  'Split',
  'AveragePool',
  'GlobalAveragePool',
  'ReduceMean',
);
/** Every element of its first two operands enters the result by addition or multiplication: NaN stays NaN. */
export const mixesAll = standard('Add', 'Mul', 'GlobalAveragePool');
/** A sum of two operands. */
export const isAddition = standard('Add');
/** A product of two operands, element by element. */
export const isMultiplication = standard('Mul');
/** The sum of all operands. */
export const isSum = standard('Add', 'Sum');
const mixes = anyDomain('Add', 'Sub', 'Sum', 'Mean');
const concatenates = anyDomain('Concat');
/** How a constant beside other operands enters: added to their elements, or put beside them. */
export const joins = (n: Node): 'added' | 'beside' | undefined =>
  mixes(n) ? 'added' : concatenates(n) ? 'beside' : undefined;
/** Puts a border around what it moves. */
export const addsBorder = anyDomain('Pad');
/** A constant operand with an element for each channel may be learned, as biases and slopes are. */
export const learnsOperand = standard('Add', 'Sub', 'Mul', 'Div', 'PRelu');
export const isLogarithm = standard('Log');
/** A root, or a power that may be one: of a small number it is a small number. */
export const isRoot = standard('Sqrt', 'Pow');
export const isMatMul = anyDomain('MatMul');
export const isRelu = standard('Relu');
export const isSoftmax = standard('Softmax');
/** Inputs: data, scale, bias, mean, variance. */
export const isBatchNormalization = standard('BatchNormalization');
/** Groups of channels along axis 1. */
export const isGroupNormalization = standard('GroupNormalization');
/** Inputs: data, scale, bias. */
export const isLayerNormalization = standard('LayerNormalization');
const normalizes = anyDomain('LayerNormalization', 'RMSNormalization', 'SimplifiedLayerNormalization');
const normalizesSum = anyDomain('SkipLayerNormalization', 'SkipSimplifiedLayerNormalization');
/**
 * Which inputs of a node that normalises the last axis are data, the scale of each channel, and what is added to it;
 * `sum` is the output that has the sum of the data. Undefined for other nodes.
 */
export function normalization(
  n: Node,
):
  | { readonly data: readonly number[]; readonly scale: number; readonly bias: number; readonly sum?: number }
  | undefined {
  if (normalizes(n)) return { data: [0], scale: 1, bias: 2 };
  return normalizesSum(n) ? { data: [0, 1], scale: 2, bias: isCentredSum(n) ? 3 : NOTHING, sum: 3 } : undefined;
}
const isCentredSum = anyDomain('SkipLayerNormalization');
/** No input of a node. */
const NOTHING = -1;
export const isQuantize = anyDomain('QuantizeLinear');
export const isDequantize = anyDomain('DequantizeLinear');

/** A convolution or its transpose, whatever its weight is. */
export const isConvolution = anyDomain('Conv', 'ConvInteger', 'ConvTranspose');
/** A product of matrices, whatever its operands are. */
export const isMatrixProduct = anyDomain('MatMul', 'Gemm');
const attends = anyDomain('Attention', 'MultiHeadAttention', 'GroupQueryAttention');
/** A recurrent cell, or attention as one operator. */
export const isCellOrAttention = (n: Node): boolean => specOf(n)?.linear === recurrentCell || attends(n);

const FORMS: Readonly<Record<string, 'convolution' | 'lstm' | 'none'>> = {
  Conv: 'convolution',
  LSTM: 'lstm',
  GRU: 'none',
  RNN: 'none',
  ConvTranspose: 'none',
};
/**
 * What computes a node on weights in codes while ranges of activations are found at run time: ConvInteger,
 * DynamicQuantizeLSTM, or MatMulInteger; 'none' for nodes with weights that nothing does.
 */
export const dynamicForm = (n: Node): 'convolution' | 'lstm' | 'product' | 'none' =>
  (n.domain === '' ? FORMS[n.op] : undefined) ?? 'product';

const controls = standard('If', 'Loop', 'Scan');
const branches = standard('If');
const loops = standard('Loop');
/** Whether a node runs one of its graphs, or its graph again and again; undefined for nodes without graphs. */
export const control = (n: Node): 'branches' | 'repeats' | undefined =>
  branches(n) ? 'branches' : controls(n) ? 'repeats' : undefined;
/** Trip count of a Loop with a constant limit and condition; length of a Scan; else 1. */
export function tripsOf(node: Node): number {
  if (control(node) !== 'repeats') return 1;
  if (loops(node)) {
    const trips = node.inputs[0]?.data?.ints()[0];
    return trips !== undefined && trips >= 0n && trips <= 1_000_000_000n ? Number(trips) : 1;
  }
  const first = node.inputs[node.inputs.length - node.int('num_scan_inputs', 1)];
  const scanned = first?.shape?.[node.ints('scan_input_axes', [0])[0] ?? 0];
  return typeof scanned === 'number' ? scanned : 1;
}
