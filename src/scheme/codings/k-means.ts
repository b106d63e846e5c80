import { item } from '../../base/lists.js';
import { z } from 'zod';
import { Tensor } from '../../ir/tensor.js';
import { cluster, STARTS } from './cluster.js';
import { nearestLevel, packed, packingOf, rowMajor } from './matrix.js';
import type { Coding } from './types.js';

const options = z.strictObject({
  bits: z.number().int().min(1).max(8).default(4).describe('Bits of an index: 2^bits shared values.'),
  scope: z
    .union([
      z.enum(['tensor', 'channel']),
      z.strictObject({ channels: z.number().int().positive().describe('Most output channels that share a table.') }),
    ])
    .default('tensor')
    .describe(
      'One table for the tensor, one for each output channel, or one for so many neighbouring channels as divide ' +
        'theirs: closer, but many tables weigh.',
    ),
  scale: z
    .enum(['none', 'channel'])
    .default('none')
    .describe(
      'channel: each output channel has a scale of its own, by which what its table says is multiplied: four bytes a ' +
        'channel, and a table fits channels of unlike ranges.',
    ),
  start: z
    .enum(STARTS)
    .default('best')
    .describe(
      'Values that the search starts from. linear: evenly spaced from the least weight to the largest. density: ' +
        'quantiles of the weights. random: drawn of the weights. plus-plus: drawn far from each other. best: linear ' +
        'and density, and of both the result that errs less.',
    ),
  data: z
    .boolean()
    .default(false)
    .describe(
      'The error of a weight counts by the mean square of the input that it is multiplied with, on the calibration ' +
        'samples: the diagonal of the Hessian of the error of the outputs.',
    ),
  iterations: z.number().int().min(1).default(60).describe("Most rounds of Lloyd's algorithm."),
});
type Options = z.output<typeof options>;

/**
 * Weight sharing: each weight is an index into a table of values that k-means finds. source: Han et al. 2016, Deep
 * Compression, https://arxiv.org/abs/1510.00149; errors that count by the Hessian's diagonal: Choi et al. 2017,
 * https://arxiv.org/abs/1612.01543
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
  weighsInputs: ({ data }) => data,
  encode(m, o, rng, importance?: Float32Array) {
    const count = 2 ** o.bits;
    const tables = tablesOf(m.rows, o.scope);
    const values = rowMajor(m);
    const scale = o.scale === 'channel' ? rowSizes(values, m.columns, importance) : undefined;
    const weight = scale ? weighted(importance, scale, values.length, m.columns) : importance;
    if (scale)
      for (let i = 0; i < values.length; i++) values[i] = item(values, i) / item(scale, Math.floor(i / m.columns)); // one a row
    const width = values.length / Math.max(1, tables);
    const levels = new Float32Array(tables * count);
    const codes = new Uint8Array(values.length);
    for (let t = 0; t < tables; t++) {
      const own = values.subarray(t * width, (t + 1) * width);
      const about = { count, start: o.start, iterations: o.iterations };
      const weighed = { ...about, importance: weight?.subarray(t * width, (t + 1) * width) };
      const found = withZero(cluster(own, weighed, rng), own);
      levels.set(found, t * count);
      for (let i = 0; i < own.length; i++) codes[t * width + i] = nearestLevel(found, item(own, i));
    }
    return {
      ...packed(codes, count, [m.rows, m.columns]),
      levels: Tensor.f32(levels, o.scope === 'tensor' ? [count] : [tables, count]),
      ...(scale ? { scale: Tensor.f32(scale, [m.rows, 1]) } : {}),
    };
  },
} satisfies Coding<Options>;

/** Of weights that are zero often enough for that to be meant, the centre nearest to zero becomes zero. */
function withZero(centres: Float32Array, values: Float32Array): Float32Array {
  const zeros = values.reduce((n, x) => n + (x === 0 ? 1 : 0), 0);
  if (zeros * OFTEN < values.length || zeros < LEAST) return centres;
  const nearest = nearestLevel(centres, 0);
  return centres.map((c, i) => (i === nearest ? 0 : c));
}
/** Of so many weights one is zero, and so many at least. */
const [OFTEN, LEAST] = [10, 8];

/** How many tables there are: each serves as many channels as the others. */
function tablesOf(rows: number, scope: Options['scope']): number {
  if (scope === 'tensor') return 1;
  if (scope === 'channel') return rows;
  let most = Math.min(scope.channels, rows);
  while (most > 1 && rows % most) most--;
  return rows / Math.max(1, most);
}

/** The root of the mean square of each row, weighed; 1 for rows of zeros. */
function rowSizes(values: Float32Array, columns: number, importance: ArrayLike<number> | undefined): Float32Array {
  return Float32Array.from({ length: columns ? values.length / columns : 0 }, (_, r) => {
    let [sum, size] = [0, 0];
    for (let i = r * columns; i < (r + 1) * columns; i++) {
      const [x, w] = [item(values, i), importance?.[i] ?? 1]; // i < length
      if (x - x !== 0) continue;
      sum += w * x * x;
      size += w;
    }
    const root = Math.fround(Math.sqrt(sum / size));
    return root >= 2 ** -126 ? root : 1;
  });
}

/** An error in units of a scale counts by the square of the scale. */
function weighted(importance: Float32Array | undefined, scale: Float32Array, n: number, columns: number): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => (importance?.[i] ?? 1) * item(scale, Math.floor(i / columns)) ** 2); // one a row
}
