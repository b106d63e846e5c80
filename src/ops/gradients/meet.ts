/**
 * What places of a sliding window meet. Positions lie in one line, with zeros between the rows, so that each place is
 * one run of the data: runs are copied several times as fast as parts of rows, and two rows share the zeros between
 * them.
 */
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import type { GradientContext } from '../facets.js';
import { reachOf, type Window } from '../window.js';
import { axesOfRank, product, reshape } from './build.js';
import { cut, pad, padSpatial, phases } from './copy.js';

export interface Meetings {
  /** Positions, with those between rows, at which the results' gradients are zero. */
  readonly count: number;
  /** The results' gradients [N, M, count]. */
  readonly d: Value;
  /** The data [N, C, count] for each place, the last axis fastest. */
  readonly met: readonly Value[];
}

/** Of data [N, C, …] and the results' gradients `d` [N, M, …]. */
export function meetings(g: GradientContext, data: Value, d: Value, window: Window): Meetings {
  const counts = g.sizes(d).slice(2);
  const { x, front, widths } =
    product(window.strides) === 1 ? sharedZeros(g, data, counts, window) : wholeStrides(g, data, counts, window);
  const pitch = widths.map((_, i) => product(widths.slice(i + 1)));
  const count = (counts[0] ?? 1) * (pitch[0] ?? 1);
  const places = placesOf(window.kernel).map((place) => {
    const at = place.map((k, i) => k * (window.dilations[i] ?? 1));
    return {
      phase: at.map((a, i) => a % (window.strides[i] ?? 1)),
      offset: at.reduce((sum, a, i) => sum + Math.floor(a / (window.strides[i] ?? 1)) * (pitch[i] ?? 1), 0),
    };
  });
  const total = Math.max(...places.map((p) => p.offset)) + count;
  const lines = new Map<string, Value>();
  const phaseOf = byPhase(g, x, window.strides);
  const met = places.map(({ phase, offset }) => {
    const line = lines.get(phase.join()) ?? inLine(g, phaseOf(phase), front, total);
    lines.set(phase.join(), line);
    return cut(g, line, 2, offset, count);
  });
  const spread = widths.map((w, i) => (i ? w - (counts[i] ?? 0) : 0));
  const none = counts.map(() => 0);
  return { count, d: inLine(g, padSpatial(g, d, none, spread), 0, count), met };
}

/** Data as windows lie on them, and where these begin. */
interface Laid {
  readonly x: Value;
  /** Zeros before the data in line. */
  readonly front: number;
  /** Elements along each axis. */
  readonly widths: readonly number[];
}

/** Zeros behind each row that serve as those before the next one. */
function sharedZeros(g: GradientContext, data: Value, counts: readonly number[], window: Window): Laid {
  const ends = endsOf(g, data, counts, window);
  const negative = (list: readonly number[]): number[] => list.map((n) => Math.min(0, n));
  const x = padSpatial(g, data, negative(window.before), negative(ends));
  const left = g.sizes(x).slice(2);
  const widths = left.map((size, i) =>
    i ? Math.max(counts[i] ?? 0, size + Math.max(0, window.before[i] ?? 0, ends[i] ?? 0)) : size,
  );
  const zeros = widths.map((w, i) => w - (left[i] ?? 0));
  const front = window.before.reduce((sum, b, i) => sum + Math.max(0, b) * product(widths.slice(i + 1)), 0);
  const none = zeros.map(() => 0);
  return { x: padSpatial(g, x, none, zeros), front, widths };
}

/** Zeros around, up to whole strides; widths are those of each place in the stride. */
function wholeStrides(g: GradientContext, data: Value, counts: readonly number[], window: Window): Laid {
  const x = toWholeStrides(g, data, counts, window);
  const sizes = g.sizes(x).slice(2);
  return { x, front: 0, widths: sizes.map((size, i) => size / (window.strides[i] ?? 1)) };
}
/** The data with their padding as far as windows reach, then up to whole strides. */
export const toWholeStrides = (g: GradientContext, data: Value, counts: readonly number[], window: Window): Value =>
  padSpatial(g, data, window.before, endsOf(g, data, counts, window));

/** How far windows, up to whole strides, reach beyond the data along each axis. */
function endsOf(g: GradientContext, data: Value, counts: readonly number[], window: Window): number[] {
  const sizes = g.sizes(data).slice(2);
  return sizes.map((size, i) => {
    const stride = window.strides[i] ?? 1;
    return Math.ceil(reachOf(window, i, counts[i] ?? 0) / stride) * stride - size - (window.before[i] ?? 0);
  });
}

/** The elements at a place in the stride along each axis. Each axis is parted once. */
function byPhase(g: GradientContext, x: Value, strides: readonly number[]): (phase: readonly number[]) => Value {
  const made = new Map<Value, readonly Value[]>();
  return (phase) =>
    phase.reduceRight((value, k, i) => {
      const stride = strides[i] ?? 1;
      if (stride === 1) return value;
      const parts = made.get(value) ?? phases(g, value, i + 2, stride);
      made.set(value, parts);
      return item(parts, k);
    }, x);
}

/** Positions in one line of `total`, behind so many zeros. */
function inLine(g: GradientContext, x: Value, front: number, total: number): Value {
  const [n = 0, channels = 0, ...sizes] = g.sizes(x);
  const line = reshape(g, x, [n, channels, product(sizes)]);
  return pad(g, line, [0, 0, front], [0, 0, total - front - product(sizes)]);
}

/** Every place of a kernel, the last axis fastest. */
function placesOf(kernel: readonly number[]): number[][] {
  let places: number[][] = [[]];
  for (const size of kernel) places = places.flatMap((p) => axesOfRank(size).map((k) => [...p, k]));
  return places;
}
