import { z } from 'zod';
import { addScaled, dot, reverseCholesky } from '../linear.js';
import { roundHalfEven } from '../../scheme/rounding.js';
import type { Grid, RowsProblem } from './layer.js';
import type { Solved, WeightMethod } from './types.js';

const options = z.strictObject({
  actOrder: z.boolean().default(true).describe('Columns with the largest inputs are rounded first, while most others can still make up for it.'),
  scaleSearch: z.number().int().min(0).default(40).describe('Narrower ranges that are tried for each scale, from the observer\'s down to a fifth of it, by error weighted with the inputs; 0 keeps the observer\'s.'),
  sweeps: z.number().int().min(0).default(8).describe('Rounds of coordinate descent after it: codes that lower the error are changed, then each scale is fitted again.'),
});
type Options = z.output<typeof options>;

/**
 * GPTQ: columns are rounded one after the other, and what rounding did to the output is made up for by the columns that
 * follow. With LᵀL = H the error is ‖L·e‖², and component i holds e_0…e_i, so column i is rounded from
 * w_i + Σ_{j<i} L_ij e_j / L_ii: the same as the updates of the paper with a Cholesky factor of H⁻¹, but without inverting H.
 * source: Frantar et al. 2022, https://arxiv.org/abs/2210.17323; as nearest-plane rounding: https://arxiv.org/abs/2507.18553;
 * coordinate descent: QuantEase, https://arxiv.org/abs/2309.01885
 */
export const gptq = {
  name: 'gptq',
  doc: 'Rounds weights one column after the other and lets the rest make up for the error (GPTQ), measured on calibration inputs.',
  options,
  needsInputs: true,
  solve(problem, o) {
    const { rows, columns, target, hessian: h, grid } = problem;
    const scale = o.scaleSearch > 0 ? searchScales(problem, o.scaleSearch) : grid.scale.slice();
    const current = { ...grid, scale };
    if (isDiagonal(h, columns)) return { codes: Int32Array.from(target, (w, at) => nearest(current, at, w)), scale, zeroPoint: grid.zeroPoint }; // no column can make up for another
    const order = o.actOrder ? byInput(h, columns) : Int32Array.from({ length: columns }, (_, i) => i);
    const permuted = new Float64Array(columns * columns);
    for (let i = 0; i < columns; i++) for (let j = 0; j < columns; j++) permuted[i * columns + j] = h[order[i]! * columns + order[j]!]!; // a permutation
    const l = reverseCholesky(permuted, columns);
    const codes = new Int32Array(rows * columns);
    const error = new Float64Array(columns);
    const owners = ownersOf(grid, columns);
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < columns; i++) {
        const at = r * columns + order[i]!; // as above
        const wanted = target[at]! + dot(l, i * columns, error, 0, i) / l[i * columns + i]!;
        codes[at] = nearest(current, at, wanted);
        error[i] = target[at]! - valueOf(current, at, codes[at]!);
      }
      if (o.sweeps > 0) descend(problem, current, codes, r, o.sweeps, owners);
    }
    return { codes, scale, zeroPoint: grid.zeroPoint } satisfies Solved;
  },
} satisfies WeightMethod<Options>;

const valueOf = (g: Grid, at: number, code: number): number => (code - g.zeroPoint[g.part[at]!]!) * g.scale[g.part[at]!]!; // every element has a part
function nearest(g: Grid, at: number, value: number): number {
  const p = g.part[at]!; // as above
  const code = roundHalfEven(value / g.scale[p]!) + g.zeroPoint[p]!;
  return Math.min(g.high, Math.max(g.low, code));
}

function isDiagonal(h: Float64Array, n: number): boolean {
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) if (h[i * n + j] !== 0) return false;
  return true;
}

/** Columns by the energy of their inputs, largest first; equal ones keep their order. */
function byInput(h: Float64Array, columns: number): Int32Array {
  return Int32Array.from({ length: columns }, (_, i) => i).sort((a, b) => h[b * columns + b]! - h[a * columns + a]! || a - b);
}

