import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { solveChoices, type Choice } from '../../../src/quantize/knapsack.js';

const totals = (layers: readonly (readonly Choice[])[], chosen: readonly number[]): Choice =>
  chosen.reduce((t, c, i) => ({ cost: t.cost + layers[i]![c]!.cost, loss: t.loss + layers[i]![c]!.loss }), {
    cost: 0,
    loss: 0,
  });

/** The least loss within the budget, by trying everything. */
function bruteForce(layers: readonly (readonly Choice[])[], budget: number, from = 0): number {
  if (from === layers.length) return budget >= -1e-12 ? 0 : Infinity;
  return Math.min(...layers[from]!.map((c) => c.loss + bruteForce(layers, budget - c.cost, from + 1)));
}

describe('solveChoices', () => {
  it('finds what trying everything finds, and greedily never more than the budget', () => {
    const rng = createRng(3, 'knapsack');
    let better = 0;
    for (let round = 0; round < 60; round++) {
      const layers = Array.from({ length: 6 }, () =>
        Array.from({ length: 3 }, () => ({ cost: Math.floor(rng.next() * 50) + 1, loss: rng.next() })),
      );
      const budget = 40 + Math.floor(rng.next() * 150);
      const best = bruteForce(layers, budget);
      const exact = solveChoices(layers, budget, 'integer');
      const greedy = solveChoices(layers, budget, 'greedy');
      if (best === Infinity) {
        expect(exact).toBeUndefined();
        expect(greedy).toBeUndefined();
        continue;
      }
      expect(totals(layers, exact!).loss).toBeCloseTo(best, 12);
      expect(totals(layers, exact!).cost).toBeLessThanOrEqual(budget);
      expect(totals(layers, greedy!).cost).toBeLessThanOrEqual(budget);
      if (totals(layers, greedy!).loss > best + 1e-9) better++;
    }
    expect(better).toBeGreaterThan(0); // else the integer programme would be for nothing
  });
  it('takes the best of each layer where the budget allows it, and the cheaper of equals', () => {
    const layers = [
      [
        { cost: 4, loss: 0 },
        { cost: 2, loss: 0 },
        { cost: 1, loss: 1 },
      ],
      [
        { cost: 8, loss: 0 },
        { cost: 4, loss: 0.5 },
      ],
    ];
    expect(solveChoices(layers, 100, 'integer')).toEqual([1, 0]);
    expect(solveChoices(layers, 100, 'greedy')).toEqual([1, 0]);
  });
  it('leaves out choices that a layer cannot take', () => {
    const layers = [
      [
        { cost: Infinity, loss: Infinity },
        { cost: 3, loss: 2 },
      ],
      [
        { cost: 1, loss: 0 },
        { cost: 1, loss: 5 },
      ],
    ];
    for (const solver of ['greedy', 'integer'] as const) expect(solveChoices(layers, 4, solver)).toEqual([1, 0]);
    expect(solveChoices(layers, 3, 'integer')).toBeUndefined();
  });
  it('solves hundreds of layers', () => {
    const rng = createRng(5, 'many');
    const layers = Array.from({ length: 200 }, () => {
      const size = 1000 + Math.floor(rng.next() * 1e6);
      const loss = rng.next();
      return [
        { cost: size, loss: loss / 100 },
        { cost: size / 2, loss },
        { cost: size / 4, loss: loss * 9 },
      ];
    });
    const budget = layers.reduce((n, l) => n + l[0]!.cost, 0) * 0.6;
    const [greedy, exact] = (['greedy', 'integer'] as const).map((s) =>
      totals(layers, solveChoices(layers, budget, s)!),
    );
    expect(exact!.cost).toBeLessThanOrEqual(budget * (1 + 1e-9));
    expect(exact!.loss).toBeLessThanOrEqual(greedy!.loss);
  }, 30_000);
});

it('goes down where the least is lost for what is saved', () => {
  const whole = { cost: 10, loss: 0 };
  // 3 lost for 6 saved is cheaper than twice 2 lost for 3.
  const layers = [
    [whole, { cost: 4, loss: 3 }],
    [whole, { cost: 7, loss: 2 }],
    [whole, { cost: 7, loss: 2 }],
  ];
  expect(solveChoices(layers, 24, 'greedy')).toEqual([1, 0, 0]);
});
