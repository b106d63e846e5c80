import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { createRng } from '../../../src/base/rng.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { dequantize, fakeQuantize, quantize } from '../../../src/scheme/arithmetic.js';
import { biasParams, quantizeBias } from '../../../src/scheme/bias.js';
import { dataRange, layoutOf } from '../../../src/scheme/layout.js';
import { chooseParams, clipRange, codeRange, fixedParams } from '../../../src/scheme/params.js';
import { REFERENCE_OPERATORS } from '../../../src/scheme/reference/index.js';
import type { Granularity, QuantScheme } from '../../../src/scheme/types.js';
import { bitsOf } from './golden.js';

const DTYPES = ['int8', 'uint8', 'int16', 'uint16', 'int4', 'uint4', 'int2', 'uint2'] as const;
const GRANULARITIES: readonly Granularity[] = [
  { kind: 'tensor' },
  { kind: 'axis', axis: 0 },
  { kind: 'axis', axis: -1 },
  { kind: 'block', axis: 1, size: 3 },
  { kind: 'block', axis: 2, size: 16 },
];
const DIMS = [3, 7, 4];
const tensorScheme = (
  dtype: QuantScheme['dtype'],
  symmetric: boolean,
  more: Partial<QuantScheme> = {},
): QuantScheme => ({ dtype, symmetric, granularity: { kind: 'tensor' }, ...more });
const codeOf = (run: () => unknown): string => {
  try {
    run();
    return 'no error';
  } catch (e) {
    return e instanceof QuantError ? e.code : String(e);
  }
};

function randomTensor(seed: number): Float32Array {
  const rng = createRng(seed);
  const scale = 10 ** (rng.int(13) - 6);
  const shift = rng.int(3) - 1;
  return Float32Array.from({ length: 84 }, () => (rng.normal() + shift) * scale);
}

describe('properties, over seeds, types, granularities and symmetry', () => {
  const schemes = DTYPES.flatMap((dtype) =>
    [true, false].flatMap((symmetric) =>
      [true, false].flatMap((narrow) =>
        GRANULARITIES.map((granularity): QuantScheme => ({ dtype, symmetric, granularity, narrow })),
      ),
    ),
  );
  it.each([1, 2, 3, 4, 5])('seed %i', (seed) => {
    const x = randomTensor(seed);
    for (const scheme of schemes) {
      const what = JSON.stringify(scheme);
      const params = chooseParams(dataRange(x, DIMS, scheme.granularity), scheme);
      const layout = layoutOf(DIMS, scheme.granularity);
      expect(params.scale, what).toHaveLength(layout.count);
      const [low, high] = clipRange(scheme);
      const codes = quantize(x, DIMS, params);
      expect(codes.dtype).toBe(scheme.dtype);
      const numbers = codes.numbers();
      const back = dequantize(codes, params);
      expect(bitsOf(fakeQuantize(x, DIMS, params)), what).toEqual(bitsOf(back));
      expect(bitsOf(fakeQuantize(back, DIMS, params)), `idempotent ${what}`).toEqual(bitsOf(back));
      for (let p = 0; p < layout.count; p++) {
        expect(Number.isFinite(Math.fround(1 / params.scale[p]!)), what).toBe(true);
        expect(params.zeroPoint[p], what).toBeGreaterThanOrEqual(low);
        expect(params.zeroPoint[p], what).toBeLessThanOrEqual(high);
      }
      for (let i = 0, o = 0; o < layout.outer; o++)
        for (let a = 0; a < layout.length; a++)
          for (let k = 0; k < layout.inner; k++, i++) {
            const p =
              o * layout.outerStride + Math.floor(a / layout.group) * layout.groupStride + k * layout.innerStride;
            const s = params.scale[p]!;
            const z = params.zeroPoint[p]!;
            expect(numbers[i], what).toBeGreaterThanOrEqual(low);
            expect(numbers[i], what).toBeLessThanOrEqual(high);
            // Half a step, where the value is inside what the codes reach; the rest is rounding of x, s and the product
            // in float32.
            const reach = Math.min(Math.max(x[i]!, (low - z) * s), (high - z) * s);
            expect(Math.abs(back[i]! - reach), what).toBeLessThanOrEqual(s / 2 + (high - low) * s * 2 ** -22);
          }
    }
  });

  it('zero is represented exactly, whatever the range', () => {
    const rng = createRng(11);
    for (let i = 0; i < 300; i++) {
      const range = {
        min: Float64Array.of(rng.normal() * 10 ** (rng.int(60) - 30)),
        max: Float64Array.of(rng.normal() * 10 ** (rng.int(60) - 30)),
      };
      for (const dtype of DTYPES)
        for (const symmetric of [true, false]) {
          expect(
            fakeQuantize(Float32Array.of(0, -0), [2], chooseParams(range, tensorScheme(dtype, symmetric))),
          ).toEqual(Float32Array.of(0, 0));
        }
    }
  });
});

