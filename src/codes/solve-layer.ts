/** One layer: its codes, scales and bias by its method, from what was measured of its inputs. */
import type { Node } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import { packedOrder } from '../ops/packing.js';
import { normalAxis } from '../ops/spec.js';
import type { QuantParams } from '../scheme/types.js';
import { dot } from './linear-kernels.js';
import { gridOf, rowsOfLayer, type LayerShape, type RowRange } from '../channels/layer.js';
import type { Damped, InputSums } from './measure.js';
import { settled } from './pairs.js';
import type { RowsSolver } from './solver.js';
import { withZeros, type Solved, type WeightMethod } from './types.js';
import type { LayerwiseOptions } from './types.js';
import type { SharedRoom } from './shared-room.js';

export const methodFor = (
  o: LayerwiseOptions,
  node: Node,
): { readonly method: WeightMethod; readonly options: unknown } =>
  o.methodOf?.(node) ?? { method: o.method, options: o.methodOptions };

export interface Made {
  readonly params: QuantParams;
  readonly weights: Float32Array;
  readonly bias: Float32Array | undefined;
}

/** What a layer is solved with: its inputs, and their products with a little on the diagonal, of each group. */
export interface Seen {
  readonly sums: readonly InputSums[];
  readonly damped: readonly Damped[];
  /** Whether nothing else needs the sums. */
  readonly last: boolean;
}

/**
 * What the layers of a step are solved with. Layers of the same inputs share a matrix, which takes the place of their
 * products unless scales are corrected.
 */
export function seenBy(o: LayerwiseOptions, step: readonly (readonly InputSums[])[], room: SharedRoom): Seen[] {
  const made = new Map<Float64Array, Damped>();
  const dampedOf = ({ products, sums }: InputSums): Damped => {
    const own = made.get(products) ?? damp(o.correctScale ? room.copy(products) : products, sums.length, o.damping);
    made.set(products, own);
    return own;
  };
  return step.map((sums, i) => ({ sums, damped: sums.map(dampedOf), last: i === step.length - 1 }));
}

export async function quantizeLayer(
  o: LayerwiseOptions,
  shape: LayerShape,
  start: QuantParams,
  solver: RowsSolver,
  seen?: Seen,
): Promise<Made> {
  const original = shape.weight.data!.f32(); // a layer's weight is constant
  const weights = original.slice();
  const scale = start.scale.slice();
  const zeroPoint = start.zeroPoint.slice();
  const oldBias = shape.bias?.data?.f64();
  const bias = oldBias?.slice();
  const expected =
    seen || (shape.view.kind !== 'window' && shape.input.shape?.length !== 2)
      ? undefined
      : o.expected?.get(shape.input)?.mean; // moments are along axis 1
  // layers have weights of their own, so that there is one way to take them
  const packing = o.packings?.get(shape.weight)?.[0];
  const packed = packing && packedOrder(packing).map((offset) => offset / shape.columnStride);
  const ranges = rangesOf(shape, start);
  for (const [at, range] of ranges.entries()) {
    const { group: g, first, rows } = range;
    const { grid, parts } = gridOf(shape, start, range);
    const float = rowsOfLayer(shape, original, range);
    const input = seen?.sums[g];
    const damped = seen?.damped[g];
    const hessian = damped?.matrix ?? identity(shape.columns);
    const target = input && damped && o.matchFloat ? await solver.fit(float, range.rows, damped, input) : float;
    if (input && seen.last && at === ranges.length - 1) input.cross = NONE;
    const { method, options } = methodFor(o, shape.node);
    const zeros = float.includes(0) ? Uint8Array.from(float, (w) => (w === 0 ? 1 : 0)) : undefined;
    const problem = { rows, columns: shape.columns, target, hessian, grid, packed, zeros };
    const kept = zeros ? { ...problem, target: target.map((w, at) => (zeros[at] ? 0 : w)) } : problem;
    const solved = settled(kept, withZeros(await solver.solve(problem, method, options, damped), problem));
    const factors =
      input && o.correctScale && ownScales(grid.part, grid.scale.length, shape.columns)
        ? factorsOf(shape, solved, grid.part, input)
        : undefined;
    parts.forEach((p, i) => {
      scale[p] = solved.scale[i]!;
      zeroPoint[p] = solved.zeroPoint[i]!;
    }); // one for each part
    if (factors)
      grid.part.forEach((part, at) => {
        scale[parts[part]!] = solved.scale[part]! * factors[Math.floor(at / shape.columns)]!;
      });
    for (let r = first, at = 0; r < first + rows; r++) {
      let given = 0;
      for (let c = 0; c < shape.columns; c++, at++) {
        const p = parts[grid.part[at]!]!; // every element has a part
        // as dequantize() does: p is a parameter
        const value = Math.fround(solved.codes[at]! - zeroPoint[p]!) * scale[p]!;
        weights[g * shape.groupStride + r * shape.rowStride + c * shape.columnStride] = value;
        if (input) given += value * input.sums[c]!;
        // one for each column, one for each channel
        if (expected && bias) bias[g * shape.rows + r]! -= (value - float[at]!) * expected[channelOf(shape, g, c)]!;
      }
      if (bias && input && o.correctBias)
        bias[g * shape.rows + r] =
          (shape.biasApart ? bias[r]! : 0) + input.output[r]! / input.outputs - given / input.places;
    }
  }
  const corrected =
    (o.correctBias || expected) && bias && bias.length === shape.groups * shape.rows
      ? Float32Array.from(bias)
      : undefined;
  const { codes: _codes, ...rest } = start; // these were of the float weights
  return { params: { ...rest, scale, zeroPoint }, weights, bias: corrected };
}

