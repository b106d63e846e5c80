import { describe, expect, it } from 'vitest';
import { quantize } from '../../../src/scheme/arithmetic.js';
import { biasParams, quantizeBias } from '../../../src/scheme/bias.js';
import { dataRange } from '../../../src/scheme/layout.js';
import { chooseParams } from '../../../src/scheme/params.js';
import type { QuantScheme } from '../../../src/scheme/types.js';
import { bitsOf, bytesOf, floatsOf, readGolden } from './golden.js';

type IntType = 'int8' | 'uint8' | 'int16' | 'uint16' | 'int4' | 'uint4';
interface Case {
  tensor: string;
  dtype: IntType;
  symmetric: boolean;
  scale: string;
  codes: string;
}
interface Golden {
  tensors: Record<string, string>;
  perTensor: (Case & { zeroPoint: number })[];
  ranges: { min: string; max: string; chosen: [IntType, boolean, string, number][] }[];
  perChannel: (Case & { dims: number[]; axis: number; values: string; zeroPoint: number[] })[];
  bias: {
    name: string;
    bias: string;
    inputScale: string;
    weightScale: string;
    changed: boolean;
    adjustedWeightScale: string;
    biasScale: string;
    codes: string;
  }[];
}
const golden = readGolden<Golden>('ort-minmax.json');

/** Where the float32 width overflows, onnxruntime's scale is infinite; ours is not. */
const overflows = (scale: Float32Array): boolean => !scale.every(Number.isFinite);

/** numpy holds codes in the type itself, or one byte each below 8 bits. */
function codesOf(base64: string, dtype: IntType): number[] {
  const bytes = bytesOf(base64);
  switch (dtype) {
    case 'int8':
    case 'int4':
      return [...new Int8Array(bytes.buffer)];
    case 'uint8':
    case 'uint4':
      return [...bytes];
    case 'int16':
      return [...new Int16Array(bytes.buffer)];
    case 'uint16':
      return [...new Uint16Array(bytes.buffer)];
  }
}

describe('parameters and codes equal those of onnxruntime.quantization', () => {
  it.each(Object.entries(golden.tensors))('per tensor: %s', (name, values) => {
    const x = floatsOf(values);
    const cases = golden.perTensor.filter((c) => c.tensor === name);
    expect(cases).toHaveLength(12);
    for (const c of cases) {
      const scheme: QuantScheme = { dtype: c.dtype, symmetric: c.symmetric, granularity: { kind: 'tensor' } };
      const params = chooseParams(dataRange(x, [x.length], scheme.granularity), scheme);
      const what = `${name} ${c.dtype} ${c.symmetric ? 'symmetric' : 'asymmetric'}`;
      const expected = floatsOf(c.scale);
      if (overflows(expected)) {
        expect(params.scale[0], what).toBeLessThan(Infinity);
        continue;
      }
      expect(bitsOf(params.scale), what).toEqual(bitsOf(expected));
      expect([...params.zeroPoint], what).toEqual([c.zeroPoint]);
      expect(quantize(x, [x.length], params).numbers(), what).toEqual(codesOf(c.codes, c.dtype));
    }
  });

  it('for ranges alone', () => {
    for (const { min, max, chosen } of golden.ranges) {
      const range = { min: Float64Array.from(floatsOf(min)), max: Float64Array.from(floatsOf(max)) };
      for (const [dtype, symmetric, scale, zeroPoint] of chosen) {
        const params = chooseParams(range, { dtype, symmetric, granularity: { kind: 'tensor' } });
        const what = `[${range.min[0]}, ${range.max[0]}] ${dtype} ${symmetric}`;
        if (overflows(floatsOf(scale))) {
          expect(params.scale[0], what).toBeLessThan(Infinity);
          continue;
        }
        expect(bitsOf(params.scale), what).toEqual(bitsOf(floatsOf(scale)));
        expect(params.zeroPoint[0], what).toBe(zeroPoint);
      }
    }
  });

  it.each(
    golden.perChannel.map(
      (c) => [`${c.tensor} axis ${c.axis} ${c.dtype} ${c.symmetric ? 'symmetric' : 'asymmetric'}`, c] as const,
    ),
  )('per channel: %s', (_, c) => {
    const x = floatsOf(c.values);
    const scheme: QuantScheme = { dtype: c.dtype, symmetric: c.symmetric, granularity: { kind: 'axis', axis: c.axis } };
    const params = chooseParams(dataRange(x, c.dims, scheme.granularity), scheme);
    expect(bitsOf(params.scale)).toEqual(bitsOf(floatsOf(c.scale)));
    expect([...params.zeroPoint]).toEqual(c.zeroPoint);
    expect(quantize(x, c.dims, params).numbers()).toEqual(codesOf(c.codes, c.dtype));
  });

  it.each(golden.bias.map((c) => [c.name, c] as const))('bias: %s', (_, c) => {
    const bias = floatsOf(c.bias);
    const made = biasParams(bias, floatsOf(c.inputScale)[0]!, floatsOf(c.weightScale));
    expect(made.raised.length > 0).toBe(c.changed);
    expect(bitsOf(made.weightScale)).toEqual(bitsOf(floatsOf(c.adjustedWeightScale)));
    expect(bitsOf(made.params.scale)).toEqual(bitsOf(floatsOf(c.biasScale)));
    expect(quantizeBias(bias, made.params).numbers()).toEqual([...new Int32Array(bytesOf(c.codes).buffer)]);
  });
});
