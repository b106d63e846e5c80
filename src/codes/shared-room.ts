/** Memory for sums that threads read, used again from layer to layer. */

/**
 * A thread that was given a shared array holds it until its own heap is cleaned, and sums are the largest thing of a
 * layer: 170 MB at 4,608 inputs. So arrays of a room are taken again instead of made anew.
 */
export class SharedRoom {
  readonly #free: SharedArrayBuffer[] = [];
  readonly #taken = new Set<SharedArrayBuffer>();

  /** Zeros. */
  take(n: number): Float64Array {
    if (!n) return new Float64Array(0);
    this.#free.sort((a, b) => a.byteLength - b.byteLength);
    const at = this.#free.findIndex((b) => b.byteLength >= 8 * n);
    // where all are too small, the largest gives way: there are never more than were needed at one time
    const [found] = at < 0 ? (this.#free.splice(-1), []) : this.#free.splice(at, 1);
    const buffer = found ?? new SharedArrayBuffer(8 * n);
    this.#taken.add(buffer);
    return new Float64Array(buffer, 0, n).fill(0);
  }
  copy(numbers: Float64Array): Float64Array {
    const copy = this.take(numbers.length);
    copy.set(numbers);
    return copy;
  }
  /** What is not taken is no longer kept. */
  forget(): void {
    this.#free.length = 0;
  }
  /** All that was taken may be taken again. */
  clear(): void {
    this.#free.push(...this.#taken);
    this.#taken.clear();
  }
}
