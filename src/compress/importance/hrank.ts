import { z } from 'zod';
import { item } from '../../base/lists.js';
import { ratioOverMaps, type ChannelMap } from '../seen.js';
import type { Importance } from './types.js';

/**
 * The mean rank of its feature maps: a map of low rank says little that others do not. A map is the matrix [height,
 * width]; what has no such axes is a matrix of one row. source: Lin et al. 2020, https://arxiv.org/abs/2002.10179
 */
export const hrank = {
  name: 'hrank',
  doc: 'The mean rank of its feature maps on calibration samples (HRank).',
  options: z.strictObject({}),
  needs: 'inputs',
  score: (context) => ratioOverMaps(context, (map) => [rankOf(map), 1]),
} satisfies Importance<Record<string, never>>;

/** A difference of float32 numbers below this share of the largest is what is left of rounding. */
const ROUNDING = 2 ** -23;

/** By elimination with the largest element left as the pivot. */
function rankOf({ data, dims }: ChannelMap): number {
  const columns = dims.at(-1) ?? 1;
  const rows = columns > 0 ? data.length / columns : 0;
  const a = Float64Array.from(data);
  let least: number | undefined;
  for (let rank = 0; rank < Math.min(rows, columns); rank++) {
    let [best, r, c] = [0, rank, rank];
    for (let i = rank; i < rows; i++)
      for (let j = rank; j < columns; j++) {
        const v = Math.abs(item(a, i * columns + j));
        if (v > best) [best, r, c] = [v, i, j];
      }
    least ??= best * ROUNDING * Math.max(rows, columns);
    if (best <= least) return rank;
    for (let j = 0; j < columns; j++) swap(a, rank * columns + j, r * columns + j);
    for (let i = 0; i < rows; i++) swap(a, i * columns + rank, i * columns + c);
    const pivot = item(a, rank * columns + rank);
    for (let i = rank + 1; i < rows; i++) {
      const factor = item(a, i * columns + rank) / pivot;
      if (factor === 0) continue;
      for (let j = rank; j < columns; j++)
        a[i * columns + j] = item(a, i * columns + j) - factor * item(a, rank * columns + j);
    }
  }
  return Math.min(rows, columns);
}
function swap(a: Float64Array, i: number, j: number): void {
  const x = item(a, i);
  a[i] = item(a, j);
  a[j] = x;
}
