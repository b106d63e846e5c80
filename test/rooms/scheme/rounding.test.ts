import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { roundHalfEven, roundingFunction } from '../../../src/scheme/rounding.js';
import type { Rounding } from '../../../src/scheme/types.js';

describe('rounding', () => {
  const inputs = [-2.5, -1.5, -0.5, -0.4, 0.5, 0.6, 1.5, 2.5, 2.4999999999999996, 0.49999999999999994];
  const expected: Record<Exclude<Rounding, 'stochastic'>, number[]> = {
    'half-even': [-2, -2, 0, 0, 0, 1, 2, 2, 2, 0],
    'half-away': [-3, -2, -1, 0, 1, 1, 2, 3, 2, 0],
    'toward-zero': [-2, -1, 0, 0, 0, 0, 1, 2, 2, 0],
    floor: [-3, -2, -1, -1, 0, 0, 1, 2, 2, 0],
    ceil: [-2, -1, 0, 0, 1, 1, 2, 3, 3, 1],
  };
  // expect's toEqual tells −0 from 0, so this also asserts that no rule gives −0.
  it.each(Object.entries(expected))('%s', (rule, results) => {
    const round = roundingFunction(rule as Rounding, createRng(1)); // the keys above are rules
    expect(inputs.map(round)).toEqual(results);
  });

  it('half-even agrees with the definition on random and large numbers', () => {
    const rng = createRng(7);
    for (let i = 0; i < 20_000; i++) {
      const x = rng.normal() * 10 ** rng.int(17) + (rng.int(4) === 0 ? 0.5 : 0);
      const low = Math.floor(x);
      const rest = x - low;
      const want = rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
      expect(roundHalfEven(x)).toBe(want + 0);
    }
    expect([2 ** 51 + 0.5, 2 ** 51 + 1.5, -(2 ** 51) - 0.5, Infinity, -Infinity, NaN].map(roundHalfEven)).toEqual([
      2 ** 51,
      2 ** 51 + 2,
      -(2 ** 51),
      Infinity,
      -Infinity,
      NaN,
    ]);
  });

  it('stochastic rounds up as often as the fraction says, and is repeatable', () => {
    const draw = (): number[] => {
      const round = roundingFunction('stochastic', createRng(3));
      return Array.from({ length: 20_000 }, () => round(1.3));
    };
    const drawn = draw();
    expect(draw()).toEqual(drawn);
    expect(new Set(drawn)).toEqual(new Set([1, 2]));
    // Five standard deviations of a mean of 20,000 draws: 5·√(0.3·0.7/20000) = 0.016.
    expect(Math.abs(drawn.reduce((s, v) => s + v, 0) / drawn.length - 1.3)).toBeLessThan(0.016);
    const round = roundingFunction('stochastic', createRng(3));
    expect([-2, 0, 5].map(round)).toEqual([-2, 0, 5]);
  });
});
