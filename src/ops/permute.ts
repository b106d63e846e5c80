/**
 * How nodes follow a permutation of axes: with p[i] the axis of x that becomes axis i of Transpose(x, p), the table
 * says for each op how to compute Transpose(f(x), q) from Transpose(x, p). Ops that are not in the table have axes of
 * fixed meaning (Conv, pooling, Reshape). https://onnx.ai/onnx/operators/
 */
import type { Attr, Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { elementwiseOps } from './elementwise.js';
import { permuteTensor, without, type Permutation } from './permutation.js';
import { reduceOps } from './reduce.js';

/** The permuted form of a node. */
export interface Followed {
  /** Inputs that take Transpose(input, p); the others stay as they are, or are in `constants`. */
  readonly data: readonly number[];
  /** The permutation of each output. */
  readonly outputs: readonly Permutation[];
  readonly attrs?: Readonly<Record<string, Attr>>;
  /** Constants that take the place of inputs, by their index. */
  readonly constants?: ReadonlyMap<number, Tensor>;
}
export interface FollowContext {
  /** Version of the standard opset. */
  readonly opset: number;
  /** The tensor behind an input that no caller can override. */
  constant(v: Value | null | undefined): Tensor | undefined;
}
type Rule = (node: Node, p: Permutation, ctx: FollowContext) => Followed | string | undefined;

/**
 * The permuted form of a node whose data inputs are permuted by `p`; a reason where this node cannot, undefined where
 * no node of the op can.
 */
export function follow(node: Node, p: Permutation, ctx: FollowContext): Followed | string | undefined {
  const rule = node.domain === '' ? RULES.get(node.op) : undefined;
  return rule?.(node, p, ctx);
}

const int = (value: number): Attr => ({ type: 'int', value: BigInt(value) });
const ints = (values: readonly number[]): Attr => ({ type: 'ints', value: values.map(BigInt) });
const rankOf = (node: Node, i = 0): number | undefined => node.inputs[i]?.shape?.length;
const fromStart = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
/** Every output by the same permutation. */
const all = (node: Node, p: Permutation): Permutation[] => node.outputs.map(() => p);
const OTHER_RANK = 'an operand has fewer axes, or an unknown number';

/** One value per axis, in the order of the permuted axes. */
// both have the rank's length
const perAxis = <T>(values: readonly T[], p: Permutation): T[] => p.map((a) => values[a]!);

/** Where original axes lie in the permuted tensor, in the order of the permuted tensor. */
const moved = (axes: ReadonlySet<number>, p: Permutation): number[] => p.flatMap((a, i) => (axes.has(a) ? [i] : []));

/** The list behind an attribute or a constant input: null where both are absent, undefined where it is computed. */
function list(node: Node, attribute: string, input: number, ctx: FollowContext): readonly number[] | null | undefined {
  if (node.attrs.has(attribute)) return node.ints(attribute);
  const v = node.inputs[input];
  return v ? ctx.constant(v)?.numbersOrUndefined() : null;
}
/** Writes a list where the node has it. */
function written(
  node: Node,
  attribute: string,
  input: number,
  values: readonly number[],
): Pick<Followed, 'attrs' | 'constants'> {
  if (node.attrs.has(attribute)) return { attrs: { [attribute]: ints(values) } };
  const like = node.inputs[input] ?? node.inputs[1]; // the limits of a Slice and its axes are of one type
  return { constants: new Map([[input, like?.dtype === 'int32' ? Tensor.i32(values) : Tensor.i64(values)]]) };
}

/** f of each element, its operands broadcast: constants get the axes that they lack and are permuted. */
const each =
  (operands: 'all' | 1): Rule =>
  (node, p, ctx) => {
    const count = operands === 'all' ? node.inputs.length : operands;
    if (count > 1 && ctx.opset < 7) return 'operands broadcast differently before opset 7';
    const data: number[] = [];
    const constants = new Map<number, Tensor>();
    for (let i = 0; i < count; i++) {
      const c = ctx.constant(node.inputs[i]);
      if (!c) {
        if (rankOf(node, i) !== p.length) return OTHER_RANK;
        data.push(i);
        continue;
      }
      if (c.dims.length > p.length) return OTHER_RANK;
      if (c.size === 1 && c.dims.length < p.length) continue;
      constants.set(i, permuteTensor(c.reshaped([...Array<number>(p.length - c.dims.length).fill(1), ...c.dims]), p));
    }
    return { data, outputs: all(node, p), constants };
  };

/** One axis in an attribute; the other axes are looped over. */
const alongAxis =
  (fallback: number, since = 1): Rule =>
  (node, p, ctx) => {
    if (ctx.opset < since) return `it takes all axes from 'axis' on before opset ${since}`;
    if (rankOf(node) !== p.length) return OTHER_RANK;
    return {
      data: [0],
      outputs: all(node, p),
      attrs: { axis: int(p.indexOf(fromStart(node.int('axis', fallback), p.length))) },
    };
  };

const reduce: Rule = (node, p, ctx) => {
  const given = list(node, 'axes', 1, ctx);
  if (given === undefined) return 'its axes are computed';
  if (rankOf(node) !== p.length) return OTHER_RANK;
  if (!given?.length && node.int('noop_with_empty_axes', 0) === 1) return { data: [0], outputs: all(node, p) };
  const axes = new Set(given?.length ? given.map((a) => fromStart(a, p.length)) : p);
  const out = node.int('keepdims', 1) === 1 ? p : without(p, axes);
  return { data: [0], outputs: [out], ...(given?.length ? written(node, 'axes', 1, moved(axes, p)) : {}) };
};

const argReduce: Rule = (node, p) => {
  if (rankOf(node) !== p.length) return OTHER_RANK;
  const axis = fromStart(node.int('axis', 0), p.length);
  return {
    data: [0],
    outputs: [node.int('keepdims', 1) === 1 ? p : without(p, new Set([axis]))],
    attrs: { axis: int(p.indexOf(axis)) },
  };
};

const concat: Rule = (node, p, ctx) => {
  const data: number[] = [];
  const constants = new Map<number, Tensor>();
  for (const [i, v] of node.inputs.entries()) {
    if (v?.shape?.length !== p.length) return OTHER_RANK;
    const c = ctx.constant(v);
    if (c) constants.set(i, permuteTensor(c, p));
    else data.push(i);
  }
  return { data, constants, outputs: [p], attrs: { axis: int(p.indexOf(fromStart(node.int('axis', 1), p.length))) } };
};

const squeeze: Rule = (node, p, ctx) => {
  const given = list(node, 'axes', 1, ctx);
  if (given === undefined) return 'its axes are computed';
  if (given === null) return 'it drops every axis of size 1';
  if (rankOf(node) !== p.length) return OTHER_RANK;
  const axes = new Set(given.map((a) => fromStart(a, p.length)));
  return { data: [0], outputs: [without(p, axes)], ...written(node, 'axes', 1, moved(axes, p)) };
};

/** New axes keep their places; the others are permuted around them. */
const unsqueeze: Rule = (node, p, ctx) => {
  const given = list(node, 'axes', 1, ctx);
  if (!given) return 'its axes are computed';
  if (rankOf(node) !== p.length) return OTHER_RANK;
  const rank = p.length + given.length;
  const made = new Set(given.map((a) => fromStart(a, rank)));
  const old = Array.from({ length: rank }, (_, i) => i).filter((i) => !made.has(i));
  let next = 0;
  const q = Array.from({ length: rank }, (_, i) => (made.has(i) ? i : old[p[next++]!]!)); // as many old axes as p has
  return { data: [0], outputs: [q] };
};

const pad: Rule = (node, p, ctx) => {
  if (rankOf(node) !== p.length) return OTHER_RANK;
  const axes = list(node, 'axes', 3, ctx);
  if (axes === undefined) return 'its axes are computed';
  if (axes)
    return {
      data: [0],
      outputs: [p],
      ...written(
        node,
        'axes',
        3,
        axes.map((a) => p.indexOf(fromStart(a, p.length))),
      ),
    };
  const attribute = node.attrs.has('paddings') ? 'paddings' : 'pads';
  const pads = list(node, attribute, 1, ctx);
  if (pads?.length !== 2 * p.length) return 'its pads are computed';
  return {
    data: [0],
    outputs: [p],
    ...written(node, attribute, 1, [...perAxis(pads.slice(0, p.length), p), ...perAxis(pads.slice(p.length), p)]),
  };
};

const slice: Rule = (node, p, ctx) => {
  if (rankOf(node) !== p.length) return OTHER_RANK;
  const axes = list(node, 'axes', 3, ctx);
  if (axes === undefined) return 'its axes are computed';
  const starts = node.attrs.has('starts') ? node.ints('starts').length : node.inputs[1]?.shape?.[0];
  if (typeof starts !== 'number') return 'its axes are not known';
  const to = (axes ?? Array.from({ length: starts }, (_, i) => i)).map((a) => p.indexOf(fromStart(a, p.length)));
  return {
    data: [0],
    outputs: [p],
    ...(node.attrs.has('starts') ? { attrs: { axes: ints(to) } } : written(node, 'axes', 3, to)),
  };
};

/** Interpolation is left where kernels expect it: on the last axes. */
const resize: Rule = (node, p, ctx) => {
  const [x, y] = [node.inputs[0]?.shape, node.outputs[0]?.shape];
  if (x?.length !== p.length || y?.length !== p.length) return OTHER_RANK;
  if (node.string('coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize')
    return 'it crops a region of interest';
  if (node.string('mode', 'nearest') !== 'nearest') {
    const scaled = p.map((a) => x[a] === null || x[a] !== y[a]);
    if (scaled.some((s, i) => s && i < p.length - 2)) return 'it would interpolate along other axes than the last two';
  }
  if (node.attrs.has('axes'))
    return {
      data: [0],
      outputs: [p],
      attrs: { axes: ints(node.ints('axes').map((a) => p.indexOf(fromStart(a, p.length)))) },
    };
  const constants = new Map<number, Tensor>();
  for (const i of ctx.opset < 11 ? [1] : [2, 3]) {
    const v = node.inputs[i];
    if (!v) continue;
    const c = ctx.constant(v);
    if (!c) return 'its sizes are computed';
    if (c.size === 0) continue;
    if (c.size !== p.length) return OTHER_RANK;
    constants.set(i, c.dtype === 'float32' ? Tensor.f32(perAxis([...c.f32()], p)) : Tensor.i64(perAxis(c.ints(), p)));
  }
  return { data: [0], outputs: [p], constants };
};

/** One number per axis in a constant input: Expand, Tile. */
const listPerAxis: Rule = (node, p, ctx) => {
  const values = list(node, '', 1, ctx);
  if (rankOf(node) !== p.length || values?.length !== p.length)
    return 'its sizes are computed, or are not one for each axis';
  return { data: [0], outputs: [p], constants: new Map([[1, Tensor.i64(perAxis(values, p))]]) };
};

/** A number picks one entry of an axis, which goes; a list picks some, and the axis stays. */
const gather: Rule = (node, p) => {
  const picked = rankOf(node, 1);
  if (rankOf(node) !== p.length) return OTHER_RANK;
  if (picked === undefined || picked > 1) return 'its indices have several axes';
  const axis = fromStart(node.int('axis', 0), p.length);
  return { data: [0], outputs: [picked ? p : without(p, new Set([axis]))], attrs: { axis: int(p.indexOf(axis)) } };
};

/** Scales of one number, or one for each place on an axis. Constant codes are permuted where they lie. */
const quantize: Rule = (node, p, ctx) => {
  const scale = node.inputs[1]?.shape;
  if (rankOf(node) !== p.length || !scale) return OTHER_RANK;
  if (node.int('block_size', 0) !== 0) return 'its scales are of blocks';
  const codes = ctx.constant(node.inputs[0]);
  const form = codes
    ? { data: [], outputs: [p], constants: new Map([[0, permuteTensor(codes, p)]]) }
    : { data: [0], outputs: [p] };
  if (scale.length === 0 || scale[0] === 1) return form;
  return { ...form, attrs: { axis: int(p.indexOf(fromStart(node.int('axis', 1), p.length))) } };
};

/** x·W with a constant matrix W: rows of x may lie in any order. */
const matMul: Rule = (node, p, ctx) => {
  if (rankOf(node) !== p.length || ctx.constant(node.inputs[1])?.dims.length !== 2) return undefined;
  return p.at(-1) === p.length - 1 ? { data: [0], outputs: [p] } : 'the axis that is summed over would not be the last';
};

/** Channels on axis 1; each of the other axes is looped over. */
const perChannel =
  (fixed: number): Rule =>
  (node, p) => {
    if (rankOf(node) !== p.length) return OTHER_RANK;
    if (node.outputs.length > 1 || node.int('training_mode', 0) !== 0) return 'it is in training mode';
    return p.every((a, i) => a === i || i >= fixed) && p[1] === 1
      ? { data: [0], outputs: [p] }
      : 'its channels would not be on axis 1';
  };

const reduced = new Set(reduceOps.map((o) => o.op));
/** Operands beside the first that are numbers, not tensors of the same axes. */
const ONE_OPERAND = new Set(['Clip', 'Dropout', 'Cast', 'Identity']);
const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...elementwiseOps.map((o): [string, Rule] => [o.op, each(ONE_OPERAND.has(o.op) ? 1 : 'all')]),
  ...[...reduced].map((op): [string, Rule] => [op, op.startsWith('Arg') ? argReduce : reduce]),
  ['Softmax', alongAxis(-1, 13)],
  ['LogSoftmax', alongAxis(-1, 13)],
  ['Hardmax', alongAxis(-1, 13)],
  ['LpNormalization', alongAxis(-1)],
  ['Split', alongAxis(0)],
  ['TopK', alongAxis(-1)],
  ['Concat', concat],
  ['Gather', gather],
  ['Squeeze', squeeze],
  ['Unsqueeze', unsqueeze],
  ['Pad', pad],
  ['Slice', slice],
  ['Resize', resize],
  ['Expand', listPerAxis],
  ['Tile', listPerAxis],
  ['QuantizeLinear', quantize],
  ['DequantizeLinear', quantize],
  ['MatMul', matMul],
  ['BatchNormalization', perChannel(0)],
  ['InstanceNormalization', perChannel(2)],
]);
