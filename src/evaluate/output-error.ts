import type { FeedTensor } from '../ir/feed.js';
import type { OutputFacts } from '../record/index.js';
import { PartMeter } from './error-parts.js';
import { numbersOf } from './tensors.js';

/** The cosine of an output, or of its worst part. */
export const worstCosine = (o: OutputFacts): number => Math.min(o.cosine, ...(o.parts ?? []).map((p) => p.cosine));

/** Streams the error of one output in float64 sums: its memory does not grow with the data. */
export class OutputErrorMeter {
  readonly #name: string;
  #count = 0;
  #floatSquares = 0;
  #quantizedSquares = 0;
  #products = 0;
  #errorSquares = 0;
  #maxAbsError = 0;
  #floatNonFinite = 0;
  #quantizedNonFinite = 0;
  #lost = 0;
  #otherShape = 0;
  #added = 0;
  readonly #parts = new PartMeter();
  constructor(name: string) {
    this.#name = name;
  }

  /** Tensors of another shape, such as a varying number of detections, are counted and left out. */
  add(float: FeedTensor, quantized: FeedTensor): void {
    const f = numbersOf(float);
    const q = numbersOf(quantized);
    if (!f || !q) return;
    this.#added++;
    if (float.dims.length !== quantized.dims.length || float.dims.some((d, i) => d !== quantized.dims[i])) {
      this.#otherShape++;
      if (allFinite(f)) this.#lost += countNonFinite(q);
      return;
    }
    let ff = 0;
    let qq = 0;
    let fq = 0;
    let ee = 0;
    let high = this.#maxAbsError;
    let left = 0;
    for (let i = 0; i < f.length; i++) {
      const x = f[i]!;
      const y = q[i]!;
      const error = x - y;
      if (!Number.isFinite(error)) {
        if (!Number.isFinite(x)) this.#floatNonFinite++;
        if (!Number.isFinite(y)) this.#quantizedNonFinite++;
        if (Number.isFinite(x) && !Number.isFinite(y)) this.#lost++;
        left++;
        continue;
      }
      ff += x * x;
      qq += y * y;
      fq += x * y;
      ee += error * error;
      if (error > high) high = error;
      else if (-error > high) high = -error;
    }
    this.#count += f.length - left;
    this.#floatSquares += ff;
    this.#quantizedSquares += qq;
    this.#products += fq;
    this.#errorSquares += ee;
    this.#maxAbsError = high;
    this.#parts.add(float.dims, f, q);
  }

  get quantizedNonFinite(): number {
    return this.#quantizedNonFinite;
  }
  get floatNonFinite(): number {
    return this.#floatNonFinite;
  }

  /** Undefined where the output never held numbers. */
  facts(): OutputFacts | undefined {
    if (!this.#added) return undefined;
    const ff = this.#floatSquares;
    const qq = this.#quantizedSquares;
    const ee = this.#errorSquares;
    // The square roots are taken apart so that large sums do not overflow; rounding may pass 1.
    const cosine =
      ff > 0 && qq > 0
        ? Math.max(-1, Math.min(1, this.#products / (Math.sqrt(ff) * Math.sqrt(qq))))
        : ff === 0 && qq === 0 && this.#count > 0
          ? 1
          : 0;
    const parts = this.#parts.parts();
    return {
      name: this.#name,
      cosine,
      mse: this.#count ? ee / this.#count : 0,
      maxAbsError: this.#maxAbsError,
      ...(ff > 0 && ee > 0 ? { sqnrDb: 10 * Math.log10(ff / ee) } : {}),
      ...(this.#floatNonFinite || this.#quantizedNonFinite || this.#lost
        ? {
            nonFinite: {
              float: this.#floatNonFinite,
              quantized: this.#quantizedNonFinite,
              ...(this.#lost ? { lost: this.#lost } : {}),
            },
          }
        : {}),
      ...(parts ? { parts } : {}),
      ...(this.#otherShape ? { otherShape: this.#otherShape } : {}),
    };
  }
}

function countNonFinite(values: ArrayLike<number>): number {
  let n = 0;
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) n++;
  return n;
}
const allFinite = (values: ArrayLike<number>): boolean => countNonFinite(values) === 0;
