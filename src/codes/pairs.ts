/** Weight methods under the constraint that no two neighbouring codes can saturate. See scheme/saturation.ts. */
import { besidePair, PAIR_LIMIT, unsaturatedCodes } from '../scheme/saturation.js';
import type { Grid, RowsProblem } from '../channels/layer.js';
import type { Solved } from './types.js';

export interface PairLimits {
  /** The grid with scales at which pairs have to give way less, where a row has a scale of its own. */
  readonly grid: Grid;
  /** The column that the kernel takes together with each, or −1. */
  readonly mate: Int32Array;
  /** The largest magnitude of each code that leaves its mate a fair share, as long as the mate has none yet. */
  readonly cap: Int32Array;
}

/** What codes on a grid have to keep to; undefined where neighbours may be anything. */
export function pairLimits(
  { rows, columns, target, hessian, packed }: RowsProblem,
  grid: Grid,
): PairLimits | undefined {
  if (!packed) return undefined;
  const mate = new Int32Array(columns).fill(-1);
  for (let i = 0; i + 1 < packed.length; i += 2) {
    mate[packed[i]!] = packed[i + 1]!; // within the list
    mate[packed[i + 1]!] = packed[i]!;
  }
  const cap = new Int32Array(rows * columns).fill(PAIR_LIMIT);
  const scale = grid.scale.slice();
  const importance = Float64Array.from(packed, (c) => hessian[c * columns + c]!); // columns
  const owned = ownedRows(grid, columns);
  for (let r = 0; r < rows; r++) {
    const part = grid.part[r * columns]!; // every element has a part
    const values = Float64Array.from(packed, (c) => target[r * columns + c]!); // columns
    const row = { values, columns, zeroPoint: grid.zeroPoint[part]!, low: grid.low, high: grid.high, importance };
    const own = owned.has(part) && row.zeroPoint === 0;
    const made = unsaturatedCodes({ ...row, scale: scale[part]! }, own ? undefined : 1);
    if (!made) continue;
    if (own) scale[part] = made.scale;
    packed.forEach((c, i) => {
      cap[r * columns + c] = Math.max(1, Math.abs(made.codes[i]!));
    }); // one code for each column
  }
  return { grid: { ...grid, scale }, mate, cap };
}

/** Parts that are exactly one row. */
function ownedRows({ part }: Grid, columns: number): Set<number> {
  const rowOf = new Map<number, number>();
  const split = new Set<number>();
  for (let at = 0; at < part.length; at++) {
    const row = Math.floor(at / columns);
    if (part[at] !== part[row * columns] || (rowOf.get(part[at]!) ?? row) !== row)
      split.add(part[at]!).add(part[row * columns]!); // within the list
    rowOf.set(part[at]!, row);
  }
  return new Set([...rowOf.keys()].filter((p) => !split.has(p)));
}

/** A code as near as its mate allows. */
export function beside({ mate }: PairLimits, codes: Int32Array, at: number, columns: number, code: number): number {
  const column = at % columns;
  const other = mate[column]!; // it is a column
  return other < 0 ? code : besidePair(code, codes[at - column + other]!); // of the same row
}

/**
 * What a method that knows nothing of pairs has chosen, made safe: other codes, on wider scales where they are a row's
 * own.
 */
export function settled(problem: RowsProblem, solved: Solved): Solved {
  const { rows, columns, target, hessian, grid, packed } = problem;
  if (!packed) return solved;
  const owned = ownedRows(grid, columns);
  const [codes, scale] = [solved.codes.slice(), solved.scale.slice()];
  const importance = Float64Array.from(packed, (c) => hessian[c * columns + c]!); // columns
  for (let r = 0; r < rows; r++) {
    const part = grid.part[r * columns]!; // every element has a part
    const [zeroPoint, before] = [solved.zeroPoint[part]!, scale[part]!];
    const chosen = Float64Array.from(packed, (c) => (codes[r * columns + c]! - zeroPoint) * before); // columns
    const row = { columns, scale: before, zeroPoint, low: grid.low, high: grid.high, importance };
    if (!unsaturatedCodes({ ...row, values: chosen }, 1)) continue; // what the method chose is safe
    const own = owned.has(part) && zeroPoint === 0;
    const values = Float64Array.from(packed, (c) => target[r * columns + c]!); // columns
    const made =
      // the row is not safe
      unsaturatedCodes({ ...row, values }, own ? undefined : 1) ?? unsaturatedCodes({ ...row, values: chosen }, 1)!;
    if (own) scale[part] = made.scale;
    packed.forEach((c, i) => {
      codes[r * columns + c] = made.codes[i]!;
    }); // one code for each column
  }
  return { codes, scale, zeroPoint: solved.zeroPoint };
}
