/** Gradients by the weights of sliding windows. */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import type { GradientContext } from '../facets.js';
import { axesOfRank, multiply, reshape, sum, transpose, turned } from './build.js';
import { cut, joined, phases } from './copy.js';
import { meetings, toWholeStrides } from './meet.js';
import { reachOf, type Window } from '../window.js';

/** With fewer channels than this, all places of the kernel are multiplied at once: the matrices are too narrow else. */
const NARROW = 8;
/** Rows up to this long are multiplied as bands of a matrix, of which only diagonals are used. */
const BAND = 64;

/** What is multiplied, and how it hangs together. */
interface Operands {
  readonly data: Value;
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
  const [n = 0, channels = 0] = g.sizes(data);
  const [, results = 0, ...counts] = g.sizes(d);
  const operands = { data, d, n, group, c: channels / group, m: results / group, counts, window };
  const single = operands.c === 1 && group > 1;
  const short = counts.length === 2 && reachOf(window, 1, counts[1] ?? 0) <= BAND;
  const made =
    single && operands.m === 1 && short
      ? bands(g, operands)
      : single
        ? channelByChannel(g, operands)
        : group === 1 && channels < NARROW
          ? atOnce(g, operands)
          : placeByPlace(g, operands);
  return reshape(g, made, [results, operands.c, ...window.kernel]);
}

/** A product of matrices for each place. */
function placeByPlace(g: GradientContext, { data, d, n, group, c, m, window }: Operands): Value {
  const { count, d: line, met } = meetings(g, data, d, window);
  const left = reshape(g, line, [n, group, m, count]);
  const parts = met.map((x) => {
    const each = g.add('MatMul', [left, turned(g, reshape(g, x, [n, group, c, count]))]);
    return reshape(g, sum(g, each, [0], false), [group * m, c, 1]);
  });
  return joined(g, parts, 2);
}

/** One product of matrices, in which the places are more channels. */
function atOnce(g: GradientContext, { data, d, c, m, window }: Operands): Value {
  const { d: line, met } = meetings(g, data, d, window);
  const each = g.add('MatMul', [line, turned(g, joined(g, met, 1))]);
  return transpose(g, reshape(g, sum(g, each, [0], false), [m, met.length, c]), [0, 2, 1]);
}

/** Sums of products, for matrices of one row are slow. One channel meets m results. */
function channelByChannel(g: GradientContext, { data, d, n, group, m, window }: Operands): Value {
  const { count, d: line, met } = meetings(g, data, d, window);
  const left = reshape(g, line, [n, group, m, count]);
  const parts = met.map((x) => {
    const products = multiply(g, left, reshape(g, x, [n, group, 1, count]));
    return reshape(g, sum(g, products, [0, 3], false), [group * m, 1, 1]);
  });
  return joined(g, parts, 2);
}

/**
 * For each row of the kernel, all products of a result's column with a column of the data, as one product of matrices
 * by channel: [columns, samples · rows] · [samples · rows, data's columns]. The places of the kernel are its diagonals.
 */
function bands(g: GradientContext, { data, d, n, group, counts, window }: Operands): Value {
  const [rows = 0, columns = 0] = counts;
  const [height = 1, width = 1] = window.kernel;
  const [across = 1, along = 1] = window.strides;
  const [down = 1, aside = 1] = window.dilations;
  const x = toWholeStrides(g, data, counts, window);
  const wide = g.sizes(x)[3] ?? 0;
  const left = reshape(g, transpose(g, d, [1, 3, 0, 2]), [group, columns, n * rows]);
  const byChannel = transpose(g, x, [1, 0, 2, 3]);
  const places = axesOfRank(width).flatMap((k) => axesOfRank(columns).map((at) => at * wide + at * along + k * aside));
  const diagonals = g.constant(Tensor.i64(places, [width, columns]));
  const lines = across === 1 ? [byChannel] : phases(g, byChannel, 2, across);
  const parts = axesOfRank(height).map((k) => {
    const line = cut(g, item(lines, (k * down) % across), 2, Math.floor((k * down) / across), rows);
    const all = g.add('MatMul', [left, reshape(g, line, [group, n * rows, wide])]);
    const picked = g.add('Gather', [reshape(g, all, [group, columns * wide]), diagonals], { axis: 1 });
    return reshape(g, sum(g, picked, [2], false), [group, 1, width]);
  });
  return joined(g, parts, 1);
}
