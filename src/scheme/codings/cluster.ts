/** k-means in one dimension: a few values that many numbers may share. */
import { item } from '../../base/lists.js';
import type { Rng } from '../../base/rng.js';

/**
 * From which values the search starts. linear: evenly spaced from the least weight to the largest; few weights are
 * large, and these keep values of their own. density: quantiles, as many weights to each. random: values drawn of the
 * weights. plus-plus: drawn one after the other, further ones with more probability. best: of linear and density the
 * one that ends with the least error.
 */
export const STARTS = ['best', 'linear', 'density', 'random', 'plus-plus'] as const;
export type Start = (typeof STARTS)[number];

export interface Clustering {
  readonly count: number;
  readonly start: Start;
  /** Most rounds of Lloyd's algorithm. */
  readonly iterations: number;
  /** How much the squared error of each value counts; all the same where left out. */
  readonly importance?: ArrayLike<number> | undefined;
}

/**
 * At most `count` centres of the finite values, ascending; fewer distinct values leave some centres equal.
 * source: Lloyd 1982; starts: Han et al. 2016, https://arxiv.org/abs/1510.00149, section 3.2, and Arthur and
 * Vassilvitskii 2007 (k-means++)
 */
export function cluster(
  values: Float32Array,
  { count, start, iterations, importance }: Clustering,
  rng: Rng,
): Float32Array {
  const points = sortedPoints(values, importance);
  if (!points.values.length) return new Float32Array(count);
  const names = start === 'best' ? (['linear', 'density'] as const) : [start];
  const results = names.map((name) => lloyd(points, startOf(name, points, count, rng), iterations));
  return results.reduce((best, r) => (r.error < best.error ? r : best)).centres;
}

/** Finite values, ascending, with running sums of their importance, and of that times the value and its square. */
interface Points {
  readonly values: Float32Array;
  readonly sizes: Float64Array;
  readonly sums: Float64Array;
  readonly squares: Float64Array;
}

function sortedPoints(given: Float32Array, importance: ArrayLike<number> | undefined): Points {
  let order = finite(given, (i) => (importance?.[i] ?? 1) > 0);
  const counted = order.length > 0;
  if (!counted) order = finite(given, () => true); // none counts: then all do
  const n = order.length;
  const [values, sizes] = [new Float32Array(n), new Float64Array(n + 1)];
  const [sums, squares] = [new Float64Array(n + 1), new Float64Array(n + 1)];
  for (let i = 0; i < n; i++) {
    const at = item(order, i); // i < n
    const [x, w] = [item(given, at), counted ? (importance?.[at] ?? 1) : 1]; // places are of the list
    values[i] = x;
    sizes[i + 1] = item(sizes, i) + w;
    sums[i + 1] = item(sums, i) + w * x;
    squares[i + 1] = item(squares, i) + w * x * x;
  }
  return { values, sizes, sums, squares };
}

/** Where finite values lie that count, in the order of their size. */
function finite(given: Float32Array, counts: (i: number) => boolean): Uint32Array {
  const places: number[] = [];
  for (let i = 0; i < given.length; i++) if (Number.isFinite(given[i]) && counts(i)) places.push(i);
  return Uint32Array.from(places).sort((a, b) => item(given, a) - item(given, b) || a - b); // places are of the list
}

function startOf(name: Exclude<Start, 'best'>, points: Points, count: number, rng: Rng): Float32Array {
  const { values } = points;
  const n = values.length;
  const at = (i: number): number => item(values, Math.min(n - 1, i)); // not empty
  const [low, high] = [at(0), at(n - 1)];
  switch (name) {
    case 'linear':
      return count === 1
        ? Float32Array.of((low + high) / 2)
        : Float32Array.from({ length: count }, (_, k) => low + ((high - low) * k) / (count - 1));
    case 'density':
      return Float32Array.from({ length: count }, (_, k) => at(Math.floor(((k + 0.5) * n) / count)));
    case 'random':
      return Float32Array.from({ length: count }, () => at(rng.int(n))).sort();
    case 'plus-plus':
      return farApart(points, count, rng);
    default:
      return name satisfies never;
  }
}

/** Each next one is drawn with the probability of its importance times its squared distance from those before. */
function farApart({ values, sizes }: Points, count: number, rng: Rng): Float32Array {
  const n = values.length;
  const distance = new Float64Array(n).fill(Infinity);
  const chosen = new Float32Array(count);
  let next = rng.int(n);
  for (let k = 0; k < count; k++) {
    const centre = item(values, next); // drawn below n
    chosen[k] = centre;
    let total = 0;
    for (let i = 0; i < n; i++) {
      distance[i] = Math.min(
        item(distance, i),
        (item(sizes, i + 1) - item(sizes, i)) * (item(values, i) - centre) ** 2,
      ); // i < n
      total += item(distance, i);
    }
    let rest = rng.next() * total;
    for (let i = 0; i < n; i++) {
      rest -= item(distance, i); // i < n
      if (item(distance, i) > 0) next = i;
      if (rest < 0) break;
    }
  }
  return chosen.sort();
}

function lloyd(
  { values, sizes, sums, squares }: Points,
  centres: Float32Array,
  iterations: number,
): { readonly centres: Float32Array; readonly error: number } {
  const ends = new Int32Array(centres.length + 1);
  const divide = (): void => {
    for (let k = 1; k < centres.length; k++)
      ends[k] = upperBound(values, (item(centres, k - 1) + item(centres, k)) / 2);
    ends[centres.length] = values.length;
  };
  for (let i = 0; i < iterations; i++) {
    divide();
    let moved = false;
    for (let k = 0; k < centres.length; k++) {
      const [from, to] = [item(ends, k), item(ends, k + 1)];
      const mean =
        to > from
          ? Math.fround((item(sums, to) - item(sums, from)) / (item(sizes, to) - item(sizes, from)))
          : item(centres, k);
      if (mean !== centres[k]) {
        centres[k] = mean;
        moved = true;
      }
    }
    if (!moved) break;
  }
  divide();
  let error = 0;
  for (let k = 0; k < centres.length; k++) {
    const [from, to, c] = [item(ends, k), item(ends, k + 1), item(centres, k)];
    error +=
      item(squares, to) -
      item(squares, from) -
      2 * c * (item(sums, to) - item(sums, from)) +
      (item(sizes, to) - item(sizes, from)) * c * c;
  }
  return { centres, error };
}

/** How many values are at most x. */
function upperBound(sorted: Float32Array, x: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (item(sorted, middle) <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}
