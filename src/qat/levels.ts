/** Fake quantization to the levels of a coding: power-of-two, ternary, binary with its sign, shared values. */
import { Tensor } from '../ir/tensor.js';
import type { Value } from '../ir/graph.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { withGrid, type CodeGrid } from '../scheme/codings/chosen.js';
import { rowMajor } from '../scheme/codings/matrix.js';
import type { Coded, Matrix } from '../scheme/codings/types.js';
import { addSize, grown, pacesOf } from './step-size.js';

export interface CodedWeight {
  readonly name: string;
  readonly matrix: Matrix;
  readonly dims: readonly number[];
  /** What the coding made of the weight. */
  readonly coded: Coded;
  readonly grid: CodeGrid;
  readonly learns: 'scales' | 'levels' | 'neither';
  readonly relative: boolean;
}
export interface FakeLevels {
  readonly value: Value;
  /** Values that gradients must not pass. */
  readonly constants: readonly string[];
  readonly learned: string | undefined;
  /** The codes that values of the weight and of what is learned beside it mean. */
  read(weight: Float32Array, learned: Tensor | undefined): Coded;
}

/** The weight as its levels mean it: nearest ones, or those that it has where the levels themselves are learned. */
export function fakeLevels(b: GraphBuilder, weight: Value, w: CodedWeight): FakeLevels {
  return w.learns === 'levels' ? sharedValues(b, w) : nearestLevels(b, weight, w);
}

/**
 * The nearest level of w / scale, with the gradient of clipping to the outermost levels, and the scale's that of
 * learned step sizes: (level − w / scale) within, the level beyond.
 */
function nearestLevels(b: GraphBuilder, weight: Value, w: CodedWeight): FakeLevels {
  const { grid, matrix, name } = w;
  const op = (kind: string, inputs: Value[], attrs: Readonly<Record<string, number>> = {}): Value =>
    b.op(kind, inputs, { attrs, name: `${name}_${kind}` });
  const { scale, learned, factor } = scalesOf(b, w);
  const rows = asRows(b, weight, w);
  const ratio = scale ? op('Div', [rows, scale]) : rows;
  const [low, high] = [grid.levels[0] ?? 0, grid.levels[grid.count - 1] ?? 0];
  const within = op('Clip', [ratio, b.constant(low), b.constant(high)]);
  const constants: string[] = [];
  let nearest: Value;
  if (grid.levels.every((v, i) => v === low + i)) nearest = op('Round', [within]);
  else {
    const middles = Float32Array.from({ length: grid.count - 1 }, (_, i) => middleOf(grid.levels, i));
    const wide = op('Unsqueeze', [ratio, b.constant(Tensor.i64([-1]))]);
    const above = b.op('Cast', [op('Greater', [wide, b.constant(Tensor.f32(middles))])], { attrs: { to: 6 } });
    const index = op('ReduceSum', [above, b.constant(Tensor.i64([-1]))], { keepdims: 0 });
    const off = op('Sub', [op('Gather', [b.constant(Tensor.f32(grid.levels)), index]), within]);
    constants.push(off.name);
    nearest = op('Add', [within, off]);
  }
  const value = asWeight(b, scale ? op('Mul', [nearest, scale]) : nearest, w);
  const read = (values: Float32Array, t: Tensor | undefined): Coded => {
    const moved = t?.f64();
    const scales = grid.scale?.map((s, i) => (moved ? s * grown(moved[i] ?? 0, factor[i] ?? 1, w.relative) : s));
    const all = rowMajor({ ...matrix, values }, grid.size);
    const blocks = grid.size;
    const codes = Int32Array.from(all, (x, at) =>
      codeOf(grid, Math.fround(x / (scales?.[Math.floor(at / blocks)] ?? 1))),
    );
    return withGrid(w.coded, { ...grid, codes, scale: scales });
  };
  return { value, constants, learned, read };
}

