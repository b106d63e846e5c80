import { z } from 'zod';
import type { Rng } from '../../base/rng.js';
import type { Augmentation } from './types.js';

/** λ · sample + (1 − λ) · another, labels too, λ of Beta(α, α). source: https://arxiv.org/abs/1710.09412 */
export const mixup = {
  name: 'mixup',
  doc: 'Lays another image over each one, and its label over the label.',
  options: z.strictObject({
    alpha: z.number().positive().default(0.2).describe('Larger: images are mixed in more equal parts.'),
  }),
  mixes: true,
  apply({ data }, rng, { alpha }, partner) {
    const keep = beta(rng, alpha);
    if (!partner) return;
    const { data: other } = partner.image;
    for (let i = 0; i < data.length; i++) data[i] = keep * (data[i] ?? 0) + (1 - keep) * (other[i] ?? 0);
    partner.keep(keep);
  },
} as const satisfies Augmentation<{ alpha: number }>;

/** Beta(α, α), as X / (X + Y) of two gammas. */
function beta(rng: Rng, alpha: number): number {
  const [x, y] = [gamma(rng, alpha), gamma(rng, alpha)];
  return x + y > 0 ? x / (x + y) : 0.5;
}
/** Marsaglia and Tsang's method; below 1 with the power of a uniform. source: https://doi.org/10.1145/358407.358414 */
function gamma(rng: Rng, shape: number): number {
  if (shape < 1) return gamma(rng, shape + 1) * (1 - rng.next()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = rng.normal();
    const v = (1 + c * x) ** 3;
    const u = 1 - rng.next(); // above 0
    if (v > 0 && Math.log(u) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}
