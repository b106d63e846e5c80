/** Weights as codes of a few fixed levels, one scale a row. */
import { z } from 'zod';
import type { Rng } from '../../base/rng.js';
import { Tensor } from '../../ir/tensor.js';
import { blockMaxima, nearestLevel, packed, packingOf, rowMajor } from './matrix.js';
import type { Coded, Coding, Matrix } from './types.js';

const ON_LOAD =
  'onnxruntime turns it back into float32 when the model is loaded: the file is smaller, speed and memory are ' +
  'those of float32.';
const SHIFTS = `${ON_LOAD} Hardware that shifts instead of multiplying gains from it.`;
const scaleOptions = {
  powerOfTwoScale: z
    .boolean()
    .default(false)
    .describe('Rounds each scale to a power of two, so that every weight is a sum of shifts.'),
};

/** Codes of the nearest levels; the scale of each row is the one of a few candidates that errs least. */
function nearestCodes(m: Matrix, levels: Float32Array, powerOfTwoScale: boolean): Coded {
  const values = rowMajor(m);
  const most = levels[levels.length - 1]!; // levels are ascending and not empty
  const maxima = blockMaxima(values, m.columns);
  const scale = new Float32Array(m.rows).fill(1);
  const codes = new Uint8Array(values.length);
  for (let r = 0; r < m.rows; r++) {
    const row = values.subarray(r * m.columns, (r + 1) * m.columns);
    const largest = maxima[r]! / most;
    if (!(largest >= 2 ** -126)) {
      row.forEach((_, c) => {
        codes[r * m.columns + c] = nearestLevel(levels, 0);
      });
      continue;
    }
    let best = Infinity;
    for (const tried of powerOfTwoScale
      ? [-1, 0, 1].map((k) => 2 ** (Math.round(Math.log2(largest)) + k))
      : Array.from({ length: 24 }, (_, i) => Math.fround(largest * (1.15 - 0.03 * i)))) {
      let error = 0;
      // an index of the levels
      for (const x of row) error += (x - levels[nearestLevel(levels, x / tried)]! * tried) ** 2;
      if (error < best) {
        best = error;
        scale[r] = tried;
      }
    }
    row.forEach((x, c) => {
      codes[r * m.columns + c] = nearestLevel(levels, x / scale[r]!);
    }); // one for each row
  }
  return {
    ...packed(codes, levels.length, [m.rows, m.columns]),
    levels: Tensor.f32(levels),
    scale: Tensor.f32(scale, [m.rows, 1]),
  };
}

const symmetric = (positive: Iterable<number>): Float32Array =>
  Float32Array.from(new Set([0, ...[...positive].flatMap((x) => [x, -x])])).sort();
// uint4 is of opset 21; others are bytes
const opsetOf = (levels: number): number => (packingOf(levels) === 'uint4' ? 21 : 13);

const powerOptions = z.strictObject({
  bits: z.number().int().min(2).max(8).default(4).describe('Bits of a code: 2^bits − 1 levels.'),
  ...scaleOptions,
});
/** ±2^−k and 0. source: Zhou et al. 2017, Incremental Network Quantization, https://arxiv.org/abs/1702.03044 */
export const powerOfTwo = {
  name: 'power-of-two',
  doc: 'Weights that are 0 or ± a power of two times a scale per channel: products become shifts.',
  runs: SHIFTS,
  options: powerOptions,
  minOpset: ({ bits }) => opsetOf(2 ** bits - 1),
  learns: ({ powerOfTwoScale }) => (powerOfTwoScale ? 'neither' : 'scales'),
  encode: (m, { bits, powerOfTwoScale }) =>
    nearestCodes(m, symmetric(Array.from({ length: 2 ** (bits - 1) - 1 }, (_, k) => 2 ** -k)), powerOfTwoScale),
} satisfies Coding<z.output<typeof powerOptions>>;

/**
 * Sums of powers of two: of `bits` − 1 bits of magnitude, two each choose one of {0, 2^−i, 2^−(i+n), 2^−(i+2n)} for the
 * i-th of n terms, an odd last one chooses of {0, 2^−i}. source: Li et al. 2020, https://arxiv.org/abs/1909.13144,
 * section 2.2
 */
export const additivePowerOfTwo = {
  name: 'additive-power-of-two',
  doc:
    'Weights that are sums of powers of two times a scale per channel: finer near the ends than power-of-two, ' +
    'still shifts.',
  runs: SHIFTS,
  options: powerOptions,
  minOpset: ({ bits }) => opsetOf(2 ** bits - 1),
  learns: ({ powerOfTwoScale }) => (powerOfTwoScale ? 'neither' : 'scales'),
  encode(m, { bits, powerOfTwoScale }) {
    const terms = Math.ceil((bits - 1) / 2);
    let sums = [0];
    for (let i = 0; i < terms; i++) {
      const choices = i === terms - 1 && (bits - 1) % 2 === 1 ? 1 : 3;
      const term = [0, ...Array.from({ length: choices }, (_, j) => 2 ** -(i + j * terms))];
      sums = sums.flatMap((s) => term.map((t) => s + t));
    }
    const most = Math.max(...sums);
    return nearestCodes(m, symmetric(sums.map((s) => s / most)), powerOfTwoScale);
  },
} satisfies Coding<z.output<typeof powerOptions>>;

