/** Whole numbers to be looked at, least first, each once until it is taken: a binary heap. */
export class Agenda {
  readonly #heap: number[] = [];
  readonly #waiting = new Set<number>();

  get size(): number {
    return this.#heap.length;
  }

  add(n: number): void {
    if (this.#waiting.has(n)) return;
    this.#waiting.add(n);
    const heap = this.#heap;
    let at = heap.push(n) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (heap[up]! <= n) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = n;
  }

  /** Takes the least number; undefined where none is left. */
  take(): number | undefined {
    const heap = this.#heap;
    const least = heap[0];
    const last = heap.pop();
    if (least === undefined || last === undefined) return undefined;
    this.#waiting.delete(least);
    if (!heap.length) return least;
    let at = 0;
    for (let down = 1; down < heap.length; down = 2 * at + 1) {
      if (down + 1 < heap.length && heap[down + 1]! < heap[down]!) down++;
      if (heap[down]! >= last) break;
      heap[at] = heap[down]!;
      at = down;
    }
    heap[at] = last;
    return least;
  }
}
