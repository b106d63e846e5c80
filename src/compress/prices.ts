/** What channels cost, by what a scan of their families measured. */
import { item } from '../base/lists.js';
import type { PruneScan } from './types.js';

type ScanPoint = PruneScan['families'][number]['points'][number];

/** So many units of a family are its share; one stays at least. */
export const countOf = (units: number, share: number): number => Math.min(units - 1, Math.round(share * units));

/** The next channel of a family: what is lost with it, first by the metric, then by the change of outputs. */
export interface Price {
  /** Whether it goes beyond the shares that were looked at. */
  readonly beyond: boolean;
  readonly loss: number;
  readonly change: number;
}

/**
 * For each family of a scan, the price of its channels one after the other, least important first: the slopes of the
 * lower convex hulls of what was measured, which starts at nothing lost. They do not fall, so that those that are taken
 * first are the start of the list.
 */
export function pricesOf({ metric, families }: PruneScan): Price[][] {
  const lost = ({ value }: ScanPoint): number =>
    metric && value !== undefined ? Math.max(0, (metric.whole - value) * (metric.higherIsBetter ? 1 : -1)) : 0;
  return families.map(({ units, points }) => {
    const at = (p: ScanPoint): number => countOf(units, p.share);
    const losses = slopes(points.map((p) => [at(p), lost(p)]));
    const changes = slopes(points.map((p) => [at(p), p.change]));
    return Array.from({ length: units }, (_, i) => ({
      beyond: i >= losses.length,
      loss: losses[i] ?? losses.at(-1) ?? 0,
      change: changes[i] ?? changes.at(-1) ?? 0,
    }));
  });
}

/** The slope of the lower convex hull over each step from 0 to the last place; (0, 0) belongs to it. */
function slopes(points: readonly (readonly [number, number])[]): number[] {
  const made: number[] = [];
  const sorted = points.filter(([x]) => x > 0).sort((a, b) => a[0] - b[0]);
  let [x, y] = [0, 0];
  for (;;) {
    const ahead = sorted.filter((p) => p[0] > x);
    if (!ahead.length) return made;
    const slope = ([px, py]: readonly [number, number]): number => (py - y) / (px - x);
    const least = Math.min(...ahead.map(slope));
    const next = ahead.findLast((p) => slope(p) === least) ?? item(ahead, 0);
    while (made.length < next[0]) made.push(least);
    [x, y] = next;
  }
}