describe('ranges of codes', () => {
  it('symmetric int8 is spread over −127..127, but int4 over all codes', () => {
    expect(codeRange(tensorScheme('int8', true))).toEqual([-127, 127]);
    expect(clipRange(tensorScheme('int8', true))).toEqual([-128, 127]);
    expect(codeRange(tensorScheme('int8', false))).toEqual([-128, 127]);
    expect(codeRange(tensorScheme('int16', true))).toEqual([-32767, 32767]);
    expect(codeRange(tensorScheme('int4', true))).toEqual([-8, 7]);
    expect(codeRange(tensorScheme('int4', true, { narrow: true }))).toEqual([-7, 7]);
    expect(codeRange(tensorScheme('uint8', true))).toEqual([0, 255]);
    expect(codeRange(tensorScheme('uint2', false))).toEqual([0, 3]);
  });
});

describe('ranges that onnxruntime leaves undefined', () => {
  it.each([
    ['NaN bounds count as zero', NaN, NaN, 1, 0],
    ['an empty range gives scale 1', Infinity, -Infinity, 1, 0],
    ['denormal data give scale 1', -1e-40, 1e-40, 1, 0],
    ['infinity counts as the largest float32', -Infinity, Infinity, Math.fround((2 * 3.4028234663852886e38) / 255), 0],
    ['one NaN leaves the other bound', NaN, 127.5, 0.5, -128],
  ])('%s', (_, min, max, scale, zeroPoint) => {
    const params = chooseParams({ min: Float64Array.of(min), max: Float64Array.of(max) }, tensorScheme('int8', false));
    expect(params.scale[0]).toBe(scale);
    expect(params.zeroPoint[0]).toBe(zeroPoint);
  });
});

describe('quantize', () => {
  const params = fixedParams(tensorScheme('uint8', false), 0.5, 10);
  it('rounds half to even before adding the zero point, saturates, and maps NaN to the zero point', () => {
    const x = Float32Array.of(0.25, 0.75, -0.25, 1e9, -1e9, Infinity, -Infinity, NaN);
    expect(quantize(x, [8], params).numbers()).toEqual([10, 12, 10, 255, 0, 255, 0, 10]);
    expect(dequantize(quantize(x, [8], params), params)[7]).toBe(0);
  });
  it('follows the rounding of the scheme', () => {
    const x = Float32Array.of(0.25, -0.75);
    expect(quantize(x, [2], { ...params, scheme: { ...params.scheme, rounding: 'half-away' } }).numbers()).toEqual([
      11, 8,
    ]);
    expect(quantize(x, [2], { ...params, scheme: { ...params.scheme, rounding: 'floor' } }).numbers()).toEqual([10, 8]);
  });
  it('equals the reference operators for every granularity', () => {
    for (const granularity of GRANULARITIES) {
      const x = randomTensor(9);
      const scheme: QuantScheme = { dtype: 'int8', symmetric: false, granularity };
      const chosen = chooseParams(dataRange(x, DIMS, granularity), scheme);
      const { shape } = layoutOf(DIMS, granularity);
      const attributes: Record<string, number> = granularity.kind === 'tensor' ? {} : { axis: granularity.axis };
      if (granularity.kind === 'block') attributes['block_size'] = granularity.size;
      const scale = Tensor.f32(chosen.scale, shape);
      const zeroPoint = Tensor.codes('int8', chosen.zeroPoint, shape);
      const [codes] = REFERENCE_OPERATORS.QuantizeLinear([Tensor.f32(x, DIMS), scale, zeroPoint], attributes);
      expect(codes!.numbers()).toEqual(quantize(x, DIMS, chosen).numbers());
      const [back] = REFERENCE_OPERATORS.DequantizeLinear([codes, scale, zeroPoint], attributes);
      expect(bitsOf(back!.f32())).toEqual(bitsOf(dequantize(codes!, chosen)));
    }
  });
  it('keeps empty tensors empty', () => {
    expect(quantize(new Float32Array(0), [0, 3], params).size).toBe(0);
    expect(dataRange(new Float32Array(0), [0, 3], { kind: 'axis', axis: 1 })).toEqual({
      min: new Float64Array(3),
      max: new Float64Array(3),
    });
  });
});

