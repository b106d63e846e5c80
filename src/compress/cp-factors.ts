/** Tensors as sums of outer products (CP), by alternating least squares. */
import { item } from '../base/lists.js';
import { createRng } from '../base/rng.js';
import { factorReverse, solveReverse } from '../codes/linear.js';
import { dot, linearKernels } from '../codes/linear-kernels.js';

export interface CpFactors {
  /** Of each axis its vectors as rows, [rank, size]; a component's vectors are equally long. */
  readonly factors: readonly Float64Array[];
  /** Squared distance from the tensor. */
  readonly lost: number;
}
export interface CpOptions {
  readonly rank: number;
  /** At most so many rounds over all axes. */
  readonly rounds: number;
  /** Which random start. */
  readonly seed: number;
  /** Factors of a smaller rank to go on from: the result is no worse than they are. */
  readonly from?: readonly Float64Array[] | undefined;
}
/** How much a factor is held where it is, of the mean diagonal: components that cancel each other stay small. */
const HELD = 1e-5;
/** Rounds that gain less than this share of what is lost end it. */
const STILL = 1e-6;
/** Right sides that are solved together. */
const TOGETHER = 16;

/**
 * The tensor [sizes] nearest to `values` of so many components, row-major. source: Lebedev et al. 2015,
 * https://arxiv.org/abs/1412.6553; each step held near the one before: Li, Kindermann and Navasca 2013,
 * https://arxiv.org/abs/1109.3832
 */
export function cpFactors(values: Float64Array, sizes: readonly number[], o: CpOptions): CpFactors {
  const { rank } = o;
  const total = dot(values, 0, values, 0, values.length);
  const factors = started(values, sizes, o);
  const kernels = linearKernels();
  const most = Math.max(...sizes);
  const [gram, products, own, room, ...unfolded] = kernels.arrays(
    rank * rank,
    rank * (values.length / Math.min(...sizes)),
    (most + TOGETHER) * rank,
    TOGETHER * TOGETHER,
    ...sizes.map(() => values.length),
  ) as [Float64Array, Float64Array, Float64Array, Float64Array, ...Float64Array[]]; // as many as asked for
  sizes.forEach((_, axis) => {
    unfold(values, sizes, axis, item(unfolded, axis));
  });
  let lost = Infinity;
  for (let round = 0; round < o.rounds; round++) {
    let now = total;
    for (const [axis, n] of sizes.entries()) {
      const rest = values.length / n;
      outer(factors, axis, rank, products);
      grams(factors, axis, rank, gram);
      const plain = gram.slice();
      let trace = 0;
      for (let r = 0; r < rank; r++) trace += item(gram, r * rank + r);
      const held = (HELD * trace) / rank || Number.MIN_VALUE;
      for (let r = 0; r < rank; r++) gram[r * rank + r] = item(gram, r * rank + r) + held;
      factorReverse(gram, rank, room, kernels);
      const old = item(factors, axis);
      for (let i = 0; i < n; i++)
        kernels.dots(item(unfolded, axis), i * rest, products, 0, rest, rank, rest, own, i * rank);
      const right = own.slice(0, n * rank);
      for (let i = 0; i < n; i++)
        for (let r = 0; r < rank; r++) own[i * rank + r] = item(own, i * rank + r) + held * item(old, r * n + i);
      for (let first = 0; first < n; first += TOGETHER) {
        const rows = own.subarray(first * rank, Math.min(n, first + TOGETHER) * rank);
        solveReverse(gram, rank, rows, rows.length / rank, room, kernels);
      }
      for (let i = 0; i < n; i++) for (let r = 0; r < rank; r++) old[r * n + i] = item(own, i * rank + r);
      now = distance(total, own, right, plain, n, rank);
      balance(factors, sizes, rank);
    }
    const still = lost - now < STILL * now || now < 1e-14 * total;
    lost = Math.max(0, now);
    if (still) break;
  }
  return { factors, lost };
}

/** ‖T‖² − 2⟨T, model⟩ + ‖model‖², by one factor [n, rank], what the tensor gives for it, and the Gram of the others. */
function distance(
  total: number,
  own: Float64Array,
  right: Float64Array,
  gram: Float64Array,
  n: number,
  rank: number,
): number {
  let sum = total;
  for (let i = 0; i < n; i++)
    for (let r = 0; r < rank; r++) {
      const at = i * rank;
      sum += item(own, at + r) * (dot(gram, r * rank, own, at, rank) - 2 * item(right, at + r));
    }
  return sum;
}

/** Random vectors, after those that are given. */
function started(values: Float64Array, sizes: readonly number[], { rank, seed, from }: CpOptions): Float64Array[] {
  const rng = createRng(seed, 'cp');
  const size = Math.sqrt(dot(values, 0, values, 0, values.length) / values.length) ** (1 / sizes.length);
  return sizes.map((n, axis) => {
    const known = from ? item(from, axis) : new Float64Array(0);
    // Where there are components already, new ones begin small.
    const by = from ? size / 10 : size;
    return Float64Array.from({ length: rank * n }, (_, at) => known[at] ?? by * rng.normal());
  });
}

/** The axis first, the others in order. */
function unfold(values: Float64Array, sizes: readonly number[], axis: number, out: Float64Array): void {
  const n = item(sizes, axis);
  const inner = sizes.slice(axis + 1).reduce((p, d) => p * d, 1);
  const rest = values.length / n;
  for (let at = 0; at < values.length; at++) {
    const [before, i, after] = [Math.floor(at / (inner * n)), Math.floor(at / inner) % n, at % inner];
    out[i * rest + before * inner + after] = item(values, at);
  }
}

/** The outer products of the vectors of all other axes: [rank, their sizes]. */
function outer(factors: readonly Float64Array[], axis: number, rank: number, out: Float64Array): void {
  const others = factors.filter((_, i) => i !== axis).map((f) => ({ f, n: f.length / rank }));
  const rest = others.reduce((p, { n }) => p * n, 1);
  for (let r = 0; r < rank; r++) {
    let filled = 1;
    const base = r * rest;
    out[base] = 1;
    for (const { f, n } of others) {
      // From the end: each place becomes n places, of which the first is its own.
      for (let i = filled - 1; i >= 0; i--) {
        const v = item(out, base + i);
        for (let k = n - 1; k >= 0; k--) out[base + i * n + k] = v * item(f, r * n + k);
      }
      filled *= n;
    }
  }
}

/** The Gram matrix of those outer products. */
function grams(factors: readonly Float64Array[], axis: number, rank: number, out: Float64Array): void {
  out.fill(1, 0, rank * rank);
  for (const [i, f] of factors.entries()) {
    if (i === axis) continue;
    const n = f.length / rank;
    for (let a = 0; a < rank; a++)
      for (let b = 0; b < rank; b++) out[a * rank + b] = item(out, a * rank + b) * dot(f, a * n, f, b * n, n);
  }
}

/** Makes the vectors of each component equally long: none grows beyond what the others can make up for. */
function balance(factors: readonly Float64Array[], sizes: readonly number[], rank: number): void {
  for (let r = 0; r < rank; r++) {
    const lengths = factors.map((f, axis) => {
      const n = item(sizes, axis);
      return Math.sqrt(dot(f, r * n, f, r * n, n));
    });
    const each = lengths.reduce((p, v) => p * v, 1) ** (1 / sizes.length);
    if (!(each > 0)) continue;
    for (const [axis, f] of factors.entries()) {
      const [n, by] = [item(sizes, axis), each / item(lengths, axis)];
      for (let i = 0; i < n; i++) f[r * n + i] = item(f, r * n + i) * by;
    }
  }
}
