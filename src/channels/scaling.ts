/** Scaling of channels: weights as float64 until all of it is done. */
import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import type { Value } from '../ir/graph.js';
import type { ChannelSet, Slab } from './groups.js';
import type { ChannelMoments } from '../channels/moments.js';

/** Editable copies of constants, written back once. */
export class Weights {
  readonly #data = new Map<Value, Float64Array>();
  readonly #moments: ReadonlyMap<string, ChannelMoments>;
  /** `moments` are kept up to date with what is scaled. */
  constructor(moments: ReadonlyMap<string, ChannelMoments> = new Map()) {
    this.#moments = moments;
  }

  of(v: Value): Float64Array {
    const known = this.#data.get(v);
    if (known) return known;
    const made = dataOf(v).f64(); // slabs are of constants
    const copy = made.slice(); // f64() may share memory with the tensor
    this.#data.set(v, copy);
    return copy;
  }
  /** Largest magnitude in a slab. */
  largest(s: Slab): number {
    const data = this.of(s.constant);
    let most = 0;
    for (let o = 0, at = s.start; o < s.outer; o++, at += s.stride)
      for (let i = at; i < at + s.inner; i++) {
        const x = Math.abs(data[i]!);
        if (x > most) most = x;
      }
    return most;
  }
  /** Multiplies a slab. */
  scale(s: Slab, by: number): void {
    const data = this.of(s.constant);
    for (let o = 0, at = s.start; o < s.outer; o++, at += s.stride)
      for (let i = at; i < at + s.inner; i++) data[i]! *= by;
  }
  /** The channel becomes `by` times as large; the function stays. */
  rescale(set: ChannelSet, by: number): void {
    for (const s of set.producers) this.scale(s, by);
    for (const s of set.biases) this.scale(s, by);
    for (const s of set.consumers) this.scale(s, 1 / by);
    for (const { value, axis, channel } of set.places) {
      const m = axis === 1 ? this.#moments.get(value.name) : undefined;
      if (m) {
        m.mean[channel]! *= by;
        m.deviation[channel]! *= by;
      }
    }
  }
  /** Puts the edited values into the model, rounded to float32. */
  commit(): void {
    for (const [v, data] of this.#data) {
      const { dims } = dataOf(v);
      v.data = Tensor.f32(Float32Array.from(data), dims);
    }
  }
}
