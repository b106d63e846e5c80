import { item } from '../base/lists.js';
import { z } from 'zod';
import { byInput, isDiagonal, orderHessian } from './ordered.js';
import { dot, linearKernels, type LinearKernels } from './linear-kernels.js';
import { roundHalfEven } from '../scheme/rounding.js';
import type { Grid, RowsProblem } from '../channels/layer.js';
import { beside, pairLimits, type PairLimits } from './pairs.js';
import { ownersOf } from './parts.js';
import { searchGrid } from './search.js';
import { nearestCodes, type Solved, type WeightMethod } from './types.js';

const options = z.strictObject({
  actOrder: z
    .boolean()
    .default(true)
    .describe('Columns with the largest inputs are rounded first, while most others can still make up for it.'),
  scaleSearch: z
    .number()
    .int()
    .min(0)
    .default(40)
    .describe(
      "Narrower ranges that are tried for each scale, from the observer's down to a fifth of it, by error " +
        "weighted with the inputs; 0 keeps the observer's.",
    ),
  sweeps: z
    .number()
    .int()
    .min(0)
    .default(2)
    .describe(
      'Most rounds of coordinate descent after it: codes that lower the error are changed, then each scale is ' +
        'fitted again.',
    ),
});
type Options = z.output<typeof options>;

/**
 * GPTQ: columns are rounded one after the other, and what rounding did to the output is made up for by the columns that
 * follow. With LᵀL = H the error is ‖L·e‖², and component i holds e_0…e_i, so column i is rounded from
 * w_i + Σ_{j<i} L_ij e_j / L_ii: the same as the updates of the paper with a Cholesky factor of H⁻¹, but without
 * inverting H.
 * source: Frantar et al. 2022, https://arxiv.org/abs/2210.17323; as nearest-plane rounding:
 * https://arxiv.org/abs/2507.18553; coordinate descent: QuantEase, https://arxiv.org/abs/2309.01885
 */
export const gptq = {
  name: 'gptq',
  doc:
    'Rounds weights one column after the other and lets the rest make up for the error (GPTQ), measured on ' +
    'calibration inputs.',
  options,
  inputs: 'required',
  byPart: true, // tables have no inputs
  ordered: (o) => o.actOrder,
  solve: (problem, o) => solveWith(linearKernels(), problem, o),
} satisfies WeightMethod<Options>;

/** As the method solves it, with given kernels: all give the same bytes. */
export function solveWith(kernels: LinearKernels, problem: RowsProblem, o: Options): Solved {
  const { rows, columns, target, hessian, grid, zeros } = problem;
  const searched =
    o.scaleSearch > 0
      ? searchGrid(problem, o.scaleSearch, kernels)
      : { scale: grid.scale.slice(), zeroPoint: grid.zeroPoint };
  const pairs = pairLimits(problem, { ...grid, ...searched });
  const current = pairs?.grid ?? { ...grid, ...searched };
  const { scale, zeroPoint } = current;
  // no column can make up for another
  if (isDiagonal(hessian, columns)) return { codes: nearestCodes(target, current), scale, zeroPoint };
  const given = o.actOrder ? problem.ordered : undefined;
  const order =
    given?.order ?? (o.actOrder ? byInput(hessian, columns) : Int32Array.from({ length: columns }, (_, i) => i));
  const codes = new Int32Array(rows * columns);
  const owners = ownersOf(grid, columns);
  const block = o.sweeps > 0 ? longestBlock(grid, owners, columns) : 0;
  const together = TOGETHER * columns;
  const own = given ? 0 : columns ** 2;
  const [error, spread, gradient, part, moves, sums, inner, ownH, ownL] = kernels.arrays(
    ...[together, together, together, columns, columns, Math.max(columns, TOGETHER), block ** 2, own, own],
  ) as Room; // as many as asked for
  const { h, l } = given ?? orderHessian(hessian, { order, h: ownH, l: ownL }, sums, kernels);
  for (let first = 0; first < rows; first += TOGETHER) {
    const some: Rows = {
      kernels,
      first,
      count: Math.min(TOGETHER, rows - first),
      columns,
      order,
      target,
      grid: current,
      codes,
      pairs,
      zeros,
      h,
      l,
      error,
      spread,
      gradient,
      part,
      moves,
      sums,
      inner,
    };
    roundInOrder(some);
    if (o.sweeps > 0) descend(some, o.sweeps, owners);
  }
  return { codes, scale, zeroPoint };
}

