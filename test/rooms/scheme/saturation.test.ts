/** Pairs of codes against the int16 arithmetic of the kernels, pair by pair. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import {
  anyPairCodes,
  besidePair,
  halvedCodes,
  pairSaturates,
  unsaturatedCodes,
} from '../../../src/scheme/saturation.js';

/** Whether some two uint8 inputs take the sum of products out of int16: the largest inputs do, or none. */
const overflows = (a: number, b: number): boolean =>
  [0, 255].some((x) => [0, 255].some((y) => Math.abs(x * a + y * b + 0.5) > 32768));
const CODES = Array.from({ length: 256 }, (_, i) => i - 128);

it('pairs saturate where 255 times both leaves int16, and only there', () => {
  for (const a of CODES)
    for (const b of CODES) if (pairSaturates(a, b) !== overflows(a, b)) expect([a, b]).toBe('agree');
});
it('a code beside another is the nearest that fits', () => {
  const some = CODES.filter((c) => c % 7 === 0 || Math.abs(c) > 125);
  for (const a of some)
    for (const mate of some) {
      const fitting = CODES.filter((c) => !overflows(c, mate));
      const nearest = Math.min(...fitting.map((c) => Math.abs(c - a)));
      if (Math.abs(besidePair(a, mate) - a) !== nearest || overflows(besidePair(a, mate), mate))
        expect([a, mate, besidePair(a, mate)]).toBe('nearest');
    }
});

describe('codes of rows', () => {
  const rng = createRng(3, 'saturation.test');
  const columns = 9;
  const values = Float64Array.from({ length: 6 * columns }, () => rng.normal() * 30 + 60);
  const rows = { values, columns, scale: 1, zeroPoint: 0, low: -128, high: 127 };
  const squares = ({ codes, scale }: { codes: Int32Array; scale: number }): number =>
    values.reduce((sum, x, i) => sum + (x - codes[i]! * scale) ** 2, 0);
  const pairs = (codes: Int32Array): [number, number][] =>
    [...codes.keys()]
      .filter((i) => (i % columns) % 2 === 0 && i % columns < columns - 1)
      .map((i) => [codes[i]!, codes[i + 1]!]);

  it('have no pair that saturates, and err no more than those at twice the scale', () => {
    expect(pairs(Int32Array.from(values, Math.round)).some(([a, b]) => overflows(a, b))).toBe(true);
    const made = unsaturatedCodes(rows)!; // some pair saturates
    expect(pairs(made.codes).filter(([a, b]) => overflows(a, b))).toEqual([]);
    expect(pairs(halvedCodes(rows).codes).filter(([a, b]) => overflows(a, b))).toEqual([]);
    expect(squares(made)).toBeLessThanOrEqual(squares(halvedCodes(rows)));
  });
  it('at their own scale give way to the nearest two codes on the limit', () => {
    const made = unsaturatedCodes(rows, 1)!; // as above
    expect(made.scale).toBe(1);
    const wanted = pairs(Int32Array.from(values, Math.round));
    pairs(made.codes).forEach(([a, b], i) => {
      const [x, y] = wanted[i]!; // as many
      if (!overflows(x, y)) expect([a, b]).toEqual([x, y]);
      else expect(a + b).toBe(128);
    });
  });
  it('of any order have no two that saturate, and err less than 7 bits do', () => {
    const spread = Float64Array.from({ length: 8 * 40 }, (_, i) => rng.normal() * 9 + (i % 40 ? 0 : 90));
    const seven = {
      values: spread,
      columns: 40,
      scale: Math.max(...spread) / 63.5,
      zeroPoint: 0,
      low: -128,
      high: 127,
    };
    const alike = { channels: 20, withinChannel: 1, overall: 0.5 };
    for (const made of [anyPairCodes(seven), anyPairCodes({ ...seven, alike })])
      for (let start = 0; start < spread.length; start += 40) {
        const row = made.codes.subarray(start, start + 40);
        for (const [i, a] of row.entries())
          for (const b of row.subarray(0, i)) if (overflows(a, b)) expect([a, b]).toBe('safe');
      }
    const made = anyPairCodes(seven);
    expect(Math.max(...made.codes)).toBeGreaterThan(64);
    const error = (codes: ArrayLike<number>, scale: number): number =>
      spread.reduce((sum, x, i) => sum + (x - codes[i]! * scale) ** 2, 0);
    const rounded = spread.map((x) => Math.max(-64, Math.min(63, Math.round(x / seven.scale))));
    expect(error(made.codes, made.scale)).toBeLessThan(0.7 * error(rounded, seven.scale));
    const sums = (codes: ArrayLike<number>, scale: number): number =>
      Array.from({ length: 8 }, (_, r) =>
        spread.subarray(40 * r, 40 * r + 40).reduce((sum, x, i) => sum + x - codes[40 * r + i]! * scale, 0),
      ).reduce((sum, e) => sum + e * e, 0);
    const shared = anyPairCodes({ ...seven, alike });
    expect(sums(shared.codes, shared.scale)).toBeLessThan(0.2 * sums(made.codes, made.scale));
  });
  it('that are not finite, or zero throughout, are defined', () => {
    const some = Float64Array.of(NaN, Infinity, -Infinity, 1, 0, 2);
    const { codes } = anyPairCodes({ values: some, columns: 6, scale: 1, zeroPoint: 0, low: -128, high: 127 });
    expect([...codes]).toEqual([0, 126, -128, 1, 0, 2]);
    const none = { values: new Float64Array(6), columns: 3, scale: 1, zeroPoint: 0, low: -128, high: 127 };
    expect(anyPairCodes(none)).toMatchObject({ scale: 1, codes: new Int32Array(6) });
  });
  it('that cannot saturate stay as they are', () => {
    expect(unsaturatedCodes({ ...rows, values: values.map((x) => x / 4) })).toBeUndefined();
  });
});
