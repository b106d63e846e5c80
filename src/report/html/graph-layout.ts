/**
 * Places of the nodes of a graph, drawn from top to bottom in layers. The steps are those of Sugiyama, Tagawa & Toda
 * ("Methods for Visual Understanding of Hierarchical System Structures", 1981): ranks by longest path, bends where an
 * edge passes a rank, orders by barycentres; x then is the least-squares place beside the neighbours that keeps the
 * gaps.
 */
export interface Place {
  readonly x: number;
  readonly y: number;
}
export interface Drawn {
  readonly width: number;
  readonly height: number;
  /** Centre of each node, in the order of the input. */
  readonly places: readonly Place[];
  /** Each edge as the points it passes, its ends included. */
  readonly edges: readonly { readonly from: number; readonly to: number; readonly path: readonly Place[] }[];
}
export const NODE = { width: 148, height: 36 } as const;
const GAP = { x: 18, y: 30, bend: 14 } as const;
/** Beyond this many bends edges are drawn straight through: orders would take long to find. */
const MOST_BENDS = 20_000;
const SWEEPS = 6;

/** Edges that do not go from a node to another one, or that close a cycle, are left out. */
export function layout(count: number, edges: readonly (readonly [number, number])[]): Drawn {
  const { rank, kept } = ranked(count, edges);
  const ranks: number[][] = Array.from({ length: count ? Math.max(...rank) + 1 : 0 }, () => []);
  for (let i = 0; i < count; i++) ranks[rank[i]!]!.push(i); // rank has an entry for each node
  // Items from `count` on are the bends.
  const rankOf = [...rank];
  const down: number[][] = Array.from({ length: count }, () => []);
  const up: number[][] = Array.from({ length: count }, () => []);
  const chains = kept.map(([from, to]) => {
    const chain = [from];
    const link = (next: number): void => {
      down[chain.at(-1)!]!.push(next);
      up[next]!.push(chain.at(-1)!);
      chain.push(next);
    }; // both exist by now
    for (let r = rank[from]! + 1; r < rank[to]! && rankOf.length - count < MOST_BENDS; r++) {
      const bend = rankOf.length;
      rankOf.push(r);
      down.push([]);
      up.push([]);
      ranks[r]!.push(bend);
      link(bend);
    }
    link(to);
    return { from, to, chain };
  });
  order(ranks, up, down);
  const x = spreadOut(ranks, up, down, (i) => (i < count ? NODE.width + GAP.x : GAP.bend));
  const least = x.reduce((a, b, i) => Math.min(a, b - (i < count ? NODE.width / 2 : 0)), Infinity);
  const most = x.reduce((a, b, i) => Math.max(a, b + (i < count ? NODE.width / 2 : 0)), -Infinity);
  const place = (i: number): Place => ({
    x: Math.round(x[i]! - least + 8),
    y: rankOf[i]! * (NODE.height + GAP.y) + NODE.height / 2 + 8,
  }); // i is an item
  return {
    width: count ? Math.ceil(most - least) + 16 : 0,
    height: count ? ranks.length * (NODE.height + GAP.y) - GAP.y + 16 : 0,
    places: Array.from({ length: count }, (_, i) => place(i)),
    edges: chains.map(({ from, to, chain }) => ({ from, to, path: chain.map(place) })),
  };
}

/** Longest path from a source (Kahn's order); nodes on cycles come last, each in a rank of its own. */
function ranked(
  count: number,
  edges: readonly (readonly [number, number])[],
): { rank: number[]; kept: (readonly [number, number])[] } {
  const seen = new Set<number>();
  const valid = edges.filter(([a, b]) => {
    const key = a * count + b;
    if (
      !Number.isInteger(a) ||
      !Number.isInteger(b) ||
      !(a >= 0 && b >= 0 && a < count && b < count) ||
      a === b ||
      seen.has(key)
    )
      return false;
    seen.add(key);
    return true;
  });
  const next: number[][] = Array.from({ length: count }, () => []);
  const open = new Array<number>(count).fill(0);
  for (const [a, b] of valid) {
    next[a]!.push(b);
    open[b]!++;
  }
  const rank = new Array<number>(count).fill(0);
  const done = new Array<boolean>(count).fill(false);
  const ready = open.flatMap((n, i) => (n === 0 ? [i] : []));
  for (let at = 0; at < ready.length; at++) {
    const a = ready[at]!;
    done[a] = true;
    for (const b of next[a]!) {
      rank[b] = Math.max(rank[b]!, rank[a]! + 1);
      if (--open[b]! === 0) ready.push(b);
    }
  }
  let last = rank.reduce((m, r, i) => (done[i] ? Math.max(m, r) : m), -1);
  for (let i = 0; i < count; i++) if (!done[i]) rank[i] = ++last;
  return { rank, kept: valid.filter(([a, b]) => rank[a]! < rank[b]!) };
}

/** Sorts each rank by the mean place of its neighbours, down and up in turn. */
function order(ranks: number[][], up: readonly (readonly number[])[], down: readonly (readonly number[])[]): void {
  const place: number[] = [];
  const note = (r: readonly number[]): void =>
    r.forEach((item, i) => {
      place[item] = i - r.length / 2;
    });
  ranks.forEach(note);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const near = sweep % 2 ? down : up;
    for (const r of sweep % 2 ? [...ranks].reverse() : ranks) {
      const key = new Map(
        r.map((i) => [i, near[i]!.length ? near[i]!.reduce((s, n) => s + place[n]!, 0) / near[i]!.length : place[i]!]),
      );
      r.sort((a, b) => named(key, a) - named(key, b) || place[a]! - place[b]!);
      note(r);
    }
  }
}

/** x of each item: as near to its neighbours as the gaps allow. */
function spreadOut(
  ranks: readonly (readonly number[])[],
  up: readonly (readonly number[])[],
  down: readonly (readonly number[])[],
  width: (item: number) => number,
): number[] {
  const x: number[] = [];
  for (const r of ranks) {
    let at = 0;
    for (const i of r) {
      x[i] = at + width(i) / 2;
      at += width(i);
    }
    for (const i of r) x[i] = x[i]! - at / 2;
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const r of sweep % 2 ? [...ranks].reverse() : ranks) {
      const near = sweep % 2 ? down : up;
      const wanted = r.map((i) =>
        near[i]!.length ? near[i]!.reduce((s, n) => s + x[n]!, 0) / near[i]!.length : x[i]!,
      );
      fit(wanted, r.map(width)).forEach((v, at) => {
        x[r[at]!] = v;
      });
    }
  }
  return x;
}

/**
 * Least squares of x − wanted with x[i+1] − x[i] ≥ half of both widths: isotonic regression by pooling adjacent
 * violators.
 */
function fit(wanted: readonly number[], widths: readonly number[]): number[] {
  const offset: number[] = [];
  widths.forEach((w, i) => offset.push(i ? offset[i - 1]! + (widths[i - 1]! + w) / 2 : 0));
  const pools: { sum: number; n: number }[] = [];
  wanted.forEach((w, i) => {
    let pool = { sum: w - offset[i]!, n: 1 };
    for (let last = pools.at(-1); last && last.sum / last.n >= pool.sum / pool.n; last = pools.at(-1)) {
      pool = { sum: pool.sum + last.sum, n: pool.n + last.n };
      pools.pop();
    }
    pools.push(pool);
  });
  return pools.flatMap((p) => new Array<number>(p.n).fill(p.sum / p.n)).map((v, i) => v + offset[i]!);
}
import { named } from '../../base/lists.js';
