import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { createRng } from '../../../src/base/rng.js';
import { bfloat16ToNumber, float16ToNumber, float8Table } from '../../../src/ir/convert.js';
import { dtypeBits, DTYPES, type DType } from '../../../src/ir/dtype.js';
import {
  encodeTensor,
  numberToBfloat16,
  numberToFloat4,
  numberToFloat8,
  numberToFloat8e8m0,
} from '../../../src/ir/encode.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { REFERENCE_OPERATORS } from '../../../src/scheme/reference/index.js';

const SMALL: readonly DType[] = [
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
  'float8e8m0',
  'float4e2m1',
  'int8',
  'uint8',
  'int4',
  'uint4',
  'int2',
  'uint2',
];

describe('encoders', () => {
  it.each(SMALL)('%s: every byte survives decoding and encoding, but for NaN', (dtype) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const n = (256 * 8) / dtypeBits(dtype);
    const values = new Tensor(dtype, [n], bytes).f64();
    const back = encodeTensor(dtype, [n], values, { saturate: false });
    const again = back.f64();
    expect(again).toEqual(values);
    if (!values.some(Number.isNaN)) expect(back.bytes()).toEqual(bytes);
  });

  it.each([
    ['float16', float16ToNumber],
    ['bfloat16', bfloat16ToNumber],
  ] as const)('%s: every code survives', (dtype, decode) => {
    const codes = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((c) => !Number.isNaN(decode(c)));
    const tensor = encodeTensor(dtype, [codes.length], Float64Array.from(codes, decode));
    expect(Buffer.compare(tensor.bytes(), new Uint8Array(codes.buffer))).toBe(0);
  });

  it('bfloat16 rounds half to even', () => {
    expect([1 + 2 ** -8, 1 + 3 * 2 ** -8, 3.4e38, NaN].map(numberToBfloat16)).toEqual([0x3f80, 0x3f82, 0x7f80, 0x7fc0]);
  });

  it.each(['float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz'] as const)(
    '%s gives the nearest finite value',
    (dtype) => {
      const rng = createRng(5);
      const table = float8Table(dtype).filter(Number.isFinite);
      for (let i = 0; i < 2000; i++) {
        const x = rng.normal() * 10 ** (rng.int(8) - 3);
        const got = float8Table(dtype)[numberToFloat8(dtype, x)]!;
        expect(Math.abs(got - x)).toBe(table.reduce((best, v) => Math.min(best, Math.abs(v - x)), Infinity));
      }
    },
  );

  it('overflow saturates or not, as asked', () => {
    const value = (dtype: 'float8e4m3fn' | 'float8e5m2' | 'float8e4m3fnuz', x: number, saturate: boolean): number =>
      float8Table(dtype)[numberToFloat8(dtype, x, saturate)]!;
    expect([
      value('float8e4m3fn', 464, false),
      value('float8e4m3fn', 465, false),
      value('float8e4m3fn', -1e9, true),
    ]).toEqual([448, NaN, -448]);
    expect([
      value('float8e5m2', 61439, false),
      value('float8e5m2', 61440, false),
      value('float8e5m2', Infinity, true),
    ]).toEqual([57344, Infinity, 57344]);
    expect([value('float8e4m3fnuz', 248, false), value('float8e4m3fnuz', -0, true)]).toEqual([NaN, 0]);
    expect([numberToFloat4(1e9), numberToFloat4(-0.26), numberToFloat4(5), numberToFloat4(0.25)]).toEqual([7, 9, 6, 0]);
  });

  it('float8e8m0 rounds as asked', () => {
    expect((['up', 'down', 'nearest'] as const).map((r) => numberToFloat8e8m0(1.25, true, r) - 127)).toEqual([1, 0, 0]);
    expect([numberToFloat8e8m0(3e38), numberToFloat8e8m0(3e38, false), numberToFloat8e8m0(NaN)]).toEqual([
      254, 255, 255,
    ]);
  });

  it('refuses types that hold no numbers', () => {
    for (const dtype of DTYPES.filter((d) => d === 'string' || d.startsWith('complex')))
      expect(() => encodeTensor(dtype, [1], [1])).toThrow(QuantError);
  });
});

it('Cast keeps the low bits of wide integers', () => {
  const x = Tensor.i64([2n ** 62n + 5n, -1n]);
  expect(REFERENCE_OPERATORS.Cast([x], { to: 6 })[0]!.ints()).toEqual([5n, -1n]);
  expect(REFERENCE_OPERATORS.Cast([x], { to: 13 })[0]!.ints()).toEqual([2n ** 62n + 5n, 2n ** 64n - 1n]);
  expect(REFERENCE_OPERATORS.Cast([x], { to: 22 })[0]!.ints()).toEqual([5n, -1n]);
});
