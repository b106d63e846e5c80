/**
 * The version of an operator that has what is asked of it: runtimes refuse versions that they do not know. source:
 * https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/tools/versioning/op_version.cc
 */
import { item } from '../../base/lists.js';
import type { Operator } from './schema.js';
import { sameSizes, type LiteOperator, type LiteTensor } from './tensors.js';

type Rule = number | ((o: LiteOperator, x: LiteTensor) => number);
const onCodes = (x: LiteTensor): boolean => x.type === 'int8';
/** 2 on int8 codes. */
const two: Rule = (_, x) => (onCodes(x) ? 2 : 1);
const perChannel = (t: LiteTensor | undefined): boolean => (t?.quant?.scale.length ?? 1) > 1;
/** Float inputs, and weights in codes. */
const isHybrid = ({ inputs }: LiteOperator, x: LiteTensor): boolean =>
  x.type === 'float32' && inputs[1]?.type === 'int8';
const broadcasts = ({ inputs }: LiteOperator): boolean => !sameSizes(inputs[0]?.shape ?? [], inputs[1]?.shape ?? []);
const rankOf = ({ inputs }: LiteOperator): number => Math.max(...inputs.map((t) => t?.shape.length ?? 0));

const RULES: { readonly [O in Operator]?: Rule } = {
  CONV_2D(o, x) {
    const [weight] = o.inputs.slice(1);
    if (weight && weight.shape[3] !== x.shape[3]) return 6; // groups
    return isHybrid(o, x) ? (perChannel(weight) ? 5 : 2) : onCodes(x) ? 3 : 1;
  },
  DEPTHWISE_CONV_2D(o, x) {
    if (isHybrid(o, x)) return perChannel(o.inputs[1]) ? 6 : 4;
    return onCodes(x) ? 3 : o.options.dilationW !== 1 || o.options.dilationH !== 1 ? 2 : 1;
  },
  FULLY_CONNECTED(o, x) {
    if (isHybrid(o, x) && perChannel(o.inputs[1])) return 12;
    if (o.inputs.length === 2) return 6;
    if (o.options.keepDims) return isHybrid(o, x) ? 9 : 5;
    return isHybrid(o, x) ? 9 : onCodes(x) ? 4 : 1;
  },
  TRANSPOSE_CONV: (o) => (o.options.activation ? 4 : o.inputs.length === 4 ? 3 : o.inputs[1]?.type === 'int8' ? 2 : 1),
  BATCH_MATMUL: (o, x) => (onCodes(x) ? 2 : isHybrid(o, x) ? 4 : 1),
  MUL(o, x) {
    if (x.type === 'int64') return 5;
    const scale = (t: LiteTensor | undefined): number => t?.quant?.scale[0] ?? 0;
    const [a, b, y] = [scale(o.inputs[0]), scale(o.inputs[1]), scale(o.outputs[0])];
    return a && b && y && (a * b) / y >= 1 ? 3 : onCodes(x) ? 2 : 1;
  },
  ADD: (_, x) => (x.type === 'int64' ? 4 : onCodes(x) ? 2 : 1),
  SUB: (o, x) => (x.type === 'int64' ? 4 : broadcasts(o) && rankOf(o) > 4 ? 3 : onCodes(x) ? 2 : 1),
  DIV: (o) => (broadcasts(o) && rankOf(o) > 4 ? 2 : 1),
  TRANSPOSE: (_, x) => {
    const rank = x.shape.length;
    return rank > 6 ? 8 : rank > 5 ? 6 : rank > 4 ? 4 : x.type === 'bool' ? 3 : onCodes(x) ? 2 : 1;
  },
  SPLIT: ({ inputs }) => (inputs[1]?.type === 'int8' ? 2 : inputs[1]?.type === 'int32' ? 3 : 1),
  SLICE: (_, x) => (x.shape.length > 4 ? 5 : onCodes(x) ? 2 : 1),
  STRIDED_SLICE: (_, x) => (x.shape.length > 4 ? 4 : x.type === 'bool' ? 3 : onCodes(x) ? 2 : 1),
  DEQUANTIZE: (_, x) => (x.type === 'float16' ? 3 : onCodes(x) ? (perChannel(x) ? 5 : 2) : 1),
  ABS: (_, x) => (x.type === 'int32' ? 5 : onCodes(x) ? 2 : 1),
  SIGN: (_, x) => (x.type === 'int32' ? 2 : 1),
  RESIZE_BILINEAR: (o, x) => (o.options.halfPixel ? 3 : onCodes(x) ? 2 : 1),
  RESIZE_NEAREST_NEIGHBOR: (o, x) => (o.options.halfPixel || o.options.alignCorners ? 3 : onCodes(x) ? 2 : 1),
  MAXIMUM: (o, x) => (broadcasts(o) && rankOf(o) > 4 ? 3 : onCodes(x) ? 2 : 1),
  MINIMUM: (o, x) => (broadcasts(o) && rankOf(o) > 4 ? 3 : onCodes(x) ? 2 : 1),
  TILE: (_, x) => (onCodes(x) ? 3 : 1),
  GATHER: (_, x) => (x.type === 'bool' ? 3 : onCodes(x) ? 2 : 1),
  PAD: (_, x) => (x.type === 'bool' ? 5 : x.shape.length > 4 ? 4 : onCodes(x) ? 2 : 1),
  PADV2: (_, x) => (x.type === 'bool' ? 5 : x.shape.length > 4 ? 4 : onCodes(x) ? 2 : 1),
  FLOOR_MOD: (_, x) => (onCodes(x) ? 2 : 1),
  ARG_MAX: (_, x) => (x.type === 'bool' ? 3 : onCodes(x) ? 2 : 1),
  ARG_MIN: (_, x) => (x.type === 'bool' ? 3 : onCodes(x) ? 2 : 1),
  BROADCAST_TO: (_, x) => (onCodes(x) ? 3 : 2),
  CAST: ({ inputs, outputs }) => {
    const types = [...inputs, ...outputs].map((t) => t?.type);
    const has = (...of: readonly string[]): boolean => types.some((t) => t !== undefined && of.includes(t));
    return has('float64', 'float16') ? 5 : has('int8') ? 3 : has('uint32') ? 2 : 1;
  },
};
const TWO_ON_CODES: ReadonlySet<string> = new Set([
  'MAX_POOL_2D',
  'AVERAGE_POOL_2D',
  'RELU',
  'RELU6',
  'TANH',
  'LOGISTIC',
  'EQUAL',
  'NOT_EQUAL',
  'CONCATENATION',
  'SOFTMAX',
  'MEAN',
  'MIRROR_PAD',
  'REDUCE_MAX',
  'REDUCE_MIN',
  'RSQRT',
  'LESS',
  'GREATER_EQUAL',
  'SPACE_TO_DEPTH',
  'SPLIT_V',
  'SUM',
  'LOG_SOFTMAX',
  'GREATER',
  'LESS_EQUAL',
  'SQUARED_DIFFERENCE',
  'DEPTH_TO_SPACE',
  'TOPK_V2',
  'EXP',
  'LOG',
  'REDUCE_PROD',
  'SQRT',
  'GELU',
]);

export function versionOf(o: LiteOperator): number {
  const rule = RULES[o.op] ?? (TWO_ON_CODES.has(o.op) ? two : 1);
  const first = item(o.inputs, 0) ?? o.outputs[0];
  return typeof rule === 'number' || !first ? 1 : rule(o, first);
}
