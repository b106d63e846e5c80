/** How many directions of a matrix are more than noise. */
import { item } from '../base/lists.js';

const { log, sqrt } = Math;
/** Points at which the noise is looked for first, evenly on a logarithmic scale, and halvings around the best. */
const GRID = 100;
const STEPS = 60;

/**
 * The rank that empirical variational Bayes gives a matrix of `rows` × `columns` with these squared singular values,
 * falling, and as many as its smaller side: those beyond √(M·σ²·(1 + τ)(1 + α/τ)) are signal, with τ = 2.5129·√α and
 * the noise σ² of the least free energy. source: Nakajima, Sugiyama, Babacan and Tomioka 2013, JMLR 14, theorem 2 and
 * corollary 1
 */
export function vbmfRank(squares: ArrayLike<number>, rows: number, columns: number): number {
  const [l, m] = [Math.min(rows, columns), Math.max(rows, columns)];
  const s = Array.from({ length: l }, (_, i) => Math.max(item(squares, i), Number.MIN_VALUE));
  const alpha = l / m;
  const tau = 2.5129 * sqrt(alpha);
  const border = (1 + tau) * (1 + alpha / tau);
  const first = Math.min(Math.ceil(l / (1 + alpha)) - 1, l - 1);
  const rest = s.slice(first);
  const total = s.reduce((n, v) => n + v, 0);
  const high = total / (l * m);
  const low = Math.max(item(rest, 0) / (m * border), rest.reduce((n, v) => n + v, 0) / rest.length / m);
  if (!(high > low) || !(low > 0)) return s.filter((v) => v > m * high * border).length;
  const energy = (noise: number): number =>
    s.reduce((sum, v) => {
      const x = v / (m * noise);
      if (x <= border) return sum + x - log(x);
      const t = 0.5 * (x - (1 + alpha) + sqrt((x - (1 + alpha)) ** 2 - 4 * alpha));
      return sum + x - t + log((t + 1) / x) + alpha * log(t / alpha + 1);
    }, 0);
  const at = (i: number): number => low * (high / low) ** (i / GRID);
  let best = 0;
  for (let i = 1; i <= GRID; i++) if (energy(at(i)) < energy(at(best))) best = i;
  let [from, to] = [Math.max(0, best - 1), Math.min(GRID, best + 1)];
  for (let i = 0; i < STEPS; i++) {
    const [a, b] = [from + (to - from) / 3, to - (to - from) / 3];
    if (energy(at(a)) < energy(at(b))) to = b;
    else from = a;
  }
  const limit = m * at((from + to) / 2) * border;
  return s.filter((v) => v > limit).length;
}
