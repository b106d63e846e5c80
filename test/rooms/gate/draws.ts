/** Made-up sets of samples of which the true drop is known, and the verdicts that they get. */
import { createRng, type Rng } from '../../../src/base/rng.js';
import { judgeRun } from '../../../src/gate/index.js';
import type { Verdict } from '../../../src/record/index.js';
import { runWith, type Paired } from './helpers.js';

const SETS = 1000;

export type Draw = (rng: Rng, n: number, drop: number) => Paired;
/** Right or wrong: a share of `flipping` differs, so many more of them for the worse that the true drop is `drop`. */
export const share =
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
export const normal = mean((rng, drop) => drop + 0.05 * rng.normal());
/** Log-normal: few samples lose most of it; skewness 6. */
export const skewed = mean((rng, drop) => drop + 0.05 * (Math.exp(rng.normal()) - Math.exp(0.5)));
/** One sample in 50 loses 0.5 more than the others, which hardly change: small sets often hold none of them. */
export const rare = mean((rng, drop) => drop + (rng.next() < 0.02 ? 0.49 : -0.01) + 0.002 * rng.normal());

/** How often each verdict is given over the simulated sets of one cell. */
export function verdicts(
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
