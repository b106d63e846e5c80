/** Rotations that spread what one channel holds over all of them and leave the mean of the channels where it is. */
import { createRng, permutation } from '../../base/rng.js';
import { linearKernels, type LinearKernels } from '../../codes/linear-kernels.js';

export interface Rotation {
  readonly size: number;
  /** v ← Qᵀv: a column that reads x·Q instead of x, or the transpose of a row x that becomes x·Q. */
  turn(v: Float64Array): void;
}

/**
 * Q = OᵀMO with O = Hadamard(2^k) ⊗ DCT(m) for a size of 2^k·m, and M a seeded permutation with signs that keeps the
 * first place. The first row of O is constant, so Q·1 = 1: the mean of x·Q is that of x, and LayerNormalization without
 * affine gives LN(x)·Q for x·Q. Entries of Q are about 1/√size. Takes size·(k + m) steps, not size².
 * source: QuaRot, https://arxiv.org/abs/2404.00456, with the mean kept so that LayerNormalization need not become RMS
 */
export function createRotation(size: number, seed: number, kernels: LinearKernels = linearKernels()): Rotation {
  const hadamard = (v: Float64Array): void => {
    // orthonormal and its own inverse
    kernels.hadamard(v, m);
    const scale = Math.sqrt(m / size);
    for (let i = 0; i < size; i++) v[i]! *= scale;
  };
  let m = size;
  while (m % 2 === 0) m /= 2;
  const rng = createRng(seed, `rotation ${size}`);
  const order = permutation(size - 1, rng);
  const sign = Float64Array.from({ length: size }, (_, i) => (i > 0 && rng.next() < 0.5 ? -1 : 1));
  const cosine = Float64Array.from({ length: m * m }, (_, at) => {
    const [i, j] = [Math.floor(at / m), at % m];
    return i === 0 ? 1 / Math.sqrt(m) : Math.sqrt(2 / m) * Math.cos((Math.PI * (2 * j + 1) * i) / (2 * m));
  });
  const other = new Float64Array(size);
  /** Each run of m by the cosine matrix or its transpose. */
  const short = (v: Float64Array, back: boolean): void => {
    if (m === 1) return;
    other.set(v);
    for (let at = 0; at < size; at += m) {
      for (let i = 0; i < m; i++) {
        let sum = 0;
        for (let j = 0; j < m; j++) sum += (back ? cosine[j * m + i]! : cosine[i * m + j]!) * other[at + j]!;
        v[at + i] = sum;
      }
    }
  };
  return {
    size,
    turn(v) {
      short(v, false);
      hadamard(v);
      other.set(v);
      // a permutation of what follows the first place
      for (let i = 1; i < size; i++) v[i] = sign[i]! * other[order[i - 1]! + 1]!;
      hadamard(v);
      short(v, true);
    },
  };
}

/** Every vector along an axis turned, after its elements were multiplied by `factor`. */
export function turnAxis(
  r: Rotation,
  data: ArrayLike<number>,
  dims: readonly number[],
  axis: number,
  factor?: ArrayLike<number>,
): Float32Array {
  const inner = dims.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = dims.slice(0, axis).reduce((n, d) => n * d, 1);
  const out = new Float32Array(data.length);
  const [v] = linearKernels().arrays(r.size) as [Float64Array]; // as many as asked for
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const from = o * r.size * inner + i;
      for (let c = 0; c < r.size; c++) v[c] = data[from + c * inner]! * (factor ? factor[c]! : 1);
      r.turn(v);
      for (let c = 0; c < r.size; c++) out[from + c * inner] = v[c]!;
    }
  }
  return out;
}

/** Qᵀ as a row-major matrix, or Q. */
export function matrixOf(r: Rotation, transposed: boolean): Float32Array {
  const unit = new Float32Array(r.size * r.size);
  for (let i = 0; i < r.size; i++) unit[i * r.size + i] = 1;
  return turnAxis(r, unit, [r.size, r.size], transposed ? 0 : 1);
}
