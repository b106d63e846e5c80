/** That verdicts are of use, by simulation. How often they are wrong is told by test/models/gate-simulation.test.ts. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { judgeRun } from '../../../src/gate/index.js';
import { normal, share, skewed, verdicts } from './draws.js';
import { flips, runWith } from './helpers.js';

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