/** The scale of each part that rounds its weights with the least error, weighted by the diagonal of H. */
function searchScales({ rows, columns, target, hessian, grid }: RowsProblem, steps: number): Float64Array {
  const parts = grid.scale.length;
  const best = new Float64Array(parts).fill(Infinity);
  const scale = grid.scale.slice();
  for (let s = 0; s < steps; s++) {
    const factor = 1 - (0.8 * s) / steps;
    const tried = { ...grid, scale: grid.scale.map((x) => x * factor) };
    const error = new Float64Array(parts);
    for (let r = 0, at = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++, at++) {
        const e = target[at]! - valueOf(tried, at, nearest(tried, at, target[at]!));
        error[grid.part[at]!]! += hessian[c * columns + c]! * e * e; // every element has a part
      }
    }
    for (let p = 0; p < parts; p++) if (error[p]! < best[p]!) { best[p] = error[p]!; scale[p] = tried.scale[p]!; }
  }
  return scale;
}

/** The row that alone uses each part's scale, or −1 where several do. */
function ownersOf({ part, scale }: Grid, columns: number): Int32Array {
  const owner = new Int32Array(scale.length).fill(-2);
  for (let at = 0; at < part.length; at++) {
    const [p, r] = [part[at]!, Math.floor(at / columns)]; // within the list
    owner[p] = owner[p] === -2 || owner[p] === r ? r : -1;
  }
  return owner;
}

/**
 * Coordinate descent on one row's codes, and after each round the scales that fit the codes best. Changes grid.scale of
 * parts that are the row's own. `gradient` = H·error is kept up to date, so that a round costs what it changes.
 */
function descend({ columns, target, hessian: h }: RowsProblem, grid: Grid, codes: Int32Array, r: number, sweeps: number, owners: Int32Array): void {
  const from = r * columns;
  const own = ownParts(grid, from, columns, r, owners);
  const error = new Float64Array(columns);
  const gradient = new Float64Array(columns);
  for (let c = 0; c < columns; c++) error[c] = target[from + c]! - valueOf(grid, from + c, codes[from + c]!);
  for (let c = 0; c < columns; c++) gradient[c] = dot(h, c * columns, error, 0, columns);
  for (let s = 0; s < sweeps; s++) {
    let changed = 0;
    for (let c = 0; c < columns; c++) {
      const at = from + c;
      const value = valueOf(grid, at, codes[at]!);
      const code = nearest(grid, at, value + gradient[c]! / h[c * columns + c]!);
      if (code === codes[at]) continue;
      addScaled(gradient, 0, value - valueOf(grid, at, code), h, c * columns, columns);
      codes[at] = code;
      changed++;
    }
    for (const [p, of] of own) refit(grid, codes, h, from, columns, p, of, gradient);
    if (changed * SETTLED <= columns) break;
  }
}

/** A round that changes fewer than one code in so many is the last. */
const SETTLED = 200;
/** Smaller relative changes of a scale are not worth a pass over the gradient. */
const LEAST_CHANGE = 1e-4;

/** The parts that are a row's own, each with its columns. */
function ownParts({ part }: Grid, from: number, columns: number, r: number, owners: Int32Array): Map<number, number[]> {
  const own = new Map<number, number[]>();
  for (let c = 0; c < columns; c++) {
    const p = part[from + c]!; // every element has a part
    if (owners[p] !== r) continue;
    const known = own.get(p);
    if (known) known.push(c); else own.set(p, [c]);
  }
  return own;
}

/** The scale of part p, of columns `of`, that is best for the row's codes, the others as they are: s + qᵀHe / qᵀHq. */
function refit(grid: Grid, codes: Int32Array, h: Float64Array, from: number, columns: number, p: number, of: readonly number[], gradient: Float64Array): void {
  const zero = grid.zeroPoint[p]!; // p is a part
  let up = 0;
  let down = 0;
  for (const c of of) {
    const q = codes[from + c]! - zero;
    if (!q) continue;
    up += q * gradient[c]!;
    for (const d of of) down += q * h[c * columns + d]! * (codes[from + d]! - zero);
  }
  const change = down > 0 ? up / down : 0;
  const made = grid.scale[p]! + change;
  if (!(made > 0) || !Number.isFinite(made) || Math.abs(change) < LEAST_CHANGE * made) return;
  for (const c of of) { const q = codes[from + c]! - zero; if (q) addScaled(gradient, 0, -change * q, h, c * columns, columns); }
  grid.scale[p] = made;
}