describe('layouts', () => {
  it('give the shape of the scale, with a short last block', () => {
    expect(layoutOf([2, 6, 3], { kind: 'tensor' }).shape).toEqual([]);
    expect(layoutOf([2, 6, 3], { kind: 'axis', axis: 1 }).shape).toEqual([6]);
    expect(layoutOf([2, 6, 3], { kind: 'block', axis: 1, size: 4 }).shape).toEqual([2, 2, 3]);
  });
  it('find ranges per block and pass over NaN', () => {
    const x = Float32Array.of(1, NaN, -3, 4, NaN, NaN);
    expect(dataRange(x, [6], { kind: 'block', axis: 0, size: 2 })).toEqual({
      min: Float64Array.of(1, -3, 0),
      max: Float64Array.of(1, 4, 0),
    });
  });
});

describe('bias', () => {
  it('never has a scale of zero, even where the product underflows float32', () => {
    const { params, weightScale, raised } = biasParams(Float32Array.of(0, 1), 1e-30, Float32Array.of(1e-30, 1e-30));
    expect(raised).toEqual([0, 1]);
    expect([...params.scale].every((s) => s >= 2 ** -126)).toBe(true);
    expect([...weightScale].every(Number.isFinite)).toBe(true);
    expect(quantizeBias(Float32Array.of(0, 1), params).numbers()[0]).toBe(0);
  });
  it('leaves the given weight scales alone', () => {
    const weightScale = Float32Array.of(1e-12);
    const made = biasParams(Float32Array.of(100), 1e-4, weightScale);
    expect(weightScale[0]).toBe(Math.fround(1e-12));
    expect(made.weightScale[0]).toBeGreaterThan(1e-12);
    expect(Math.abs(quantizeBias(Float32Array.of(100), made.params).numbers()[0]!)).toBeLessThanOrEqual(2 ** 31 - 1);
  });
  it('stays finite for extreme biases, and maps NaN to 0 and clips', () => {
    const { params } = biasParams(Float32Array.of(1), 1, Float32Array.of(1));
    for (const input of [1e-37, 1, 1e20]) {
      const extreme = biasParams(Float32Array.of(3e38, 1), input, Float32Array.of(1e-9, 1));
      expect([...extreme.weightScale, ...extreme.params.scale].every(Number.isFinite)).toBe(true);
    }
    expect(quantizeBias(Float32Array.of(NaN), params).numbers()).toEqual([0]);
    expect(quantizeBias(Float32Array.of(1e20), params).numbers()).toEqual([2 ** 31 - 1]);
  });
});

describe('mistakes carry a code', () => {
  const params = fixedParams(tensorScheme('uint8', false), 0.5, 10);
  it.each([
    ['axis outside dims', () => layoutOf([2, 3], { kind: 'axis', axis: 2 })],
    ['block size 0', () => layoutOf([2, 3], { kind: 'block', axis: 0, size: 0 })],
    ['values that do not fill dims', () => quantize(new Float32Array(3), [2, 2], params)],
    [
      'scales that do not fit dims',
      () =>
        quantize(new Float32Array(4), [2, 2], {
          ...params,
          scheme: { ...params.scheme, granularity: { kind: 'axis', axis: 0 } },
        }),
    ],
    ['codes of another type', () => dequantize(Tensor.codes('int8', [1]), params)],
    ['scale 0', () => fixedParams(tensorScheme('int8', true), 0, 0)],
    ['scale NaN', () => fixedParams(tensorScheme('int8', true), NaN, 0)],
    ['a denormal scale', () => fixedParams(tensorScheme('int8', true), 1e-40, 0)],
    ['a zero point off the grid', () => fixedParams(tensorScheme('uint8', true), 1, 256)],
    [
      'a range of two lengths',
      () => chooseParams({ min: new Float64Array(1), max: new Float64Array(2) }, tensorScheme('int8', true)),
    ],
    ['a bias that does not fit its weight', () => biasParams(new Float32Array(3), 1, new Float32Array(2))],
    ['an activation scale of 0', () => biasParams(new Float32Array(1), 0, Float32Array.of(1))],
    ['a bias of NaN', () => biasParams(Float32Array.of(NaN), 1, Float32Array.of(1))],
    ['a missing input', () => REFERENCE_OPERATORS.QuantizeLinear([Tensor.f32([1])], {})],
    [
      'matrices that do not fit',
      () =>
        REFERENCE_OPERATORS.MatMulInteger(
          [Tensor.codes('int8', [1, 2], [1, 2]), Tensor.codes('int8', [1, 2, 3], [3, 1])],
          {},
        ),
    ],
    [
      'a kernel that does not fit',
      () =>
        REFERENCE_OPERATORS.ConvInteger(
          [Tensor.codes('uint8', [1, 2], [1, 2, 1, 1]), Tensor.codes('uint8', [1], [1, 1, 1, 1])],
          {},
        ),
    ],
  ])('%s', (_, run) => {
    expect(codeOf(run)).toBe('MODEL_TENSOR');
  });
});
