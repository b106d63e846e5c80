/** What several layers together may cost, spent where it keeps most. */
import { item } from '../base/lists.js';

export interface Choice {
  /** What it costs. */
  readonly work: number;
  /** What it loses, such as a share of the energy of the outputs. */
  readonly lost: number;
}

/**
 * One choice of each layer: from the cheapest of all up, what lowers the loss most for the work goes first, as long as
 * it fits (the Lagrangian optimum of the sum of the losses); what is then left of the limit goes to whatever still
 * fits. Where even the cheapest are too much, those.
 */
export function spend<C extends Choice>(layers: readonly (readonly C[])[], limit: number): C[] {
  const useful = layers.map(worthwhile);
  const hulls = useful.map(hullOf);
  const taken = hulls.map((hull) => item(hull, 0));
  let rest = limit - taken.reduce((n, c) => n + c.work, 0);
  const rate = (from: Choice, to: Choice): number => (from.lost - to.lost) / (to.work - from.work);
  const steps = hulls
    .flatMap((hull, layer) => hull.slice(1).map((to, i) => ({ layer, to, rate: rate(item(hull, i), to) })))
    .sort((a, b) => b.rate - a.rate || a.layer - b.layer || a.to.work - b.to.work);
  const stopped = new Set<number>();
  for (const { layer, to } of steps) {
    const more = to.work - item(taken, layer).work;
    // The steps of a layer build on each other.
    if (stopped.has(layer) || more > rest) {
      stopped.add(layer);
      continue;
    }
    taken[layer] = to;
    rest -= more;
  }
  for (;;) {
    let best: { readonly layer: number; readonly to: C; readonly rate: number } | undefined;
    for (const [layer, from] of taken.entries())
      for (const to of item(useful, layer)) {
        if (to.work <= from.work || to.work - from.work > rest) continue;
        const own = rate(from, to);
        if (own > 0 && own > (best?.rate ?? 0)) best = { layer, to, rate: own };
      }
    if (!best) return taken;
    rest -= best.to.work - item(taken, best.layer).work;
    taken[best.layer] = best.to;
  }
}

/** Those that nothing cheaper beats, cheapest first. */
function worthwhile<C extends Choice>(choices: readonly C[]): C[] {
  const made: C[] = [];
  for (const c of choices.toSorted((a, b) => a.work - b.work || a.lost - b.lost))
    if (c.lost < (made.at(-1)?.lost ?? Infinity)) made.push(c);
  return made;
}

/** The lower convex hull of what falls. */
function hullOf<C extends Choice>(falling: readonly C[]): C[] {
  const hull: C[] = [];
  for (const c of falling) {
    for (;;) {
      const [a, b] = [hull.at(-2), hull.at(-1)];
      if (!a || !b || (a.lost - b.lost) * (c.work - b.work) > (b.lost - c.lost) * (b.work - a.work)) break;
      hull.pop();
    }
    hull.push(c);
  }
  return hull;
}
