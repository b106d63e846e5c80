import { item } from '../../base/lists.js';
import { z } from 'zod';
import { Tensor } from '../../ir/tensor.js';
import { nearestLevel, packed, packingOf, rowMajor } from './matrix.js';
import type { Coding } from './types.js';

const options = z.strictObject({
  bits: z.number().int().min(1).max(8).default(4).describe('Bits of an index: 2^bits shared values.'),
  scope: z
    .enum(['tensor', 'channel'])
    .default('tensor')
    .describe('One table for the tensor, or one for each output channel: closer, but many tables weigh.'),
  iterations: z.number().int().min(1).default(60).describe("Most rounds of Lloyd's algorithm."),
});

/**
 * Weight sharing: each weight is an index into a table of values that k-means finds (Lloyd's algorithm on the sorted
 * weights, from evenly spaced values and from quantiles, whichever ends better). source: Han et al. 2016, Deep
 * Compression, https://arxiv.org/abs/1510.00149
 */
export const kMeans = {
  name: 'k-means',
  doc: 'Weights share a few values found by k-means; the file holds small indices and the table.',
  options,
  runs:
    'onnxruntime looks the values up once, when the model is loaded: the file is smaller, speed and memory are ' +
    'those of float32.',
  minOpset: ({ bits }) => (packingOf(2 ** bits) === 'uint4' ? 21 : 13),
  learns: () => 'levels',
  encode(m, { bits, scope, iterations }) {
    const values = rowMajor(m);
    const count = 2 ** bits;
    const tables = scope === 'tensor' ? 1 : m.rows;
    const width = values.length / Math.max(1, tables);
    const levels = new Float32Array(tables * count);
    const codes = new Uint8Array(values.length);
    for (let t = 0; t < tables; t++) {
      const own = values.subarray(t * width, (t + 1) * width);
      const found = withZero(cluster(own, count, iterations), own);
      levels.set(found, t * count);
      for (let i = 0; i < own.length; i++) codes[t * width + i] = nearestLevel(found, own[i]!);
    }
    return {
      ...packed(codes, count, [m.rows, m.columns]),
      levels: Tensor.f32(levels, scope === 'tensor' ? [count] : [tables, count]),
    };
  },
} satisfies Coding<z.output<typeof options>>;

/** Of weights that are zero often enough for that to be meant, the centre nearest to zero becomes zero. */
function withZero(centres: Float32Array, values: Float32Array): Float32Array {
  const zeros = values.reduce((n, x) => n + (x === 0 ? 1 : 0), 0);
  if (zeros * OFTEN < values.length || zeros < LEAST) return centres;
  const nearest = nearestLevel(centres, 0);
  return centres.map((c, i) => (i === nearest ? 0 : c));
}
/** Of so many weights one is zero, and so many at least. */
const [OFTEN, LEAST] = [10, 8];

/** At most `count` centres of the values, ascending; fewer distinct values leave some centres equal. */
function cluster(values: Float32Array, count: number, iterations: number): Float32Array {
  const sorted = finite(values).sort();
  if (!sorted.length) return new Float32Array(count);
  const sums = new Float64Array(sorted.length + 1);
  const squares = new Float64Array(sorted.length + 1);
  for (let i = 0; i < sorted.length; i++) {
    const x = sorted[i]!;
    sums[i + 1] = sums[i]! + x;
    squares[i + 1] = squares[i]! + x * x;
  }
  const [low, high] = [sorted[0]!, sorted[sorted.length - 1]!]; // not empty
  const even = Float32Array.from({ length: count }, (_, k) => low + ((high - low) * (k + 0.5)) / count);
  const quantiles = Float32Array.from(
    { length: count },
    (_, k) => sorted[Math.floor(((k + 0.5) * sorted.length) / count)]!,
  ); // within the list
  const results = [even, quantiles].map((start) => lloyd(sorted, sums, squares, start, iterations));
  return item(results, item(results, 1).error < item(results, 0).error ? 1 : 0).centres; // two starts
}

/** A copy without NaN and infinity. */
function finite(values: Float32Array): Float32Array {
  const out = new Float32Array(values.length);
  let n = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (x - x === 0) out[n++] = x;
  }
  return out.subarray(0, n);
}

function lloyd(
  sorted: Float32Array,
  sums: Float64Array,
  squares: Float64Array,
  centres: Float32Array,
  iterations: number,
): { centres: Float32Array; error: number } {
  const ends = new Int32Array(centres.length + 1);
  const divide = (): void => {
    for (let k = 1; k < centres.length; k++) ends[k] = upperBound(sorted, (centres[k - 1]! + centres[k]!) / 2);
    ends[centres.length] = sorted.length;
  };
  for (let i = 0; i < iterations; i++) {
    divide();
    let moved = false;
    for (let k = 0; k < centres.length; k++) {
      const [from, to] = [ends[k]!, ends[k + 1]!];
      const mean = to > from ? Math.fround((sums[to]! - sums[from]!) / (to - from)) : centres[k]!;
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
    const [from, to, c] = [ends[k]!, ends[k + 1]!, centres[k]!];
    error += squares[to]! - squares[from]! - 2 * c * (sums[to]! - sums[from]!) + (to - from) * c * c;
  }
  return { centres, error };
}

/** How many values are at most x. */
function upperBound(sorted: Float32Array, x: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}