type Room = [
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
];

/** Rows that go through the matrix together, so that a line of it is fetched once for all of them. */
export const TOGETHER = 16;
interface Rows {
  readonly kernels: LinearKernels;
  readonly first: number;
  readonly count: number;
  readonly columns: number;
  readonly order: Int32Array;
  readonly target: Float64Array;
  readonly grid: Grid;
  readonly codes: Int32Array;
  readonly pairs: PairLimits | undefined;
  /** 1 for weights whose code means zero. */
  readonly zeros: Uint8Array | undefined;
  /** H and L with their columns in order. */
  readonly h: Float64Array;
  readonly l: Float64Array;
  /** e, L·e and H·e of each row [TOGETHER, columns], columns in order. */
  readonly error: Float64Array;
  readonly spread: Float64Array;
  readonly gradient: Float64Array;
  /** Room for the codes of a part, for moves along lines of H, for sums, and for the part of H that one scale sees. */
  readonly part: Float64Array;
  readonly moves: Float64Array;
  readonly sums: Float64Array;
  readonly inner: Float64Array;
}

/** Rounds columns in order. Leaves the gradient H·e as Lᵀ(L·e): L·e is known on the way. */
function roundInOrder({
  kernels,
  first,
  count,
  columns,
  order,
  target,
  grid,
  codes,
  pairs,
  zeros,
  l,
  error,
  spread,
  gradient,
  sums,
}: Rows): void {
  for (let i = 0; i < columns; i++) {
    const pivot = l[i * columns + i]!;
    kernels.dots(l, i * columns, error, 0, columns, count, i, sums, 0);
    for (let b = 0; b < count; b++) {
      const at = (first + b) * columns + order[i]!; // a permutation
      const before = sums[b]!;
      // zero is what every pair takes
      const code = zeros?.[at]
        ? item(grid.zeroPoint, item(grid.part, at))
        : nearest(grid, at, target[at]! + before / pivot);
      codes[at] = pairs
        ? beside(pairs, codes, at, columns, Math.min(pairs.cap[at]!, Math.max(-pairs.cap[at]!, code)))
        : code; // one cap for each weight
      const e = target[at]! - valueOf(grid, at, codes[at]);
      error[b * columns + i] = e;
      spread[b * columns + i] = before + pivot * e;
    }
  }
  gradient.fill(0);
  for (let i = 0; i < columns; i += TOGETHER) {
    const end = Math.min(columns, i + TOGETHER);
    kernels.addLines(
      gradient,
      0,
      columns,
      count,
      spread.subarray(i),
      columns,
      l,
      Array.from({ length: end - i }, (_, m) => (i + m) * columns),
      end,
    );
  }
}

const valueOf = (g: Grid, at: number, code: number): number =>
  (code - g.zeroPoint[g.part[at]!]!) * g.scale[g.part[at]!]!; // every element has a part
function nearest(g: Grid, at: number, value: number): number {
  const p = g.part[at]!;
  const code = roundHalfEven(value / g.scale[p]!) + g.zeroPoint[p]!;
  return Math.min(g.high, Math.max(g.low, code));
}

/** Columns of the longest part that belongs to one row and is not the whole of it. */
function longestBlock({ part, scale }: Grid, owners: Int32Array, columns: number): number {
  const length = new Int32Array(scale.length);
  for (const p of part) length[p]!++;
  // one for each part
  return length.reduce((most, n, p) => (owners[p]! >= 0 && n < columns ? Math.max(most, n) : most), 0);
}

/**
 * Coordinate descent on the codes of some rows, and after each round the scales that fit the codes best. Changes
 * grid.scale of parts that belong to one row. The gradient H·e is kept up to date.
 */
