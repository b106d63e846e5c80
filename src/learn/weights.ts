/** Weights as functions of what is learned of them, as nodes of a graph. */
import { item } from '../base/lists.js';
import { dataOf } from '../ir/known.js';
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { LayerShape } from '../channels/layer.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { roundHalfEven } from '../scheme/rounding.js';
import { layoutOf, paramAt } from '../scheme/layout.js';
import { clipRange } from '../scheme/params.js';
import type { QuantParams } from '../scheme/types.js';

/** What was learned of a layer. */
export interface Learned {
  /** Codes before they are rounded, zero point included, as the weight lies. */
  readonly codes: Float32Array;
  /** What the scales are multiplied by. */
  readonly factors: Float32Array;
  readonly bias: Float32Array | undefined;
}

/** What may be learned of a layer. */
export interface Learnable {
  readonly codes: boolean;
  readonly scales: boolean;
  readonly bias: boolean;
}

/** A layer in a graph that learns: its parameters, which are initializers, and how they are read. */
export interface Student {
  readonly layer: LayerShape;
  readonly parameters: ReadonlyMap<string, Tensor>;
  read(weights: ReadonlyMap<string, Tensor>): Learned;
}

/** How far a unit of the learning rate moves a scale relative to itself, while it moves a weight by one code. */
const SCALE_STEP = 0.1;
/** How far it moves a bias relative to what biases of the layer are like. */
const BIAS_STEP = 0.2;

/**
 * Puts (⌊clip(c)⌉ − z)·s·(1 + g) in the place of a weight and b + h in that of its bias, where c, g and h are learned.
 * c starts at the codes of the weight: a weight changes its code only once gradients have moved it by half a step.
 * Those of which `zeros` says 1 never do.
 */
export function addStudent(
  b: GraphBuilder,
  layer: LayerShape,
  own: { readonly weight: Value; readonly bias: Value | undefined },
  params: QuantParams,
  learnable: Learnable,
  zeros?: Uint8Array,
): Student {
  const { dims } = dataOf(layer.weight); // a layer's weight is constant
  const { name } = layer.weight;
  const start = Float32Array.from(codesOf(layer, params));
  const parameters = new Map<string, Tensor>();
  const parameter = (what: string, data: Float32Array, shape: readonly number[]): Value => {
    const value = b.constant(Tensor.f32(data, shape), `${what} of ${name}`);
    parameters.set(value.name, Tensor.f32(data, shape));
    return value;
  };
  const op = (kind: string, ...inputs: readonly Value[]): Value => b.op(kind, inputs, { name: 'learned' });
  const flat = (data: Float32Array): Value => b.constant(Tensor.f32(data, [data.length]), 'learned_constant');
  const [low, high] = clipRange(params.scheme);

  const c = learnable.codes ? parameter('codes', start, dims) : undefined;
  const codes = c
    ? op('Round', op('Clip', zeros ? held(b, c, start, zeros, dims) : c, b.constant(low), b.constant(high)))
    : b.constant(Tensor.f32(start, dims), 'learned_constant');
  const moved = params.zeroPoint.some((z) => z !== 0)
    ? op('Sub', codes, spread(b, flat(Float32Array.from(params.zeroPoint)), params, dims))
    : codes;
  const count = params.scale.length;
  const g = learnable.scales ? parameter('scale', new Float32Array(count), [count]) : undefined;
  const factors = g && op('Add', b.constant(1), op('Mul', g, b.constant(SCALE_STEP)));
  const scale = factors ? op('Mul', flat(params.scale), factors) : flat(params.scale);
  const weight = op('Mul', moved, spread(b, scale, params, dims));
  for (const u of [...own.weight.uses]) u.node.setInput(u.index, weight);

  const bias = learnable.bias ? own.bias?.data : undefined;
  const unit = bias ? biasUnit(bias.f32(), layer) : 0;
  const h = bias && parameter('bias', new Float32Array(bias.size), bias.dims);
  if (own.bias && h) {
    const readers = [...own.bias.uses];
    const sum = op('Add', own.bias, op('Mul', h, b.constant(unit)));
    for (const u of readers) u.node.setInput(u.index, sum);
  }
  return {
    layer,
    parameters,
    read: (weights) => {
      const find = (v: Value | undefined): Float32Array | undefined => v && weights.get(v.name)?.f32();
      const by = find(h);
      return {
        codes: find(c) ?? start,
        factors: (find(g) ?? new Float32Array(count)).map((v) => 1 + Math.fround(v * SCALE_STEP)),
        bias: bias && by && bias.f32().map((v, i) => v + Math.fround(item(by, i) * unit)),
      };
    },
  };
}

