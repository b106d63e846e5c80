/** What share of each layer goes where all layers compete. */
import { item } from '../../base/lists.js';
import { dataOf } from '../../ir/known.js';
import type { SparseLayer } from './layers.js';
import type { Pattern } from './pattern.js';

/** Of each layer, how many of its weights are among the smallest of all. */
export function globalShares(
  layers: readonly SparseLayer[],
  { share }: Exclude<Pattern, { kind: 'ratio' }>,
): ReadonlyMap<SparseLayer, number> {
  const sizes = layers.map(({ weight }) => dataOf(weight).size);
  const all = new Float32Array(sizes.reduce((n, s) => n + s, 0));
  const own = layers.map(({ weight }) => dataOf(weight).f32().map(Math.abs));
  let at = 0;
  for (const values of own) {
    all.set(values, at);
    at += values.length;
  }
  all.sort();
  const count = Math.round(share * all.length);
  const limit = count ? item(all, count - 1) : -1;
  // Of equal ones at the limit, those of the first layers go.
  let left = count - own.reduce((n, values) => n + values.reduce((m, v) => m + (v < limit ? 1 : 0), 0), 0);
  return new Map(
    layers.map((layer, i) => {
      const values = item(own, i);
      const below = values.reduce((m, v) => m + (v < limit ? 1 : 0), 0);
      const equal = Math.min(
        left,
        values.reduce((m, v) => m + (v === limit ? 1 : 0), 0),
      );
      left -= equal;
      return [layer, (below + equal) / Math.max(1, values.length)];
    }),
  );
}
