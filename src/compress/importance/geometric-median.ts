import { z } from 'zod';
import { item } from '../../base/lists.js';
import { lineOf, type Line } from '../../channels/families.js';
import type { Cut } from '../../channels/removal.js';
import type { Value } from '../../ir/graph.js';
import { dataOf } from '../../ir/known.js';
import type { Importance } from './types.js';

/**
 * How far the weights of a channel are from those of the others of its tensor: what lies near the geometric median of
 * all can be made up for by the others. Each tensor's distances as shares of their sum. source: He et al. 2019,
 * https://arxiv.org/abs/1811.00250 (FPGM)
 */
export const geometricMedian = {
  name: 'geometric-median',
  doc: 'The distance of its weights to those of all others of the layer (FPGM).',
  options: z.strictObject({}),
  needs: 'nothing',
  score: ({ units }) => {
    const made = new Float64Array(units.length);
    const byConstant = new Map<Value, { readonly unit: number; readonly cut: Cut }[]>();
    units.forEach((u, unit) => {
      for (const cut of u.cuts) {
        if (!cut.makes) continue;
        const known = byConstant.get(cut.constant);
        if (known) known.push({ unit, cut });
        else byConstant.set(cut.constant, [{ unit, cut }]);
      }
    });
    for (const [constant, own] of byConstant) {
      const data = dataOf(constant).f64();
      const lines = own.map(({ cut }) => lineOf(constant, cut.axis, cut.index));
      const sums = new Float64Array(own.length);
      for (let i = 0; i < own.length; i++)
        for (let j = 0; j < i; j++) {
          const d = distance(data, item(lines, i), item(lines, j));
          sums[i] = item(sums, i) + d;
          sums[j] = item(sums, j) + d;
        }
      const total = sums.reduce((n, d) => n + d, 0);
      if (total > 0) own.forEach(({ unit }, i) => (made[unit] = item(made, unit) + item(sums, i) / total));
    }
    return made;
  },
} satisfies Importance<Record<string, never>>;

function distance(data: Float64Array, a: Line, b: Line): number {
  let sum = 0;
  for (let o = 0; o < a.outer; o++)
    for (let i = 0; i < a.inner; i++) {
      const d = (data[a.start + o * a.stride + i] ?? 0) - (data[b.start + o * b.stride + i] ?? 0);
      sum += d * d;
    }
  return Math.sqrt(sum);
}
