/** Addresses taken over time: where the first gap is that stays free from one node to another. */

/** Disjoint ranges of addresses in order, those that touch joined. */
class Ranges {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** The least address from `at` on from which `bytes` are free. */
  free(at: number, bytes: number): number {
    for (let i = this.#firstEndingAfter(at); i < this.#starts.length && this.#starts[i]! - at < bytes; i++)
      at = Math.max(at, this.#ends[i]!);
    return at;
  }

  add(start: number, end: number): void {
    let i = this.#firstEndingAfter(start);
    if (i > 0 && this.#ends[i - 1] === start) i--;
    let next = i;
    while (next < this.#starts.length && this.#starts[next]! <= end) next++;
    const first = next > i ? Math.min(start, this.#starts[i]!) : start;
    const last = next > i ? Math.max(end, this.#ends[next - 1]!) : end;
    this.#starts.splice(i, next - i, first);
    this.#ends.splice(i, next - i, last);
  }

  #firstEndingAfter(at: number): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ends[middle]! > at) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/**
 * A tree over the positions of nodes. Each part of it holds what is taken throughout (`whole`) and what is taken
 * anywhere within (`some`), so that a question about a span looks at a few parts instead of at every buffer.
 */
export class Arena {
  readonly #size: number;
  readonly #whole = new Map<number, Ranges>();
  readonly #some = new Map<number, Ranges>();
  /** Positions are 0 to `positions` − 1. */
  constructor(positions: number) {
    this.#size = 2 ** Math.ceil(Math.log2(Math.max(1, positions)));
  }

  /** The least address from which `bytes` are free at every position from `from` to `to`. */
  lowestFree(bytes: number, from: number, to: number): number {
    const looked: Ranges[] = [];
    this.#walk(1, 0, this.#size - 1, from, to, (part, inside) => {
      const ranges = (inside ? this.#some : this.#whole).get(part);
      if (ranges) looked.push(ranges);
    });
    let at = 0;
    for (let moved = true; moved;) {
      moved = false;
      for (const ranges of looked) {
        const free = ranges.free(at, bytes);
        if (free > at) [at, moved] = [free, true];
      }
    }
    return at;
  }

  take(offset: number, bytes: number, from: number, to: number): void {
    if (!bytes) return;
    this.#walk(1, 0, this.#size - 1, from, to, (part, inside) => {
      if (inside) rangesAt(this.#whole, part).add(offset, offset + bytes);
      rangesAt(this.#some, part).add(offset, offset + bytes);
    });
  }

  /** Visits the parts that a span crosses, and those that lie inside it without what is below them. */
  #walk(
    part: number,
    low: number,
    high: number,
    from: number,
    to: number,
    see: (part: number, inside: boolean) => void,
  ): void {
    if (to < low || high < from) return;
    const inside = from <= low && high <= to;
    see(part, inside);
    if (inside) return;
    const middle = (low + high) >> 1;
    this.#walk(2 * part, low, middle, from, to, see);
    this.#walk(2 * part + 1, middle + 1, high, from, to, see);
  }
}

function rangesAt(map: Map<number, Ranges>, part: number): Ranges {
  const found = map.get(part) ?? new Ranges();
  map.set(part, found);
  return found;
}
