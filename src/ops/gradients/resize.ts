/** Gradients of resampling, which is a matrix along each axis. */
import type { Value } from '../../ir/graph.js';
import { normalAxis } from '../spec.js';
import type { GradientContext, GradientRule } from '../facets.js';
import { axesOfRank, constantLike, reshape, scatterSum, sum, transpose } from './build.js';

/** How the elements of one axis are made of those of the tensor before. */
interface Axis {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
  readonly scale: number;
}

export const resize: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const [sizes, results] = [g.sizes(g.input(0)), g.sizes(d)];
  const mode = g.node.string('mode', 'nearest');
  if (g.node.int('antialias', 0) !== 0) return g.refuse('antialias has no rule');
  const given = g.node.inputs[2] ?? null;
  const scales = given?.isInitializer && given.data?.size ? given.data.f64() : undefined;
  if (given && !given.isInitializer) return g.refuse('its scales are computed');
  const axes = g.node.ints('axes', axesOfRank(sizes.length)).map((a) => normalAxis(a, sizes.length));
  return [resampled(g, d, mode, sizes, results, (a) => scales?.[axes.indexOf(a)])];
};
function resampled(
  g: GradientContext,
  d: Value,
  mode: string,
  sizes: readonly number[],
  results: readonly number[],
  scaleOf: (axis: number) => number | undefined,
): Value {
  let back = d;
  sizes.forEach((from, axis) => {
    const to = results[axis] ?? from;
    const scale = scaleOf(axis) ?? to / from;
    if (to !== from || scale !== 1) back = alongAxis(g, back, mode, { axis, from, to, scale });
  });
  return back;
}

function alongAxis(g: GradientContext, d: Value, mode: string, a: Axis): Value {
  const transform = g.node.string('coordinate_transformation_mode', 'half_pixel');
  const places = axesOfRank(a.to).map((i) => sourceOf(g, transform, i, a));
  if (mode === 'nearest') {
    const picked = places.map((x) => Math.min(Math.max(nearest(g, x), 0), a.from - 1));
    const times = a.to / a.from;
    const even = Number.isInteger(times) && picked.every((p, i) => p === Math.floor(i / times));
    return even ? summedBlocks(g, d, a, times) : scatterSum(g, d, a.axis, picked, a.from);
  }
  const weights = new Float64Array(a.to * a.from);
  places.forEach((x, i) => {
    for (const [at, w] of mode === 'cubic' ? cubic(g, x, a) : linear(x, a)) weights[i * a.from + at]! += w;
  });
  const rank = g.sizes(d).length;
  const perm = [...axesOfRank(rank).filter((i) => i !== a.axis), a.axis];
  const matrix = constantLike(g, d, weights, [a.to, a.from]);
  const made = g.add('MatMul', [transpose(g, d, perm), matrix]);
  return transpose(
    g,
    made,
    perm.map((_, i) => perm.indexOf(i)),
  );
}
function summedBlocks(g: GradientContext, d: Value, { axis, from }: Axis, times: number): Value {
  const sizes = g.sizes(d);
  const apart = reshape(g, d, [...sizes.slice(0, axis), from, times, ...sizes.slice(axis + 1)]);
  return sum(g, apart, [axis + 1], false);
}

/** Where element i lies among those before: source https://onnx.ai/onnx/operators/onnx__Resize.html */
function sourceOf(g: GradientContext, transform: string, i: number, { from, to, scale }: Axis): number {
  switch (transform) {
    case 'half_pixel':
      return (i + 0.5) / scale - 0.5;
    case 'half_pixel_symmetric': {
      const middle = from / 2;
      return middle * (1 - to / (scale * from)) + (i + 0.5) / scale - 0.5;
    }
    case 'pytorch_half_pixel':
      return to > 1 ? (i + 0.5) / scale - 0.5 : 0;
    case 'align_corners':
      return to > 1 ? (i * (from - 1)) / (to - 1) : 0;
    case 'asymmetric':
      return i / scale;
    default:
      return g.refuse(`coordinates by '${transform}' have no rule`);
  }
}
function nearest(g: GradientContext, x: number): number {
  switch (g.node.string('nearest_mode', 'round_prefer_floor')) {
    case 'floor':
      return Math.floor(x);
    case 'ceil':
      return Math.ceil(x);
    case 'round_prefer_ceil':
      return Math.floor(x + 0.5);
    default:
      return Math.ceil(x - 0.5);
  }
}
/** Places beyond a border are the border. */
function linear(place: number, { from }: Axis): (readonly [at: number, weight: number])[] {
  const x = Math.min(Math.max(place, 0), from - 1);
  const low = Math.floor(x);
  const high = Math.min(low + 1, from - 1);
  return [
    [low, 1 - (x - low)],
    [high, x - low],
  ];
}
function cubic(g: GradientContext, x: number, { from }: Axis): (readonly [at: number, weight: number])[] {
  const a = g.node.float('cubic_coeff_a', -0.75);
  const low = Math.floor(x);
  const t = x - low;
  const near = (s: number): number => ((a + 2) * s - (a + 3)) * s * s + 1;
  const far = (s: number): number => ((a * s - 5 * a) * s + 8 * a) * s - 4 * a;
  const weights = [far(t + 1), near(t), near(1 - t), far(2 - t)].map((w, k) => [low - 1 + k, w] as const);
  const inside = weights.filter(([at]) => at >= 0 && at < from);
  if (g.node.int('exclude_outside', 0) !== 0) {
    const total = inside.reduce((n, [, w]) => n + w, 0);
    return inside.map(([at, w]) => [at, w / total]);
  }
  return weights.map(([at, w]) => [Math.min(Math.max(at, 0), from - 1), w]);
}
