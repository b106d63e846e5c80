/**
 * The cheapest way to cut a network in two: Dinic's algorithm (Dinitz 1970), capacities in whole numbers below 2^53.
 */
export class Network {
  readonly #to: number[] = [];
  readonly #left: number[] = [];
  readonly #edges: number[][] = [[], []];
  static readonly SOURCE = 0;
  static readonly SINK = 1;

  node(): number {
    this.#edges.push([]);
    return this.#edges.length - 1;
  }
  /** Cutting `from` (on the source's side) off `to` costs `capacity`; the other way round `back`. */
  edge(from: number, to: number, capacity: number, back = 0): void {
    this.#edges[from]?.push(this.#to.push(to) - 1);
    this.#left.push(capacity);
    this.#edges[to]?.push(this.#to.push(from) - 1);
    this.#left.push(back);
  }

  /** The cost of the cheapest cut, and the nodes on the source's side, as few as possible. */
  cut(): { readonly cost: number; readonly source: ReadonlySet<number> } {
    let cost = 0;
    for (;;) {
      const depth = this.#depths();
      if (depth[Network.SINK] === -1) return { cost, source: new Set(depth.flatMap((d, i) => (d >= 0 ? [i] : []))) };
      const next = this.#edges.map(() => 0);
      for (let sent = this.#send(depth, next); sent > 0; sent = this.#send(depth, next)) cost += sent;
    }
  }

  /** Steps from the source over edges that are not full; -1 where out of reach. */
  #depths(): number[] {
    const depth = this.#edges.map(() => -1);
    const queue = [Network.SOURCE];
    depth[Network.SOURCE] = 0;
    for (const at of queue) {
      for (const e of this.#edges[at] ?? []) {
        const to = this.#to[e]!; // every edge has an end and a capacity
        if (this.#left[e]! <= 0 || depth[to] !== -1) continue;
        depth[to] = depth[at]! + 1;
        queue.push(to);
      }
    }
    return depth;
  }
  /**
   * Sends what one more path to the sink holds, downhill; 0 where there is none. Walks without recursion: paths are as
   * long as models.
   */
  #send(depth: readonly number[], next: number[]): number {
    const path: number[] = [];
    let at: number = Network.SOURCE;
    while (at !== Network.SINK) {
      const e = this.#edges[at]?.[next[at]!];
      if (e === undefined) {
        // a dead end: one step back
        const last = path.pop();
        if (last === undefined) return 0;
        at = this.#to[last ^ 1]!; // the edge back leads to where the step began
        next[at]!++;
        continue;
      }
      const to = this.#to[e]!;
      if (this.#left[e]! > 0 && depth[to] === depth[at]! + 1) {
        path.push(e);
        at = to;
      } else next[at]!++;
    }
    let most = Infinity;
    for (const e of path) most = Math.min(most, this.#left[e]!);
    for (const e of path) {
      this.#left[e]! -= most;
      this.#left[e ^ 1]! += most;
    }
    return most;
  }
}
