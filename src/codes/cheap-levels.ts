/** Indices of shared values that a compressor makes little of. */
import { item } from '../base/lists.js';
import { nearestLevel } from '../scheme/codings/matrix.js';
import type { CodeGrid } from '../scheme/codings/chosen.js';

export interface CheapLevels {
  readonly grid: CodeGrid;
  /** Σ importance · error². */
  readonly error: number;
  readonly bits: number;
}

/** Rounds of choosing indices, and of moving the values to the means of what has them. */
const ROUNDS = 8;

/**
 * The indices with the least error + price · bits, where levels may be moved too if they are free; every row of
 * `values` and `importance` is filled up as those of the grid. source: Chou, Lookabaugh and Gray 1989
 */
export function cheapLevels(
  values: ArrayLike<number>,
  importance: ArrayLike<number>,
  given: CodeGrid,
  price: number,
  free: boolean,
): CheapLevels {
  const { count, width, size, scale } = given;
  const levels = Float32Array.from(given.levels);
  const codes = Int32Array.from(given.codes);
  const rows = width ? codes.length / width : 0;
  const rowsOfTable = (rows * count) / Math.max(1, levels.length);
  const blocks = size ? width / size : 0;
  const scaleAt = (i: number): number => scale?.[Math.floor(i / width) * blocks + Math.floor((i % width) / size)] ?? 1;
  const tableAt = (i: number): number => Math.floor(Math.floor(i / width) / rowsOfTable) * count;
  const bits = new Float64Array(count);
  for (let round = 0; price > 0 && round < ROUNDS; round++) {
    bitsOf(codes, bits);
    let moved = false;
    for (let i = 0; i < codes.length; i++) {
      const [s, t] = [scaleAt(i), tableAt(i)];
      const x = item(values, i) / s; // as many as codes
      if (!Number.isFinite(x)) continue;
      const near = nearestLevel(levels.subarray(t, t + count), x);
      let best = item(codes, i); // i < length
      let least = Infinity;
      for (let q = Math.max(0, near - 2); q <= Math.min(count - 1, near + 2); q++) {
        const off = x - item(levels, t + q); // in the table
        const cost = item(importance, i) * s * s * off * off + price * item(bits, q); // in range
        if (cost < least) [best, least] = [q, cost];
      }
      moved ||= best !== codes[i];
      codes[i] = best;
    }
    if (free) toMeans();
    if (!moved) break;
  }
  bitsOf(codes, bits);
  return { grid: { ...given, levels, codes }, error: errorOf(), bits: codes.reduce((n, q) => n + item(bits, q), 0) };

  /** Values in use move to the means of what has them; they stay in their order. */
  function toMeans(): void {
    const [sums, sizes] = [new Float64Array(levels.length), new Float64Array(levels.length)];
    for (let i = 0; i < codes.length; i++) {
      const [s, at] = [scaleAt(i), tableAt(i) + item(codes, i)]; // i < length
      const w = item(importance, i) * s * s; // as many as codes
      const x = item(values, i) / s;
      if (!Number.isFinite(x)) continue;
      sums[at] = item(sums, at) + w * x;
      sizes[at] = item(sizes, at) + w;
    }
    for (let at = 0; at < levels.length; at++) {
      const mean = item(sizes, at) > 0 ? Math.fround(item(sums, at) / item(sizes, at)) : item(levels, at); // at < length
      const low = at % count ? item(levels, at - 1) : -Infinity;
      const high = at % count === count - 1 ? Infinity : item(levels, at + 1);
      levels[at] = Math.min(high, Math.max(low, mean));
    }
  }
  function errorOf(): number {
    let error = 0;
    for (let i = 0; i < codes.length; i++) {
      const off = item(values, i) - scaleAt(i) * item(levels, tableAt(i) + item(codes, i)); // in the table
      if (off - off === 0) error += item(importance, i) * off * off;
    }
    return error;
  }
}

function bitsOf(codes: Int32Array, bits: Float64Array): void {
  const counts = new Float64Array(bits.length);
  for (let i = 0; i < codes.length; i++) counts[item(codes, i)] = item(counts, item(codes, i)) + 1; // codes are indices
  const all = Math.log2(codes.length + bits.length / 2);
  for (let k = 0; k < bits.length; k++) bits[k] = all - Math.log2(item(counts, k) + 0.5); // k < length
}
