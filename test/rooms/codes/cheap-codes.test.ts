/** Codes chosen by error and bits: what they cost, against a search over all codes and what theory says. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { cheapCodes, type CodedValues } from '../../../src/codes/cheap-codes.js';
import { cheapLevels } from '../../../src/codes/cheap-levels.js';
import type { CodeGrid } from '../../../src/scheme/codings/chosen.js';

const rng = createRng(3);
const n = 8000;
const target = Float32Array.from({ length: n }, () => rng.normal());
const given = (more: Partial<CodedValues> = {}): CodedValues => ({
  target,
  importance: new Float32Array(n).fill(1 / n),
  part: new Int32Array(n),
  scale: [4 / 127],
  zeroPoint: [0],
  low: -128,
  high: 127,
  scales: true,
  ...more,
});

describe('cheapCodes', () => {
  it('are the nearest at a price of 0, with the entropy of their counts', () => {
    const v = given({
      target: [0, 0.03, 0.05, -9, NaN],
      part: new Int32Array(5),
      importance: [1, 1, 1, 1, 1],
      scale: [0.1],
    });
    const { codes, scale, bits } = cheapCodes({ ...v, low: -4, high: 3 }, 0);
    expect([...codes]).toEqual([0, 0, 0, -4, 0]); // half to even
    expect([...scale]).toEqual([Math.fround(0.1)]);
    expect(bits).toBeCloseTo(-4 * Math.log2(0.8) - Math.log2(0.2), 9);
  });
  it('of a Gaussian come within 0.1 bit of the best that scalar codes can: R(D) and a quarter of a bit', () => {
    for (const price of [1e-7, 1e-6, 4e-6]) {
      const { error, bits } = cheapCodes(given(), price);
      const least = 0.5 * Math.log2(1 / error);
      expect(bits / n - least).toBeLessThan(0.255 + 0.1);
    }
  });
  it('are the same where the weights and their scale have the other sign', () => {
    const price = 2e-6;
    const [plain, mirrored] = [given(), given({ target: target.map((x) => -x), scale: [-4 / 127] })];
    const [a, b] = [cheapCodes(plain, price), cheapCodes(mirrored, price)];
    expect(b.codes).toEqual(a.codes);
    expect([...b.scale]).toEqual([...a.scale].map((s) => -s));
    expect(b.zeroPoint).toEqual(a.zeroPoint);
  });
  it('cost less, error and bits together, than the nearest codes of any scale', () => {
    const price = 2e-6;
    const cost = ({ error, bits }: { error: number; bits: number }): number => error + price * bits;
    const found = cost(cheapCodes(given(), price));
    for (let k = 1; k < 6; k += 0.25)
      expect(found).toBeLessThan(cost(cheapCodes(given({ scale: [(4 / 127) * k] }), 0)));
  });
  it('are fewer bits at more error as the price rises; scales alone stay where they must', () => {
    let [bits, error] = [Infinity, 0];
    for (const price of [1e-8, 1e-7, 1e-6, 1e-5]) {
      const fixed = cheapCodes(given({ scales: false }), price);
      expect(fixed.scale[0]).toBe(Math.fround(4 / 127));
      const made = cheapCodes(given(), price);
      expect(made.bits).toBeLessThan(bits);
      expect(made.error).toBeGreaterThan(error);
      [bits, error] = [made.bits, made.error];
    }
  });
  it('keep zero on the grid where zero points are not 0', () => {
    const v = given({ zeroPoint: [100], low: 0, high: 255 });
    const { codes, scale, zeroPoint, error } = cheapCodes(v, 1e-5);
    expect(zeroPoint[0]).toBe(Math.round((100 * (4 / 127)) / scale[0]!));
    expect(Math.min(...codes)).toBeGreaterThanOrEqual(0);
    // The range ends at −3.15, beyond which there is hardly anything.
    expect(error / cheapCodes(given(), 1e-5).error).toBeCloseTo(1, 2);
  });
  it('err less where errors count more', () => {
    const importance = Float32Array.from({ length: n }, (_, i) => (i % 2 ? 1.9 : 0.1) / n);
    const { codes, scale } = cheapCodes(given({ importance }), 1e-5);
    const error = (odd: number): number =>
      target.reduce((s, x, i) => (i % 2 === odd ? s + (x - codes[i]! * scale[0]!) ** 2 : s), 0);
    expect(error(1)).toBeLessThan(0.8 * error(0));
  });
});

describe('cheapLevels', () => {
  const grid = (levels: number[], codes: number[], scale?: number[]): CodeGrid => ({
    ...{ levels: Float32Array.from(levels), count: 4, codes: Int32Array.from(codes), width: codes.length },
    ...{ size: codes.length, scale: scale && Float32Array.from(scale) },
  });
  const values = [0, 0, 0, 0, 0, 0, 1.02, 2, 3];
  const start = [0, 0, 0, 0, 0, 0, 1, 2, 3];
  const ones = values.map(() => 1);
  it('stay at a price of 0', () => {
    const { grid: made, error } = cheapLevels(values, ones, grid([0, 1, 2, 3], start), 0, true);
    expect([...made.codes]).toEqual(start);
    expect(error).toBeCloseTo(0.0004, 6);
  });
  it('give up rare values as the price rises, and those that may move take their means', () => {
    const fixed = cheapLevels(values, ones, grid([0, 1, 2, 3], start), 0.8, false);
    expect([...fixed.grid.levels]).toEqual([0, 1, 2, 3]);
    expect([...fixed.grid.codes].slice(0, 6)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(fixed.grid.codes[6]).toBe(0);
    const free = cheapLevels(values, ones, grid([0, 1, 2, 3], start), 0.8, true);
    expect(free.error).toBeLessThan(fixed.error);
    expect([...free.grid.levels]).toEqual([...free.grid.levels].sort((a, b) => a - b));
  });
  it('are in units of scales', () => {
    const { grid: made, error } = cheapLevels(
      [0, 10, 20, 30],
      [1, 1, 1, 1],
      grid([0, 1, 2, 3], [0, 1, 2, 3], [10]),
      0,
      true,
    );
    expect([...made.codes]).toEqual([0, 1, 2, 3]);
    expect(error).toBe(0);
  });
});
