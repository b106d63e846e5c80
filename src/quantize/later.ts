/**
 * Parameters of weights that are chosen while they are written: by methods that look at each scale's own part alone.
 */
import { observeWeights, rangeOfExtremes } from '../calibrate/weights.js';
import type { Observer } from '../calibrate/types.js';
import { withZeros, type WeightMethod } from '../codes/types.js';
import { Tensor } from '../ir/tensor.js';
import { quantize } from '../scheme/arithmetic.js';
import { layoutOf } from '../scheme/layout.js';
import { chooseParams, clipRange } from '../scheme/params.js';
import type { QuantParams, QuantScheme, Range, RowSolver } from '../scheme/types.js';

export interface Chosen<O> {
  readonly by: O;
  readonly options: unknown;
}

/**
 * Chooses as {@link assignParams} and the method do with the whole constant: blocks of `size` see nothing but
 * themselves, so that some rows at a time give the same.
 */
export function rowSolver(
  given: QuantScheme,
  size: number,
  observer: Chosen<Observer>,
  method: Chosen<WeightMethod>,
): RowSolver {
  const granularity = { kind: 'block', axis: 1, size } as const;
  const scheme: QuantScheme = { ...given, granularity };
  const { by, options } = observer;
  const chosen = (range: Range, dims: readonly number[]): QuantParams => ({
    ...chooseParams(range, scheme),
    dims: layoutOf(dims, granularity).shape,
  });
  const rounds = method.by.name === 'round';
  const plain = rounds && !by.statistic.needsValues && (given.rounding ?? 'half-even') === 'half-even';
  return {
    size,
    solve(values, dims) {
      const params = chosen(observeWeights(values, dims, scheme, by, options), dims);
      return rounds ? { ...params, codes: quantize(values, dims, params) } : solved(values, dims, params, method);
    },
    ...(plain
      ? {
          fromExtremes: (extremes, dims) =>
            chosen(rangeOfExtremes(extremes, dims[0] * dims[1], scheme, by, options), dims),
        }
      : {}),
  };
}

/** Elements that are solved at a time. */
const TOGETHER = 1 << 18;

/** Every block is a row of its own problem, of as many columns as it has elements. */
function solved(
  values: Float32Array,
  [rows, columns]: readonly [number, number],
  params: QuantParams,
  method: Chosen<WeightMethod>,
): QuantParams {
  const { scheme } = params;
  const size = scheme.granularity.kind === 'block' ? scheme.granularity.size : columns;
  const blocks = Math.ceil(columns / size);
  const [scale, zeroPoint] = [params.scale.slice(), params.zeroPoint.slice()];
  const codes = new Int32Array(rows * columns);
  // the last block of each row may be short
  const whole = columns % size === 0 ? blocks : blocks - 1;
  for (const [first, count, length] of [
    [0, whole, size],
    [whole, blocks - whole, columns - whole * size],
  ] as const) {
    const step = Math.max(1, Math.floor(TOGETHER / Math.max(1, count * length)));
    for (let r = 0; count > 0 && r < rows; r += step)
      solveBlocks(
        { values, codes, scale, zeroPoint },
        { rows: [r, Math.min(rows, r + step)], first, count, length, size, blocks, columns },
        scheme,
        method,
      );
  }
  return { ...params, scale, zeroPoint, codes: Tensor.codes(scheme.dtype, codes, [rows, columns]) };
}

interface Room {
  readonly values: Float32Array;
  readonly codes: Int32Array;
  readonly scale: Float32Array;
  readonly zeroPoint: Int32Array;
}
interface Blocks {
  readonly rows: readonly [from: number, to: number];
  readonly first: number;
  readonly count: number;
  /** Elements of each of these blocks. */
  readonly length: number;
  readonly size: number;
  readonly blocks: number;
  readonly columns: number;
}

function solveBlocks(room: Room, b: Blocks, scheme: QuantScheme, { by, options }: Chosen<WeightMethod>): void {
  const { length, count } = b;
  const [from, to] = b.rows;
  const parts = (to - from) * count;
  const target = new Float64Array(parts * length);
  const part = new Int32Array(target.length);
  const grid = { scale: new Float64Array(parts), zeroPoint: new Int32Array(parts) };
  const visit = (each: (p: number, param: number, at: number) => void): void => {
    for (let r = from, p = 0; r < to; r++)
      for (let k = b.first; k < b.first + count; k++, p++) each(p, r * b.blocks + k, r * b.columns + k * b.size);
  };
  let zeros = 0;
  visit((p, param, at) => {
    grid.scale[p] = room.scale[param]!;
    grid.zeroPoint[p] = room.zeroPoint[param]!;
    for (let i = 0; i < length; i++) {
      const w = room.values[at + i]!;
      target[p * length + i] = w;
      part[p * length + i] = p;
      if (w === 0) zeros++;
    }
  });
  const [low, high] = clipRange(scheme);
  const hessian = new Float64Array(length * length);
  for (let i = 0; i < length; i++) hessian[i * length + i] = 1;
  const problem = {
    rows: parts,
    columns: length,
    target,
    hessian,
    grid: { part, ...grid, low, high, symmetric: scheme.symmetric },
    ...(zeros ? { zeros: Uint8Array.from(target, (w) => (w === 0 ? 1 : 0)) } : {}),
  };
  const made = withZeros(by.solve(problem, options), problem);
  visit((p, param, at) => {
    room.scale[param] = made.scale[p]!;
    room.zeroPoint[param] = made.zeroPoint[p]!;
    for (let i = 0; i < length; i++) room.codes[at + i] = made.codes[p * length + i]!;
  });
}
