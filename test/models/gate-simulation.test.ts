/**
 * How often verdicts are wrong, by simulation: no cell may pass a model that is at its limit more often than it says.
 */
import { describe, expect, it } from 'vitest';
import { createRng, type Rng } from '../../src/base/rng.js';
import { pearsonOf } from '../../src/evaluate/statistics.js';
import { judgeRun } from '../../src/gate/index.js';
import { normal, rare, share, skewed, verdicts } from '../rooms/gate/draws.js';
import { runWith } from '../rooms/gate/helpers.js';

/**
 * At 95 % each side errs in 2.5 % of all sets; 1,000 sets of that have a standard error of 0.5 points, which leaves 5 %
 * far away.
 */
const MOST_WRONG = 0.05;

const cells = (
  [
    ['2 % flips', share(0.02), [0.005, 0.02]],
    ['5 % flips', share(0.05), [0.002, 0.01]],
    ['20 % flips', share(0.2), [0.002, 0.03]],
    ['normal drops', normal, [0.01, 0.03]],
    ['skewed drops', skewed, [0.01, 0.03]],
    ['rare large drops', rare, [0.01, 0.03]],
  ] as const
).flatMap(([name, draw, margins]) => margins.map((margin) => ({ name, draw, margin })));

describe.each(cells)('$name, margin $margin', ({ name, draw, margin }) => {
  it.each([20, 100, 400, 1000])('%d samples: a drop at the margin rarely passes and rarely fails', (n) => {
    const at = verdicts(draw, n, margin, margin, `${name} ${margin} ${n}`);
    expect(at.pass).toBeLessThanOrEqual(MOST_WRONG);
    expect(at.fail).toBeLessThanOrEqual(MOST_WRONG);
  });
  it('a drop just beyond the margin passes no more often', () => {
    expect(verdicts(draw, 200, margin * 1.05, margin, `beyond ${name} ${margin}`).pass).toBeLessThanOrEqual(MOST_WRONG);
  });
});

/**
 * Correlation of both models with labels, through bootstrap resamples as a run stores them; the drop is that of the
 * true correlations.
 */
function correlated(
  rng: Rng,
  n: number,
  rounds: number,
  float: number,
  quantized: number,
): { change: number; changes: number[] } {
  const draw = (): [number, number, number] => {
    const label = rng.normal();
    const common = rng.normal(); // both models err alike in part
    const score = (r: number): number => r * label + Math.sqrt(1 - r * r) * (0.8 * common + 0.6 * rng.normal());
    return [label, score(float), score(quantized)];
  };
  const rows = Array.from({ length: n }, draw);
  const change = (indices: ArrayLike<number>): number => {
    const [label, f, q] = [0, 1, 2].map((column) => Float64Array.from(indices, (i) => rows[i]![column]!)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ]; // three columns
    return (pearsonOf(label, q) ?? 0) - (pearsonOf(label, f) ?? 0);
  };
  const changes = Array.from({ length: rounds }, () => change(Uint32Array.from({ length: n }, () => rng.int(n)))).sort(
    (a, b) => a - b,
  );
  return { change: change(Uint32Array.from({ length: n }, (_, i) => i)), changes };
}

describe('correlations, by their resamples', () => {
  it.each([20, 50])('%d samples: a drop at the margin rarely passes and rarely fails', (n) => {
    const rng = createRng(3, `correlation ${n}`);
    const seen = { pass: 0, fail: 0, undecided: 0 };
    for (let s = 0; s < 400; s++) {
      const { change, changes } = correlated(rng, n, 200, 0.9, 0.87);
      const run = runWith({
        metric: { unit: 'correlation', change },
        paired: { kind: 'bootstrap', samples: n, changes },
      });
      seen[judgeRun(run, { confidence: 0.95, accuracyDrop: { max: 0.9 - 0.87 } }).verdict] += 1 / 400;
    }
    expect(seen.pass).toBeLessThanOrEqual(MOST_WRONG);
    expect(seen.fail).toBeLessThanOrEqual(MOST_WRONG);
  });
});