/** The channel of the layer's input that a column of a group reads. */
function channelOf({ view, weight, columns }: LayerShape, group: number, column: number): number {
  if (view.kind !== 'window') return column;
  const channels = weight.data!.dims[1]!; // a convolution's weight is constant, of at least two axes
  return group * channels + Math.floor(column / (columns / channels));
}

/** Rows of a table that are solved at a time: memory stays flat. */
const TABLE_ROWS = 2048;

/** Elements that are solved at a time, where there are not as many inputs: memory stays flat. */
const TOGETHER = 1 << 23;

/**
 * What is solved together: the rows of a group, and some of them where they are many and have nothing in common but
 * their inputs.
 */
function rangesOf({ view, weight, groups, rows, columns }: LayerShape, { scheme }: QuantParams): RowRange[] {
  const g = scheme.granularity;
  const rank = dataOf(weight).dims.length;
  const own = (axis: number): boolean => normalAxis(axis, rank) === view.outputAxis;
  const shared = g.kind === 'tensor' || (view.kind !== 'lookup' && (g.kind === 'axis') !== own(g.axis));
  const most = view.kind === 'lookup' ? TABLE_ROWS : Math.ceil(Math.max(TOGETHER, columns ** 2) / columns);
  if (shared || rows <= most) return Array.from({ length: groups }, (_, group) => ({ group, first: 0, rows }));
  const parts = Math.ceil(rows / most);
  return Array.from({ length: groups * parts }, (_, i) => {
    const first = (i % parts) * most;
    return { group: Math.floor(i / parts), first, rows: Math.min(most, rows - first) };
  });
}

const NONE = new Float64Array(0);

/** In place. */
function damp(h: Float64Array, k: number, damping: number): Damped {
  let trace = 0;
  for (let i = 0; i < k; i++) trace += h[i * k + i]!;
  const more = trace > 0 ? (damping * trace) / k : 1;
  const before = h[0]!;
  for (let i = 0; i < k; i++) h[i * k + i]! += more;
  return { matrix: h, more: h[0]! - before };
}
function identity(k: number): Float64Array {
  const h = new Float64Array(k * k);
  for (let i = 0; i < k; i++) h[i * k + i] = 1;
  return h;
}

/** Whether every scale belongs to one row. */
function ownScales(part: Int32Array, parts: number, columns: number): boolean {
  const owner = new Int32Array(parts).fill(-1);
  for (let at = 0; at < part.length; at++) {
    const row = Math.floor(at / columns);
    if (owner[part[at]!] === -1) owner[part[at]!] = row;
    else if (owner[part[at]!] !== row) return false; // every element has a part
  }
  return true;
}

/**
 * For each row, what makes its output vary as much as in the float model: BatchNormalization statistics measured again.
 */
function factorsOf({ rows, columns: k }: LayerShape, solved: Solved, part: Int32Array, input: InputSums): Float64Array {
  const made = Float64Array.from(
    solved.codes,
    (q, at) => (q - solved.zeroPoint[part[at]!]!) * solved.scale[part[at]!]!,
  ); // every element has a part
  return Float64Array.from({ length: rows }, (_, r) => {
    // one for each row
    const before = input.outputSquares[r]! / input.outputs - (input.output[r]! / input.outputs) ** 2;
    let square = 0;
    for (let c = 0; c < k; c++)
      if (made[r * k + c]) square += made[r * k + c]! * dot(input.products, c * k, made, r * k, k);
    const after = square / input.places - (dot(input.sums, 0, made, r * k, k) / input.places) ** 2;
    return after > 0 && before > 0 ? Math.min(2, Math.max(0.5, Math.sqrt(before / after))) : 1;
  });
}
