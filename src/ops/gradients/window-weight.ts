/** Gradients by the weights of sliding windows. */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { GradientContext } from '../facets.js';
import { axesOfRank, multiply, pad, product, reshape, slice, sum, transpose, turned } from './build.js';
import { reachOf, type Window } from '../window.js';

/** With fewer channels than this, all places of the kernel are multiplied at once: the matrices are too narrow else. */
const NARROW = 8;
/** Rows up to this long are multiplied as bands of a matrix, of which only diagonals are used. */
const BAND = 64;

/** What meets at one place of a kernel, and what of it is asked for. */
interface Meeting {
  /** The data with their padding, exactly as far as windows reach. */
  readonly x: Value;
  readonly d: Value;
  readonly n: number;
  readonly group: number;
  /** Channels of the data and of the results in a group. */
  readonly c: number;
  readonly m: number;
  /** Steps of the window along each axis. */
  readonly counts: readonly number[];
  readonly window: Window;
}

/**
 * The gradient by a weight [M, C / group, …kernel]: for each place of the kernel, the products of the data [N, C, …]
 * that it met with the results' gradients `d` [N, M, …], summed over samples and positions.
 */
export function byWeight(g: GradientContext, data: Value, d: Value, group: number, window: Window): Value {
  const [n = 0, channels = 0, ...sizes] = g.sizes(data);
  const [, results = 0, ...counts] = g.sizes(d);
  // Behind the reach of the last step nothing is read; before it there must be something.
  const after = sizes.map((size, i) => reachOf(window, i, counts[i] ?? 0) - size - (window.before[i] ?? 0));
  const x = pad(g, data, [0, 0, ...window.before], [0, 0, ...after]);
  const meeting = { x, d, n, group, c: channels / group, m: results / group, counts, window };
  const single = meeting.c === 1 && group > 1;
  const short = counts.length === 2 && (g.sizes(x)[3] ?? 0) <= BAND;
  const made =
    single && meeting.m === 1 && short
      ? bands(g, meeting)
      : single
        ? channelByChannel(g, meeting)
        : group === 1 && channels < NARROW
          ? atOnce(g, meeting)
          : placeByPlace(g, meeting);
  return reshape(g, made, [results, meeting.c, ...window.kernel]);
}

/** The data that one place of the kernel met. */
function met(g: GradientContext, { x, counts, window }: Meeting, place: readonly number[]): Value {
  const starts = place.map((k, i) => k * (window.dilations[i] ?? 1));
  const ends = starts.map((s, i) => s + ((counts[i] ?? 0) - 1) * (window.strides[i] ?? 1) + 1);
  const whole = g.sizes(x).slice(2);
  if (product(window.strides) === 1 && whole.every((size, i) => starts[i] === 0 && size === ends[i])) return x;
  const axes = axesOfRank(counts.length).map((i) => i + 2);
  return slice(g, x, axes, starts, ends, window.strides);
}
const joined = (g: GradientContext, parts: readonly Value[], axis: number): Value =>
  parts.length === 1 ? item(parts, 0) : g.add('Concat', parts, { axis }); // one of one

/** A product of matrices for each place. */
function placeByPlace(g: GradientContext, at: Meeting): Value {
  const { n, group, c, m, counts, window } = at;
  const left = reshape(g, at.d, [n, group, m, product(counts)]);
  const parts = placesOf(window.kernel).map((place) => {
    const right = reshape(g, met(g, at, place), [n, group, c, product(counts)]);
    const each = g.add('MatMul', [left, turned(g, right)]);
    return reshape(g, sum(g, each, [0], false), [group * m, c, 1]);
  });
  return joined(g, parts, 2);
}

/** One product of matrices, in which the places are more channels. */
function atOnce(g: GradientContext, at: Meeting): Value {
  const { n, c, m, counts, window } = at;
  const places = placesOf(window.kernel);
  const all = joined(
    g,
    places.map((place) => met(g, at, place)),
    1,
  );
  const right = reshape(g, all, [n, places.length * c, product(counts)]);
  const each = g.add('MatMul', [reshape(g, at.d, [n, m, product(counts)]), turned(g, right)]);
  return transpose(g, reshape(g, sum(g, each, [0], false), [m, places.length, c]), [0, 2, 1]);
}

/** Sums of products, for matrices of one row are slow. One channel meets m results. */
function channelByChannel(g: GradientContext, at: Meeting): Value {
  const { n, group, m, counts, window } = at;
  const left = reshape(g, at.d, [n, group, m, product(counts)]);
  const parts = placesOf(window.kernel).map((place) => {
    const right = reshape(g, met(g, at, place), [n, group, 1, product(counts)]);
    return reshape(g, sum(g, multiply(g, left, right), [0, 3], false), [group * m, 1, 1]);
  });
  return joined(g, parts, 2);
}

/**
 * For each row of the kernel, all products of a result's column with a column of the data, as one product of matrices
 * by channel: [columns, samples · rows] · [samples · rows, data's columns]. The places of the kernel are its diagonals.
 */
function bands(g: GradientContext, { x, d, n, group, counts, window }: Meeting): Value {
  const [rows = 0, columns = 0] = counts;
  const [height = 1, width = 1] = window.kernel;
  const [across = 1, along = 1] = window.strides;
  const [down = 1, aside = 1] = window.dilations;
  const wide = g.sizes(x)[3] ?? 0;
  const left = reshape(g, transpose(g, d, [1, 3, 0, 2]), [group, columns, n * rows]);
  const byChannel = transpose(g, x, [1, 0, 2, 3]);
  const places = axesOfRank(width).flatMap((k) => axesOfRank(columns).map((at) => at * wide + at * along + k * aside));
  const diagonals = g.constant(Tensor.i64(places, [width, columns]));
  const parts = axesOfRank(height).map((k) => {
    const end = k * down + (rows - 1) * across + 1;
    const line = slice(g, byChannel, [2], [k * down], [end], [across]);
    const all = g.add('MatMul', [left, reshape(g, line, [group, n * rows, wide])]);
    const picked = g.add('Gather', [reshape(g, all, [group, columns * wide]), diagonals], { axis: 1 });
    return reshape(g, sum(g, picked, [2], false), [group, 1, width]);
  });
  return joined(g, parts, 1);
}

/** Every place of a kernel, the last axis fastest. */
function placesOf(kernel: readonly number[]): number[][] {
  let places: number[][] = [[]];
  for (const size of kernel) places = places.flatMap((p) => axesOfRank(size).map((k) => [...p, k]));
  return places;
}