/** c, but for weights that are zero, which stay at the code of zero where they started: gradients pass them by. */
function held(b: GraphBuilder, c: Value, start: Float32Array, zeros: Uint8Array, dims: readonly number[]): Value {
  const op = (kind: string, x: Value, by: (zero: boolean, at: number) => number): Value => {
    const other = Tensor.f32(
      start.map((_, at) => by(zeros[at] === 1, at)),
      dims,
    );
    return b.op(kind, [x, b.constant(other, 'learned_constant')], { name: 'learned' });
  };
  const free = op('Mul', c, (zero) => (zero ? 0 : 1));
  return op('Add', free, (zero, at) => (zero ? item(start, at) : 0));
}

/** One value for each part of a weight, in a shape that broadcasts over it. */
function spread(
  b: GraphBuilder,
  flat: Value,
  { scheme: { granularity } }: QuantParams,
  dims: readonly number[],
): Value {
  const named = { name: 'learned' };
  const ints = (v: readonly number[]): Value => b.constant(Tensor.i64(v), 'learned_shape');
  const shaped = (x: Value, shape: readonly number[]): Value => b.op('Reshape', [x, ints(shape)], named);
  if (granularity.kind === 'tensor') return flat;
  const axis = granularity.axis < 0 ? granularity.axis + dims.length : granularity.axis;
  if (granularity.kind === 'axis')
    return shaped(
      flat,
      dims.map((n, a) => (a === axis ? n : 1)),
    );
  const { shape } = layoutOf(dims, granularity);
  const { size } = granularity;
  const [blocks, length] = [shape[axis] ?? 1, dims[axis] ?? 1];
  const around = (middle: readonly number[]): number[] => [
    ...shape.slice(0, axis),
    ...middle,
    ...shape.slice(axis + 1),
  ];
  const wide = b.op('Expand', [shaped(flat, around([blocks, 1])), ints(around([blocks, size]))], named);
  const whole = shaped(wide, around([blocks * size]));
  return blocks * size === length ? whole : b.op('Slice', [whole, ints([0]), ints([length]), ints([axis])], named);
}

/** What biases of a layer are like: by their own size, and by that of a row of weights. */
function biasUnit(bias: Float32Array, { weight, columns }: LayerShape): number {
  const rms = (list: Float32Array): number => Math.sqrt(list.reduce((sum, v) => sum + v * v, 0) / list.length);
  const row = rms(weight.data?.f32() ?? bias) * Math.sqrt(columns);
  return Math.fround(BIAS_STEP * Math.max(rms(bias), 0.1 * row));
}

/** The codes of a weight whose values lie on the grid of its parameters. */
function codesOf({ weight }: LayerShape, { scheme, scale, zeroPoint }: QuantParams): Int32Array {
  const data = dataOf(weight); // a layer's weight is constant
  const layout = layoutOf(data.dims, scheme.granularity);
  const [low, high] = clipRange(scheme);
  return Int32Array.from(data.f32(), (w, at) => {
    const p = paramAt(layout, at);
    return Math.min(high, Math.max(low, roundHalfEven(w / item(scale, p)) + item(zeroPoint, p)));
  });
}
