/** Learned step sizes and zero points: how they are kept as initializers, and read back. */
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { layoutOf, type ParamLayout } from '../scheme/layout.js';
import { clipRange } from '../scheme/params.js';
import { roundHalfEven } from '../scheme/rounding.js';
import type { QuantParams } from '../scheme/types.js';

/** The smallest normal float32, below which no step size may fall. */
const TINY = 2 ** -126;
/** The share of its start below which gradients move no step size. */
const LEAST = 2 ** -10;

/** What kernels and gradients of one point need. */
export interface Steps {
  readonly given: QuantParams;
  readonly layout: ParamLayout;
  /** Step sizes, of a shape that broadcasts over the tensor. */
  readonly size: Value;
  /** Zero points, likewise, as floats; undefined where all are zero. */
  readonly zero: Value | undefined;
  /** Lowest and highest code, each as float. */
  readonly range: readonly [number, number];
  readonly learns: { readonly size?: string; readonly zero?: string };
}

export interface StepsRequest {
  readonly name: string;
  readonly params: QuantParams;
  /** Dims of the tensor; [] where all share one step size. */
  readonly dims: readonly number[];
  /** Elements that share a step size: of a weight, or of an activation of one sample. */
  readonly elements: number;
  readonly learnSize: boolean;
  readonly learnZero: boolean;
  readonly relative: boolean;
}

/**
 * step size = start · grown(factor · t), where t starts at zero: it stays positive. With `relative`, grown is eᵗ. Else
 * a step of gradient descent moves it as LSQ does, by its gradient over √(elements · highest code), where factor² =
 * 1 / (start² · √(…)): it grows in a straight line, for growth by a share of itself would run away, and falls ever
 * slower, as exp(factor · t), down to a small share of its start. source: https://arxiv.org/abs/1902.08153, section 2.2
 */
export function addSize(
  b: GraphBuilder,
  r: SizeRequest,
): { readonly size: Value; readonly learned: string | undefined } {
  const { name, start, shape, pace, relative } = r;
  const size = b.constant(Tensor.f32(start, shape), `start of ${name}`);
  if (!pace) return { size, learned: undefined };
  const t = b.constant(Tensor.f32(new Float32Array(start.length), shape), `step size of ${name}`);
  const growth = relative ? b.op('Exp', [t]) : straight(b, b.op('Mul', [t, b.constant(Tensor.f32(pace, shape))]));
  return { size: b.op('Mul', [size, growth], { name: `size of ${name}` }), learned: t.name };
}
const straight = (b: GraphBuilder, v: Value): Value =>
  b.op('Max', [b.op('Add', [b.op('Elu', [v]), b.constant(1)]), b.constant(LEAST)]);
/** What addSize() multiplies a step size by, at t. */
export function grown(t: number, factor: number, relative: boolean): number {
  const v = factor * t;
  return relative ? Math.exp(t) : Math.max(LEAST, v < 0 ? Math.exp(v) : 1 + v);
}
export interface SizeRequest {
  readonly name: string;
  readonly start: Float32Array;
  readonly shape: readonly number[];
  /** The factors; undefined where step sizes stay. */
  readonly pace: Float32Array | undefined;
  readonly relative: boolean;
}
/** The factors of {@link addSize}, for step sizes that so many elements share. */
export function pacesOf(start: Float32Array, elements: number, high: number, relative: boolean): Float32Array {
  const rate = 1 / Math.sqrt(elements * Math.max(1, high));
  return start.map((s) => (relative ? 1 : Math.sqrt(rate) / s));
}

/** Step sizes, and zero points where they are learned, as nodes. */
export function addSteps(b: GraphBuilder, r: StepsRequest): Steps {
  const { name, params } = r;
  const layout = layoutOf(r.dims, params.scheme.granularity);
  const [low, high] = clipRange(params.scheme);
  const shape = paramShape(r.dims, layout, params);
  const { relative } = r;
  const pace = r.learnSize ? factorsOf(r) : undefined;
  const { size, learned } = addSize(b, { name, start: params.scale, shape, pace, relative });
  const learns: { size?: string; zero?: string } = learned === undefined ? {} : { size: learned };
  let zero: Value | undefined;
  if (r.learnZero) {
    const z = b.constant(Tensor.f32(Float32Array.from(params.zeroPoint), shape), `zero point of ${name}`);
    learns.zero = z.name;
    const within = b.op('Clip', [z, b.constant(low), b.constant(high)], { name: `zero of ${name}` });
    zero = b.op('Round', [within], { name: `zero of ${name}` });
  } else if (params.zeroPoint.some((z) => z !== 0))
    zero = b.constant(Tensor.f32(Float32Array.from(params.zeroPoint), shape), `zero of ${name}`);
  const spread = layout.group > 1 ? (v: Value): Value => inBlocks(b, v, r, layout) : (v: Value): Value => v;
  return { given: params, layout, size: spread(size), zero: zero && spread(zero), range: [low, high], learns };
}

/** [] per tensor, [1, C, 1] per axis, and per block as the blocks lie. */
function paramShape(dims: readonly number[], layout: ParamLayout, { scheme }: QuantParams): readonly number[] {
  const g = scheme.granularity;
  if (g.kind === 'tensor') return [];
  if (g.kind === 'block') return layout.shape;
  const axis = g.axis < 0 ? g.axis + dims.length : g.axis;
  return dims.map((d, i) => (i === axis ? d : 1));
}

/** One value for each element along the axis of blocks. */
function inBlocks(b: GraphBuilder, v: Value, { dims, params }: StepsRequest, { group }: ParamLayout): Value {
  const g = params.scheme.granularity;
  if (g.kind !== 'block') return v;
  const axis = g.axis < 0 ? g.axis + dims.length : g.axis;
  const places = Array.from({ length: dims[axis] ?? 0 }, (_, i) => Math.floor(i / group));
  return b.op('Gather', [v, b.constant(Tensor.i64(places))], { attrs: { axis } });
}

function factorsOf({ params, elements, relative }: StepsRequest): Float32Array {
  const [, high] = clipRange(params.scheme);
  return pacesOf(params.scale, elements, high, relative);
}

/** The parameters that values of what is learned mean. */
export function readSteps(
  { given, learns, range: [low, high] }: Steps,
  request: StepsRequest,
  values: ReadonlyMap<string, Tensor>,
): QuantParams {
  const { codes: _codes, ...rest } = given;
  const t = learns.size === undefined ? undefined : values.get(learns.size)?.f64();
  const z = learns.zero === undefined ? undefined : values.get(learns.zero)?.f64();
  const factors = factorsOf(request);
  return {
    ...rest,
    // a scale keeps its sign
    scale: t
      ? given.scale.map(
          (s, i) => Math.sign(s) * Math.max(TINY, Math.abs(s) * grown(t[i] ?? 0, factors[i] ?? 1, request.relative)),
        )
      : given.scale,
    zeroPoint: z
      ? given.zeroPoint.map((old, i) => Math.min(high, Math.max(low, roundHalfEven(z[i] ?? old))))
      : given.zeroPoint,
  };
}