function descend(some: Rows, sweeps: number, owners: Int32Array): void {
  const { kernels, first, count, columns, order, grid, codes, pairs, zeros, h, gradient } = some;
  const own = Array.from({ length: count }, (_, b) => ownParts(some, b, owners));
  const most = Math.max(...own.map((parts) => parts.length));
  const moving = new Uint8Array(count).fill(1);
  for (let s = 0; s < sweeps && moving.includes(1); s++) {
    const changed = new Int32Array(count);
    for (let i = 0; i < columns; i++) {
      for (let b = 0; b < count; b++) {
        if (!moving[b]) continue;
        const at = (first + b) * columns + order[i]!; // a permutation
        if (zeros?.[at]) continue;
        const value = valueOf(grid, at, codes[at]!);
        const wanted = nearest(grid, at, value + gradient[b * columns + i]! / h[i * columns + i]!);
        const code = pairs ? beside(pairs, codes, at, columns, wanted) : wanted;
        if (code === codes[at]) continue;
        kernels.addScaled(gradient, b * columns, value - valueOf(grid, at, code), h, i * columns, columns);
        codes[at] = code;
        changed[b]!++;
      }
    }
    for (let j = 0; j < most; j++) {
      let seen: OwnPart | undefined;
      for (let b = 0; b < count; b++) {
        const part = moving[b] ? item(own, b)[j] : undefined; // one list for each row
        if (!part) continue;
        if (!seen || !sameColumns(seen, part)) gatherInner(some, part);
        seen = part;
        refit(some, b, part);
      }
    }
    for (let b = 0; b < count; b++) if (changed[b]! * SETTLED <= columns) moving[b] = 0;
  }
}

/** A round that changes fewer than one code in so many is the last. */
const SETTLED = 200;
/** Smaller relative changes of a scale are not worth a pass over the gradient. */
const LEAST_CHANGE = 1e-3;

interface OwnPart {
  readonly part: number;
  /** Positions in order. */ readonly of: number[];
}
/** The parts that are a row's own, each with its columns. */
function ownParts({ first, columns, order, grid }: Rows, b: number, owners: Int32Array): OwnPart[] {
  const own = new Map<number, OwnPart>();
  for (let i = 0; i < columns; i++) {
    const p = grid.part[(first + b) * columns + order[i]!]!; // every element has a part
    if (owners[p] !== first + b) continue;
    const known = own.get(p);
    if (known) known.of.push(i);
    else own.set(p, { part: p, of: [i] });
  }
  // rows of one matrix have the same columns at the same place
  return [...own.values()].sort((a, z) => a.part - z.part);
}
const sameColumns = (a: OwnPart, b: OwnPart): boolean =>
  a.of.length === b.of.length && a.of.every((i, m) => i === b.of[m]);

/** The lines and columns of H that belong to a part; a part that is a whole row takes H itself. */
function gatherInner({ columns, h, inner }: Rows, { of }: OwnPart): void {
  const n = of.length;
  if (n < columns)
    // positions
    for (let a = 0; a < n; a++) for (let b = 0; b < n; b++) inner[a * n + b] = h[of[a]! * columns + of[b]!]!;
}

/** The scale of a part that is best for the row's codes, the others as they are: s + qᵀHe / qᵀHq. */
function refit(
  { kernels, first, columns, order, grid, codes, h, gradient, part: q, moves, sums, inner }: Rows,
  b: number,
  { part: p, of }: OwnPart,
): void {
  const zero = grid.zeroPoint[p]!; // p is a part
  const n = of.length;
  let up = 0;
  for (let m = 0; m < n; m++) {
    q[m] = codes[(first + b) * columns + order[of[m]!]!]! - zero; // a permutation
    up += q[m]! * gradient[b * columns + of[m]!]!;
  }
  kernels.dots(q, 0, n < columns ? inner : h, 0, n, n, n, sums, 0);
  const down = dot(q, 0, sums, 0, n);
  const change = down > 0 ? up / down : 0;
  const made = grid.scale[p]! + change;
  if (!(made * item(grid.scale, p) > 0) || !Number.isFinite(made) || Math.abs(change) < LEAST_CHANGE * Math.abs(made))
    return;
  for (let m = 0; m < n; m++) moves[m] = -change * q[m]!;
  kernels.addLines(
    gradient,
    b * columns,
    columns,
    1,
    moves,
    n,
    h,
    of.map((i) => i * columns),
    columns,
  );
  grid.scale[p] = made;
}
