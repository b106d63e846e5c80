/** Weights in narrower float types. */
import { z } from 'zod';
import { encodeTensor } from '../../ir/encode.js';
import { Tensor } from '../../ir/tensor.js';
import { blockMaxima, paddedWidth, rowMajor } from './matrix.js';
import type { Coding, Matrix } from './types.js';

const none = z.strictObject({});
const ON_LOAD =
  'onnxruntime turns it back into float32 when the model is loaded: the file is smaller, speed and memory are ' +
  'those of float32.';
const dimsOf = (m: Matrix, size = m.columns): number[] => [m.rows, paddedWidth(m.columns, size)];

/** IEEE binary16: 11 bits of precision, up to 65504. */
export const float16 = {
  name: 'float16',
  doc: 'float16 weights: half the size. Weights beyond 65504 stay float32.',
  runs: ON_LOAD,
  options: none,
  minOpset: () => 13,
  refusal({ values }) {
    const most = blockMaxima(values, values.length)[0] ?? 0;
    return most >= 65520 ? `it holds ${most}, beyond the range of float16` : undefined;
  },
  encode: (m) => ({ codes: encodeTensor('float16', dimsOf(m), rowMajor(m)) }),
} satisfies Coding<z.output<typeof none>>;

/** 8 bits of precision with the range of float32. */
export const bfloat16 = {
  name: 'bfloat16',
  doc: 'bfloat16 weights: half the size, the range of float32, 8 bits of precision.',
  runs: ON_LOAD,
  options: none,
  minOpset: () => 13,
  encode: (m) => ({ codes: encodeTensor('bfloat16', dimsOf(m), rowMajor(m)) }),
} satisfies Coding<z.output<typeof none>>;

/** Codes of a float8 type with one float32 scale a row that maps the largest weight to the largest code. */
function float8(
  name: string,
  dtype: 'float8e4m3fn' | 'float8e5m2',
  largest: number,
  doc: string,
): Coding<z.output<typeof none>> {
  return {
    name,
    doc,
    runs: `${ON_LOAD} GPUs from NVIDIA Hopper on compute with it.`,
    options: none,
    minOpset: () => 19,
    encode(m) {
      const values = rowMajor(m);
      const scale = blockMaxima(values, m.columns).map((x) => normal(Math.fround(x / largest)));
      return {
        codes: encodeTensor(
          dtype,
          dimsOf(m),
          values.map((x, i) => x / scale[Math.floor(i / m.columns)]!),
        ),
        scale: Tensor.f32(scale, [m.rows, 1]),
      };
    },
  };
}
export const float8e4m3 = float8(
  'float8e4m3',
  'float8e4m3fn',
  448,
  'float8 with 4 bits of exponent and 3 of mantissa, one scale per channel: a quarter of the size.',
);
export const float8e5m2 = float8(
  'float8e5m2',
  'float8e5m2',
  57344,
  'float8 with 5 bits of exponent and 2 of mantissa, one scale per channel: a quarter of the size, coarser ' +
    'than float8e4m3.',
);

/** Scales below the normal numbers are not used: runtimes flush them to zero. */
const normal = (x: number): number => (x >= 2 ** -126 ? x : 1);

const FLOAT4 = Tensor.f32([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6]);
const mxOptions = z.strictObject({
  element: z.enum(['float4e2m1', 'float8e4m3fn', 'float8e5m2']).default('float4e2m1').describe('Type of the elements.'),
});
/** Largest exponent and largest value of the element types. */
const MX = { float4e2m1: [2, 6], float8e4m3fn: [8, 448], float8e5m2: [15, 57344] } as const;

/**
 * Blocks of 32 elements share a power of two, 2^(⌊log2 max⌋ − largest exponent of the element).
 * source: OCP Microscaling Formats v1.0, sections 5.2 and 6.3
 */
export const mx = {
  name: 'mx',
  doc: 'MX block floats: 32 neighbours share a power of two (float8e8m0); elements of 4 or 8 bits.',
  options: mxOptions,
  runs: `${ON_LOAD} float4e2m1 is stored as uint4 with a table, for onnxruntime has no kernel for the type on CPUs.`,
  minOpset: () => 24,
  encode(m, { element }) {
    const block = 32;
    const values = rowMajor(m, block);
    const [exponent, largest] = MX[element];
    const powers = blockMaxima(values, block).map((x) =>
      x > 0 ? 2 ** Math.min(127, Math.max(-126, Math.floor(Math.log2(x)) - exponent)) : 1,
    );
    const scaled = values.map((x, i) => Math.max(-largest, Math.min(largest, x / powers[Math.floor(i / block)]!)));
    const scale = encodeTensor('float8e8m0', [m.rows, dimsOf(m, block)[1]! / block], powers); // two sizes
    return { ...elements(element, scaled, dimsOf(m, block)), scale, block };
  },
} satisfies Coding<z.output<typeof mxOptions>>;

/**
 * NVFP4: blocks of 16 elements with a float8e4m3 scale each, and one float32 scale. source: NVIDIA, "Introducing NVFP4"
 */
export const nvfp4 = {
  name: 'nvfp4',
  doc: 'NVFP4 block floats: 16 neighbours of 4 bits share a float8e4m3 scale, the tensor a float32 one.',
  options: none,
  runs:
    `${ON_LOAD} Stored as uint4 with a table, for onnxruntime has no kernel for float4e2m1 on CPUs; GPUs from ` +
    'NVIDIA Blackwell on compute with it.',
  minOpset: () => 21,
  encode(m) {
    const block = 16;
    const values = rowMajor(m, block);
    const maxima = blockMaxima(values, block);
    const factor = normal(Math.fround(Math.max(0, ...chunkMaxima(maxima)) / (6 * 448)));
    const scale = encodeTensor(
      'float8e4m3fn',
      [m.rows, dimsOf(m, block)[1]! / block],
      maxima.map((x) => x / 6 / factor),
    ); // two sizes
    const used = scale.f32();
    const scaled = values.map((x, i) => {
      const s = used[Math.floor(i / block)]! * factor;
      return s > 0 ? x / s : 0;
    });
    return { ...elements('float4e2m1', scaled, dimsOf(m, block)), scale, factor, block };
  },
} satisfies Coding<z.output<typeof none>>;

/** Maxima of pieces that fit into one call's arguments. */
function chunkMaxima(values: Float32Array): number[] {
  const out: number[] = [];
  for (let i = 0; i < values.length; i += 4096) out.push(Math.max(...values.subarray(i, i + 4096)));
  return out;
}

function elements(
  type: 'float4e2m1' | 'float8e4m3fn' | 'float8e5m2',
  values: Float32Array,
  dims: readonly number[],
): { codes: Tensor; levels?: Tensor } {
  const codes = encodeTensor(type, dims, values);
  return type === 'float4e2m1' ? { codes: new Tensor('uint4', dims, codes.bytes()), levels: FLOAT4 } : { codes };
}
