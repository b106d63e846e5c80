/** Kernels of convolutions as products of smaller ones: weights [O, I, height, width], row-major, in float64. */
import { Matrix } from 'ml-matrix';
import { item } from '../base/lists.js';
import { falling, gramOf } from '../codes/spectrum.js';

export interface Kernel {
  readonly values: Float64Array;
  readonly dims: readonly [outputs: number, inputs: number, height: number, width: number];
}
/** Rounds of orthogonal iteration at most, and the gain, as a share of what is kept, below which they end. */
const ROUNDS = 10;
const STILL = 1e-5;

/** Rows by one way of looking at a kernel: of place(row, column) in it. */
function unfolded({ values }: Kernel, rows: number, columns: number, place: (r: number, c: number) => number): Matrix {
  const m = Matrix.zeros(rows, columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) m.set(r, c, item(values, place(r, c)));
  return m;
}

/** Rows are inputs and their height, columns outputs and their width. */
export function spatialMatrix(k: Kernel): Matrix {
  const [o, i, h, w] = k.dims;
  return unfolded(k, i * h, o * w, (r, c) => {
    const [input, y, output, x] = [Math.floor(r / h), r % h, Math.floor(c / w), c % w];
    return ((output * i + input) * h + y) * w + x;
  });
}
export function outputMatrix(k: Kernel): Matrix {
  const [o, i, h, w] = k.dims;
  return unfolded(k, o, i * h * w, (r, c) => r * i * h * w + c);
}
export function inputMatrix(k: Kernel): Matrix {
  const [o, i, h, w] = k.dims;
  return unfolded(k, i, o * h * w, (r, c) => {
    const [output, at] = [Math.floor(c / (h * w)), c % (h * w)];
    return (output * i + r) * h * w + at;
  });
}

/** Squared singular values, falling, as many as the smaller side. */
export function squaresOf(m: Matrix): Float64Array {
  return falling(gramOf(m.rows <= m.columns ? m : m.transpose())).values;
}
/** The leading left singular vectors as columns. */
const leading = (m: Matrix, rank: number): Matrix => falling(gramOf(m)).vectors.subMatrix(0, m.rows - 1, 0, rank - 1);

/**
 * Two kernels, [rank, I, height, 1] and [O, rank, 1, width], whose product is nearest to a kernel.
 * source: Jaderberg et al. 2014, https://arxiv.org/abs/1405.3866, scheme 2, solved exactly by an SVD (Tai et al. 2016)
 */
export function spatialFactors(k: Kernel, rank: number): { readonly first: Kernel; readonly second: Kernel } {
  const [o, i, h, w] = k.dims;
  const m = spatialMatrix(k);
  const u = leading(m, rank);
  const v = u.transpose().mmul(m); // [rank, O·width]
  const first = Float64Array.from({ length: rank * i * h }, (_, at) => u.get(at % (i * h), Math.floor(at / (i * h))));
  const second = Float64Array.from({ length: o * rank * w }, (_, at) => {
    const [output, r, x] = [Math.floor(at / (rank * w)), Math.floor(at / w) % rank, at % w];
    return v.get(r, output * w + x);
  });
  return { first: { values: first, dims: [rank, i, h, 1] }, second: { values: second, dims: [o, rank, 1, w] } };
}

/**
 * Three kernels, [ranks[1], I, 1, 1], [ranks[0], ranks[1], height, width] and [O, ranks[0], 1, 1]: HOSVD, then higher
 * order orthogonal iteration. source: Kim et al. 2016, https://arxiv.org/abs/1511.06530; De Lathauwer et al. 2000
 */
export function tuckerFactors(
  k: Kernel,
  [outer, inner]: readonly [number, number],
): { readonly first: Kernel; readonly core: Kernel; readonly last: Kernel } {
  const [o, i, h, w] = k.dims;
  let b = leading(inputMatrix(k), inner); // [I, inner]
  let a = leading(outputMatrix(k), outer); // [O, outer]
  let kept = 0;
  for (let round = 0; round < ROUNDS; round++) {
    a = leading(outputMatrix(alongInputs(k, b)), outer);
    const seen = falling(gramOf(inputMatrix(alongOutputs(k, a))));
    b = seen.vectors.subMatrix(0, i - 1, 0, inner - 1);
    const before = kept;
    kept = seen.values.subarray(0, inner).reduce((n, v) => n + v, 0);
    if (kept - before <= STILL * kept) break;
  }
  const core = alongOutputs(alongInputs(k, b), a);
  return {
    first: {
      values: Float64Array.from({ length: inner * i }, (_, at) => b.get(at % i, Math.floor(at / i))),
      dims: [inner, i, 1, 1],
    },
    core: { values: core.values, dims: [outer, inner, h, w] },
    last: { values: Float64Array.from(a.to1DArray()), dims: [o, outer, 1, 1] },
  };
}
/** Bᵀ along the inputs. */
function alongInputs(k: Kernel, b: Matrix): Kernel {
  const [o, , h, w] = k.dims;
  const m = b.transpose().mmul(inputMatrix(k)); // [inner, O·height·width]
  const n = b.columns;
  const values = Float64Array.from({ length: o * n * h * w }, (_, at) => {
    const [output, r, place] = [Math.floor(at / (n * h * w)), Math.floor(at / (h * w)) % n, at % (h * w)];
    return m.get(r, output * h * w + place);
  });
  return { values, dims: [o, n, h, w] };
}
/** Aᵀ along the outputs. */
function alongOutputs(k: Kernel, a: Matrix): Kernel {
  const [, i, h, w] = k.dims;
  return { values: Float64Array.from(a.transpose().mmul(outputMatrix(k)).to1DArray()), dims: [a.columns, i, h, w] };
}
