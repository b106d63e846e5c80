/** Elements of a problem, part by part: what methods that look at each scale alone work on. */
import { item } from '../base/lists.js';
import type { Grid, RowsProblem } from '../channels/layer.js';
import { MAGIC } from '../scheme/rounding.js';
import { nearestCodes, type Solved } from './types.js';

/** The elements of one part: where they are, their values and how much the error of each counts. */
export interface PartElements {
  readonly part: number;
  readonly at: Int32Array;
  readonly values: Float64Array;
  readonly weights: Float64Array;
}

/**
 * Every part of a problem, elements in their order. Errors are weighted with the diagonal of the Hessian. The arrays
 * are reused: copy what is kept.
 */
export function* partsOf(
  { columns, target, hessian, grid: { part, scale } }: RowsProblem,
  room = (n: number): [Float64Array, Float64Array] => [new Float64Array(n), new Float64Array(n)],
): Generator<PartElements> {
  const starts = new Int32Array(scale.length + 1);
  for (let at = 0; at < part.length; at++) starts[part[at]! + 1]!++;
  let most = 0;
  for (let p = 0; p < scale.length; p++) {
    most = Math.max(most, starts[p + 1]!);
    starts[p + 1]! += starts[p]!;
  }
  const next = starts.slice();
  const sorted = new Int32Array(part.length);
  for (let at = 0; at < part.length; at++) sorted[next[part[at]!]!++] = at;
  const [values, weights] = room(most);
  for (let p = 0; p < scale.length; p++) {
    const own = sorted.subarray(starts[p], starts[p + 1]);
    for (let i = 0; i < own.length; i++) {
      const at = own[i]!;
      const c = at % columns;
      values[i] = target[at]!;
      weights[i] = hessian[c * columns + c]!;
    }
    yield { part: p, at: own, values: values.subarray(0, own.length), weights: weights.subarray(0, own.length) };
  }
}

/** The row that alone uses each part's scale, or −1 where several do. */
export function ownersOf({ part, scale }: Grid, columns: number): Int32Array {
  const owner = new Int32Array(scale.length).fill(-2);
  for (let at = 0; at < part.length; at++) {
    const [p, r] = [part[at]!, Math.floor(at / columns)]; // within the list
    owner[p] = owner[p] === -2 || owner[p] === r ? r : -1;
  }
  return owner;
}

export interface ScaleAndZero {
  readonly scale: number;
  readonly zero: number;
}
/** A choice and what it errs by, in the measure of whoever made it. */
export interface Fitted extends ScaleAndZero {
  readonly error: number;
}
/** The lowest and highest code, and whether the zero point is fixed. */
export type Ends = Pick<Grid, 'low' | 'high' | 'symmetric'>;

/** From so many codes on, a part keeps the sign of its scale: the other one is hardly ever better. */
const MANY_CODES = 16;

/**
 * Chooses the scale and zero point of each part alone, and rounds to what they give. Where scales may be negative,
 * parts are mirrored so that the fit sees a positive one; with few codes both are tried and the better is taken.
 */
export function solveParts(problem: RowsProblem, fit: (part: PartElements, start: ScaleAndZero) => Fitted): Solved {
  const { grid } = problem;
  const scale = grid.scale.slice();
  const zeroPoint = grid.zeroPoint.slice();
  for (const own of partsOf(problem)) {
    const { part } = own;
    const start = { scale: Math.abs(item(grid.scale, part)), zero: item(grid.zeroPoint, part) };
    let sign = item(grid.scale, part) < 0 ? -1 : 1;
    if (sign < 0) negate(own.values);
    let fitted = fit(own, start);
    if (grid.signed && grid.high - grid.low + 1 < MANY_CODES) {
      negate(own.values);
      const mirrored = fit(own, start);
      if (mirrored.error < fitted.error) [fitted, sign] = [mirrored, -sign];
    }
    scale[part] = sign * fitted.scale;
    zeroPoint[part] = fitted.zero;
  }
  return { codes: nearestCodes(problem.target, { ...grid, scale, zeroPoint }), scale, zeroPoint };
}

export function negate(values: Float64Array): void {
  for (let i = 0; i < values.length; i++) values[i] = -values[i]!;
}

/** Σ weight·|value − (code − zero)·scale|² with the nearest codes. */
export function roundingError(
  values: Float64Array,
  weights: Float64Array,
  scale: number,
  zero: number,
  low: number,
  high: number,
): number {
  let sum = 0;
  const [from, to] = [low - zero, high - zero];
  for (let i = 0; i < values.length; i++) {
    const q = values[i]! / scale + MAGIC - MAGIC;
    const e = values[i]! - (q > to ? to : q < from ? from : q) * scale;
    sum += weights[i]! * e * e;
  }
  return sum;
}
