import { z } from 'zod';
import { addLines, addScaled, dot, reverseCholesky } from '../linear.js';
import { roundHalfEven } from '../../scheme/rounding.js';
import type { Grid } from './layer.js';
import { searchGrid } from './search.js';
import { nearestCodes, type WeightMethod } from './types.js';

const options = z.strictObject({
  actOrder: z.boolean().default(true).describe('Columns with the largest inputs are rounded first, while most others can still make up for it.'),
  scaleSearch: z.number().int().min(0).default(40).describe('Narrower ranges that are tried for each scale, from the observer\'s down to a fifth of it, by error weighted with the inputs; 0 keeps the observer\'s.'),
  sweeps: z.number().int().min(0).default(2).describe('Most rounds of coordinate descent after it: codes that lower the error are changed, then each scale is fitted again.'),
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
    const { scale, zeroPoint } = o.scaleSearch > 0 ? searchGrid(problem, o.scaleSearch) : { scale: grid.scale.slice(), zeroPoint: grid.zeroPoint };
    const current = { ...grid, scale, zeroPoint };
    if (isDiagonal(h, columns)) return { codes: nearestCodes(target, current), scale, zeroPoint }; // no column can make up for another
    const order = o.actOrder ? byInput(h, columns) : Int32Array.from({ length: columns }, (_, i) => i);
    const permuted = new Float64Array(columns * columns);
    for (let i = 0; i < columns; i++) for (let j = 0; j < columns; j++) permuted[i * columns + j] = h[order[i]! * columns + order[j]!]!; // a permutation
    const l = reverseCholesky(permuted, columns);
    const codes = new Int32Array(rows * columns);
    const owners = ownersOf(grid, columns);
    for (let first = 0; first < rows; first += TOGETHER) {
      const some: Rows = { first, count: Math.min(TOGETHER, rows - first), columns, order, target, grid: current, codes };
      const gradient = roundInOrder(some, l);
      if (o.sweeps > 0) descend(some, permuted, gradient, o.sweeps, owners);
    }
    return { codes, scale, zeroPoint };
  },
} satisfies WeightMethod<Options>;

/** Rows that go through the matrix together, so that a line of it is fetched once for all of them. */
const TOGETHER = 16;
interface Rows { readonly first: number; readonly count: number; readonly columns: number; readonly order: Int32Array; readonly target: Float64Array; readonly grid: Grid; readonly codes: Int32Array }

/** Rounds columns in order. Gives the gradient H·e [count, columns], columns in order, as Lᵀ(L·e): L·e is known on the way. */
function roundInOrder({ first, count, columns, order, target, grid, codes }: Rows, l: Float64Array): Float64Array {
  const error = new Float64Array(count * columns);
  const gradient = new Float64Array(count * columns);
  for (let i = 0; i < columns; i++) {
    const pivot = l[i * columns + i]!;
    for (let b = 0; b < count; b++) {
      const at = (first + b) * columns + order[i]!; // a permutation
      const before = dot(l, i * columns, error, b * columns, i);
      codes[at] = nearest(grid, at, target[at]! + before / pivot);
      const e = target[at]! - valueOf(grid, at, codes[at]!);
      error[b * columns + i] = e;
      addScaled(gradient, b * columns, before + pivot * e, l, i * columns, i + 1);
    }
  }
  return gradient;
}

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
 * Coordinate descent on the codes of some rows, and after each round the scales that fit the codes best. Changes grid.scale of
 * parts that belong to one row. H and `gradient` = H·error have their columns in order; the gradient is kept up to date.
 */
function descend(some: Rows, h: Float64Array, gradient: Float64Array, sweeps: number, owners: Int32Array): void {
  const { first, count, columns, order, grid, codes } = some;
  const own = Array.from({ length: count }, (_, b) => ownParts(some, b, owners));
  const most = Math.max(...own.map((parts) => parts.length));
  const moving = new Uint8Array(count).fill(1);
  for (let s = 0; s < sweeps && moving.includes(1); s++) {
    const changed = new Int32Array(count);
    for (let i = 0; i < columns; i++) {
      for (let b = 0; b < count; b++) {
        if (!moving[b]) continue;
        const at = (first + b) * columns + order[i]!; // a permutation
        const value = valueOf(grid, at, codes[at]!);
        const code = nearest(grid, at, value + gradient[b * columns + i]! / h[i * columns + i]!);
        if (code === codes[at]) continue;
        addScaled(gradient, b * columns, value - valueOf(grid, at, code), h, i * columns, columns);
        codes[at] = code;
        changed[b]!++;
      }
    }
    for (let j = 0; j < most; j++) for (let b = 0; b < count; b++) { const part = moving[b] ? own[b]![j] : undefined; if (part) refit(some, b, h, part, gradient); } // one list for each row
    for (let b = 0; b < count; b++) if (changed[b]! * SETTLED <= columns) moving[b] = 0;
  }
}

/** A round that changes fewer than one code in so many is the last. */
const SETTLED = 200;
/** Smaller relative changes of a scale are not worth a pass over the gradient. */
const LEAST_CHANGE = 1e-3;

interface OwnPart { readonly part: number; /** Positions in order. */ readonly of: number[] }
/** The parts that are a row's own, each with its columns. */
function ownParts({ first, columns, order, grid }: Rows, b: number, owners: Int32Array): OwnPart[] {
  const own = new Map<number, OwnPart>();
  for (let i = 0; i < columns; i++) {
    const p = grid.part[(first + b) * columns + order[i]!]!; // every element has a part
    if (owners[p] !== first + b) continue;
    const known = own.get(p);
    if (known) known.of.push(i); else own.set(p, { part: p, of: [i] });
  }
  return [...own.values()].sort((a, z) => a.part - z.part); // rows of one matrix have the same columns at the same place
}

/** The scale of a part that is best for the row's codes, the others as they are: s + qᵀHe / qᵀHq. */
function refit({ first, columns, order, grid, codes }: Rows, b: number, h: Float64Array, { part: p, of }: OwnPart, gradient: Float64Array): void {
  const zero = grid.zeroPoint[p]!; // p is a part
  const q = Float64Array.from(of, (i) => codes[(first + b) * columns + order[i]!]! - zero); // a permutation
  let up = 0;
  let down = 0;
  for (let m = 0; m < of.length; m++) {
    if (!q[m]) continue;
    up += q[m]! * gradient[b * columns + of[m]!]!;
    for (let n = 0; n < of.length; n++) down += q[m]! * h[of[m]! * columns + of[n]!]! * q[n]!;
  }
  const change = down > 0 ? up / down : 0;
  const made = grid.scale[p]! + change;
  if (!(made > 0) || !Number.isFinite(made) || Math.abs(change) < LEAST_CHANGE * made) return;
  addLines(gradient, b * columns, q.map((x) => -change * x), h, of, columns, columns);
  grid.scale[p] = made;
}