const logOptions = z.strictObject({
  bits: z.number().int().min(2).max(8).default(4).describe('Bits of a code: 2^bits − 1 levels.'),
  steps: z.number().int().positive().default(2).describe('Levels in each octave: 1 is power-of-two, 2 is base √2.'),
});
/** ±2^(−k/steps) and 0. source: Miyashita et al. 2016, https://arxiv.org/abs/1603.01025 */
export const logarithmic = {
  name: 'logarithmic',
  doc: 'Weights on a logarithmic grid, with a scale per channel: relative instead of absolute precision.',
  runs: ON_LOAD,
  options: logOptions,
  minOpset: ({ bits }) => opsetOf(2 ** bits - 1),
  learns: () => 'scales',
  encode: (m, { bits, steps }) =>
    nearestCodes(m, symmetric(Array.from({ length: 2 ** (bits - 1) - 1 }, (_, k) => 2 ** (-k / steps))), false),
} satisfies Coding<z.output<typeof logOptions>>;

const binaryOptions = z.strictObject({
  stochastic: z
    .boolean()
    .default(false)
    .describe(
      'Draws the sign with probability (w / scale + 1) / 2, clipped to 0…1, instead of taking that of the weight.',
    ),
});
/**
 * ±mean |w| of the row. source: Rastegari et al. 2016, https://arxiv.org/abs/1603.05279; stochastic: Courbariaux et al.
 * 2016, https://arxiv.org/abs/1602.02830
 */
export const binary = {
  name: 'binary',
  doc:
    'One bit a weight: its sign times the mean magnitude of the channel. Without training it costs most of the ' +
    'accuracy of most models.',
  runs: ON_LOAD,
  options: binaryOptions,
  minOpset: () => 13,
  learns: () => 'scales',
  encode(m, { stochastic }, rng: Rng) {
    const values = rowMajor(m);
    const scale = rowMeans(values, m);
    const codes = values.map((x, i) => {
      const s = scale[Math.floor(i / m.columns)]!; // one for each row
      return (stochastic ? rng.next() < Math.min(1, Math.max(0, (s > 0 ? x / s : 0) / 2 + 0.5)) : x >= 0) ? 1 : 0;
    });
    return {
      ...packed(codes, 2, [m.rows, m.columns]),
      levels: Tensor.f32([-1, 1]),
      scale: Tensor.f32(scale, [m.rows, 1]),
    };
  },
} satisfies Coding<z.output<typeof binaryOptions>>;

const none = z.strictObject({});
/**
 * 0 or ±scale, five to a byte. The k largest weights of a row are kept, with the k that errs least: the most of
 * (Σ|w|)²/k.
 * source: Li et al. 2016, Ternary Weight Networks, https://arxiv.org/abs/1605.04711, equation 5, solved exactly
 */
export const ternary = {
  name: 'ternary',
  doc: 'Weights that are −1, 0 or 1 times a scale per channel, five weights to a byte (1.6 bits each).',
  runs: ON_LOAD,
  options: none,
  minOpset: () => 13,
  learns: () => 'scales',
  encode(m) {
    const values = rowMajor(m);
    const scale = new Float32Array(m.rows);
    const codes = new Uint8Array(values.length).fill(1);
    for (let r = 0; r < m.rows; r++) {
      const row = values.subarray(r * m.columns, (r + 1) * m.columns);
      const sorted = row.map(Math.abs).filter(Number.isFinite).sort().reverse();
      let sum = 0;
      let best = -1;
      let threshold = Infinity;
      sorted.forEach((x, k) => {
        sum += x;
        if (sum ** 2 / (k + 1) > best && x > 0) {
          best = sum ** 2 / (k + 1);
          threshold = x;
          scale[r] = sum / (k + 1);
        }
      });
      row.forEach((x, c) => {
        if (Math.abs(x) >= threshold) codes[r * m.columns + c] = x > 0 ? 2 : 0;
      });
    }
    return {
      ...packed(codes, 3, [m.rows, m.columns]),
      levels: Tensor.f32([-1, 0, 1]),
      scale: Tensor.f32(scale, [m.rows, 1]),
    };
  },
} satisfies Coding<z.output<typeof none>>;

/** Mean magnitude of the finite elements of each row. */
function rowMeans(values: Float32Array, { rows, columns }: Matrix): Float32Array {
  return Float32Array.from({ length: rows }, (_, r) => {
    let sum = 0;
    let n = 0;
    for (let c = 0; c < columns; c++) {
      const a = Math.abs(values[r * columns + c]!);
      if (Number.isFinite(a)) {
        sum += a;
        n++;
      }
    }
    return n ? sum / n : 0;
  });
}