/** Codes stay; the values that they stand for are learned, each by the sum of the gradients of its weights. */
function sharedValues(b: GraphBuilder, w: CodedWeight): FakeLevels {
  const { grid, matrix, name } = w;
  const tables = grid.count ? grid.levels.length / grid.count : 1;
  const entries = b.constant(
    Tensor.f32(grid.levels, tables > 1 ? [tables, grid.count] : [grid.count]),
    `levels of ${name}`,
  );
  const whole = [matrix.rows, grid.width];
  const shape = tables > 1 ? [tables, grid.codes.length / tables] : whole;
  const index = b.constant(Tensor.i64([...grid.codes], shape), `${name}_codes`);
  let values =
    tables > 1
      ? b.op('GatherElements', [entries, index], { attrs: { axis: 1 }, name: `${name}_shared` })
      : b.op('Gather', [entries, index], { name: `${name}_shared` });
  if (tables > 1 && tables < matrix.rows)
    values = b.op('Reshape', [values, b.constant(Tensor.i64(whole))], { name: `${name}_shared` });
  const { scale } = scalesOf(b, { ...w, learns: 'neither' });
  const value = asWeight(b, scale ? b.op('Mul', [values, scale]) : values, w);
  const read = (_: Float32Array, levels: Tensor | undefined): Coded =>
    withGrid(w.coded, { ...grid, levels: levels?.f32() ?? grid.levels });
  return { value, constants: [], learned: entries.name, read };
}

/** The code of a number in units of the scale; ties go where onnxruntime's rounding or the comparison puts them. */
function codeOf({ levels, count }: CodeGrid, x: number): number {
  let [low, high] = [0, count - 1];
  const uniform = levels[count - 1] === (levels[0] ?? 0) + count - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const border = middleOf(levels, middle);
    // integers are rounded half to even
    if (x > border || (uniform && x === border && (levels[middle] ?? 0) % 2 !== 0)) low = middle + 1;
    else high = middle;
  }
  return low;
}
const middleOf = (levels: Float32Array, i: number): number =>
  Math.fround(((levels[i] ?? 0) + (levels[i + 1] ?? 0)) / 2);

interface Scales {
  readonly scale: Value | undefined;
  readonly learned: string | undefined;
  readonly factor: Float32Array;
}
/** One for each element of the rows, or of the shape [rows, 1]. See addSize() for how they move. */
function scalesOf(b: GraphBuilder, { grid, matrix, name, learns, relative }: CodedWeight): Scales {
  const { scale: given, size, width, levels, count } = grid;
  if (!given) return { scale: undefined, learned: undefined, factor: new Float32Array(0) };
  const blocks = size ? width / size : 0;
  const dims = [matrix.rows, blocks];
  const factor = pacesOf(given, size, levels[count - 1] ?? 1, relative);
  const pace = learns === 'scales' ? factor : undefined;
  const { size: scale, learned } = addSize(b, { name, start: given, shape: dims, pace, relative });
  if (blocks === 1) return { scale, learned, factor };
  const places = Array.from({ length: width }, (_, i) => Math.floor(i / size));
  const spread = b.op('Gather', [scale, b.constant(Tensor.i64(places))], { attrs: { axis: 1 } });
  return { scale: spread, learned, factor };
}

/** [rows, width], filled up with zeros. */
function asRows(b: GraphBuilder, weight: Value, { matrix, grid, name }: CodedWeight): Value {
  const turned = matrix.rowStride === 1 && matrix.rows > 1 && matrix.columns > 1;
  const flat = (dims: readonly number[]): Value =>
    b.op('Reshape', [weight, b.constant(Tensor.i64(dims))], { name: `${name}_rows` });
  const rows = turned
    ? b.op('Transpose', [flat([matrix.columns, matrix.rows])], { attrs: { perm: [1, 0] } })
    : flat([matrix.rows, matrix.columns]);
  const more = grid.width - matrix.columns;
  if (!more) return rows;
  return b.op('Pad', [rows, b.constant(Tensor.i64([0, 0, 0, more])), b.constant(0)], { name: `${name}_filled` });
}
function asWeight(b: GraphBuilder, rows: Value, { matrix, grid, name, dims }: CodedWeight): Value {
  const turned = matrix.rowStride === 1 && matrix.rows > 1 && matrix.columns > 1;
  const ints = (...values: number[]): Value => b.constant(Tensor.i64(values));
  let v = rows;
  if (grid.width !== matrix.columns) v = b.op('Slice', [v, ints(0), ints(matrix.columns), ints(1)]);
  if (turned) v = b.op('Transpose', [v], { attrs: { perm: [1, 0] } });
  return b.op('Reshape', [v, ints(...dims)], { name: `${name}_coded` });
}
