import { OutputErrorMeter } from '../evaluate/output-error.js';
import { numbersOf } from '../evaluate/tensors.js';
import { elementCount } from '../ir/tensor.js';
import type { FeedTensor } from '../ir/feed.js';
import { layoutOf } from '../scheme/layout.js';
import { clipRange } from '../scheme/params.js';
import type { QuantParams } from '../scheme/types.js';

/** What {@link TensorMeter} found; see TensorError of the record. */
export interface TensorFacts {
  readonly sqnrDb?: number;
  readonly cosine: number;
  readonly saturated?: number;
  readonly channels?: number;
  readonly deadChannels?: number;
  readonly nonFinite?: { readonly float: number; readonly quantized: number };
}

/**
 * Streams the error of one tensor, its saturated codes and its dead channels, in sums that do not grow with the data.
 */
export class TensorMeter {
  readonly #error: OutputErrorMeter;
  readonly #params: QuantParams | undefined;
  readonly #axis: number | undefined;
  #values = 0;
  #saturated = 0;
  /**
   * Per channel, bit 0: the float model left zero, bit 1: the quantized model did. Undefined before the first batch and
   * where the number of channels changes.
   */
  #alive: Uint8Array | undefined;
  #sameChannels = true;

  /** `params` where the quantized tensor comes as codes; `axis` where channels are known. */
  constructor(name: string, params: QuantParams | undefined, axis: number | undefined) {
    this.#error = new OutputErrorMeter(name);
    this.#params = params;
    this.#axis = axis;
  }

  add(float: FeedTensor, quantized: FeedTensor): void {
    const f = numbersOf(float);
    const seen = numbersOf(quantized);
    if (!f || !seen) return;
    const floats = this.#params && this.#dequantize(seen, quantized.dims, this.#params);
    const q = floats ?? seen;
    this.#error.add(float, floats ? { dtype: 'float32', dims: quantized.dims, data: floats } : quantized);
    if (this.#axis !== undefined && f.length === q.length) this.#lookAtChannels(f, q, float.dims, this.#axis);
  }

  /** Undefined where there was nothing to compare. */
  facts(): TensorFacts | undefined {
    const error = this.#error.facts();
    if (!error) return undefined;
    const alive = this.#sameChannels ? this.#alive : undefined;
    return {
      cosine: error.cosine,
      ...(error.sqnrDb !== undefined ? { sqnrDb: error.sqnrDb } : {}),
      ...(this.#params && this.#values ? { saturated: this.#saturated / this.#values } : {}),
      ...(alive ? { channels: alive.length, deadChannels: alive.reduce((n, a) => n + (a === 1 ? 1 : 0), 0) } : {}),
      ...(error.nonFinite ? { nonFinite: error.nonFinite } : {}),
    };
  }

  /** (code − zero point) · scale, counting codes at either end of the range that are not the zero point. */
  #dequantize(codes: ArrayLike<number>, dims: readonly number[], params: QuantParams): Float32Array {
    const { outer, length, inner, group, outerStride, groupStride, innerStride } = layoutOf(
      dims,
      params.scheme.granularity,
    );
    const [low, high] = clipRange(params.scheme);
    const { scale, zeroPoint } = params;
    const out = new Float32Array(elementCount(dims));
    let saturated = 0;
    let at = 0;
    for (let o = 0; o < outer; o++) {
      for (let a = 0; a < length; a++) {
        let p = o * outerStride + Math.floor(a / group) * groupStride;
        for (let i = 0; i < inner; i++, at++, p += innerStride) {
          const q = codes[at]!;
          const z = zeroPoint[p]!;
          if ((q <= low || q >= high) && q !== z) saturated++;
          out[at] = (q - z) * scale[p]!;
        }
      }
    }
    this.#values += out.length;
    this.#saturated += saturated;
    return out;
  }

  #lookAtChannels(f: ArrayLike<number>, q: ArrayLike<number>, dims: readonly number[], axis: number): void {
    const { outer, length, inner } = layoutOf(dims, { kind: 'axis', axis });
    this.#alive ??= new Uint8Array(length);
    if (this.#alive.length !== length) {
      this.#sameChannels = false;
      return;
    }
    const alive = this.#alive;
    let at = 0;
    for (let o = 0; o < outer; o++) {
      for (let c = 0; c < length; c++) {
        let seen = alive[c]!;
        for (let i = 0; i < inner; i++, at++) {
          if (f[at] !== 0) seen |= 1;
          if (q[at] !== 0) seen |= 2;
        }
        alive[c] = seen;
      }
    }
  }
}
