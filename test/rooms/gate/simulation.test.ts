/**
 * How often verdicts are wrong, by simulation: no cell may pass a model that is at its limit more often than it says.
 */
import { describe, expect, it } from 'vitest';
import { createRng, type Rng } from '../../../src/base/rng.js';
import { pearsonOf } from '../../../src/evaluate/statistics.js';
import { judgeRun } from '../../../src/gate/index.js';
import type { Verdict } from '../../../src/record/index.js';
import { flips, runWith, type Paired } from './helpers.js';

const SETS = 1000;
/**
 * At 95 % each side errs in 2.5 % of all sets; 1,000 sets of that have a standard error of 0.5 points, which leaves 5 %
 * far away.
 */
const MOST_WRONG = 0.05;

type Draw = (rng: Rng, n: number, drop: number) => Paired;
/** Right or wrong: a share of `flipping` differs, so many more of them for the worse that the true drop is `drop`. */
const share =
  (flipping: number): Draw =>
  (rng, n, drop) => {
    const worse = (flipping + drop) / 2;
    let [float, quantized] = ['', ''];
    for (let i = 0; i < n; i++) {
      const u = rng.next();
      const [f, q] = u < worse ? ['1', '0'] : u < flipping ? ['0', '1'] : rng.next() < 0.9 ? ['1', '1'] : ['0', '0'];
      float += f;
      quantized += q;
    }
    return { kind: 'share', float, quantized };
  };
/** A score around 0.8 a sample, minus a drop of mean `drop` of the given shape. */
const mean =
  (change: (rng: Rng, drop: number) => number): Draw =>
  (rng, n, drop) => {
    const float = Array.from({ length: n }, () => 0.8 + 0.1 * rng.normal());
    return { kind: 'mean', float, quantized: float.map((x) => x - change(rng, drop)) };
  };
const normal = mean((rng, drop) => drop + 0.05 * rng.normal());
/** Log-normal: few samples lose most of it; skewness 6. */
const skewed = mean((rng, drop) => drop + 0.05 * (Math.exp(rng.normal()) - Math.exp(0.5)));
/** One sample in 50 loses 0.5 more than the others, which hardly change: small sets often hold none of them. */
const rare = mean((rng, drop) => drop + (rng.next() < 0.02 ? 0.49 : -0.01) + 0.002 * rng.normal());

/** How often each verdict is given over the simulated sets of one cell. */
function verdicts(
  draw: Draw,
  n: number,
  drop: number,
  margin: number,
  seed: string,
  sets = SETS,
): Record<Verdict, number> {
  const rng = createRng(11, seed);
  const seen = { pass: 0, fail: 0, undecided: 0 };
  for (let s = 0; s < sets; s++) {
    const paired = draw(rng, n, drop);
    const run = runWith({ metric: { unit: paired.kind === 'share' ? '%' : 'score' }, paired });
    seen[
      judgeRun(run, {
        confidence: 0.95,
        accuracyDrop: { max: paired.kind === 'share' ? `${100 * margin} points` : margin },
      }).verdict
    ] += 1 / sets;
  }
  return seen;
}

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

describe('verdicts are of use', () => {
  it.each([
    { name: '5 % flips', draw: share(0.05), n: 2000, margin: 0.02 },
    { name: '20 % flips', draw: share(0.2), n: 5000, margin: 0.03 },
    { name: 'normal drops', draw: normal, n: 500, margin: 0.015 },
    { name: 'skewed drops', draw: skewed, n: 2000, margin: 0.02 },
  ])('$name: without a true drop, $n samples mostly pass a margin of $margin', ({ name, draw, n, margin }) => {
    expect(verdicts(draw, n, 0, margin, `none ${name}`, 200).pass).toBeGreaterThan(0.8);
  });
  it.each([
    { name: '5 % flips', draw: share(0.05), drop: 0.03, n: 2000, margin: 0.01 },
    { name: 'normal drops', draw: normal, drop: 0.03, n: 500, margin: 0.015 },
  ])('$name: a true drop of $drop mostly fails a margin of $margin', ({ name, draw, drop, n, margin }) => {
    expect(verdicts(draw, n, drop, margin, `far ${name}`, 200).fail).toBeGreaterThan(0.8);
  });
  it.each([
    { name: '5 % flips', draw: share(0.05), margin: 0.002 },
    { name: '20 % flips', draw: share(0.2), margin: 0.005 },
    { name: 'skewed drops', draw: skewed, margin: 0.005 },
  ])('$name: a margin of $margin, inside the noise of 200 samples, is undecided', ({ name, draw, margin }) => {
    expect(verdicts(draw, 200, 0, margin, `noise ${name}`, 200).undecided).toBeGreaterThan(0.9);
  });
  it('as many samples as an undecided rule asks for decide in four of five sets', () => {
    const rng = createRng(5, 'needed');
    const asked = judgeRun(runWith({ paired: flips(20, 20, 900, 60) }), {
      confidence: 0.95,
      accuracyDrop: { max: '1 points' },
    }).rules[0]!;
    expect(asked.verdict).toBe('undecided');
    // undecided rules with a drop inside the margin have the number
    const decided = verdicts(share(0.04), asked.samplesNeeded!, 0, 0.01, String(rng.int(100)), 300);
    expect(decided.pass).toBeGreaterThan(0.72);
    expect(decided.pass).toBeLessThan(0.9);
  });
});
