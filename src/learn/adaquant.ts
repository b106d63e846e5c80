import { item } from '../base/lists.js';
import { z } from 'zod';
import { gptq } from '../codes/gptq.js';
import { ownersOf } from '../codes/parts.js';
import { nearestCodes, type Solved, type WeightMethod } from '../codes/types.js';
import type { RowsProblem } from '../channels/layer.js';
import { Adam, iterations, learnRows, type GramRows } from './gram-rows.js';

const options = z.strictObject({
  iterations,
  rate: z.number().positive().default(0.02).describe('Learning rate of weights in steps of their codes, at first.'),
});
type Options = z.output<typeof options>;

/**
 * Weights, and the scales that are one row's own, move by gradient descent on the error of the layer's outputs, eᵀHe;
 * rounding counts as if it did nothing. It starts from GPTQ, and each row keeps the best codes and scales that it came
 * by.
 * source: Hubara et al. 2020, https://arxiv.org/abs/2006.10518; gradient of scales: https://arxiv.org/abs/1902.08153
 */
export const adaquant = {
  name: 'adaquant',
  doc:
    'Learns weights and their scales together by gradient descent on the error of the layer’s outputs ' +
    '(AdaQuant), from where gptq ends; each row keeps the best it came by.',
  options,
  inputs: 'required',
  solve(problem, o) {
    const start = gptq.solve(problem, gptq.options.parse({}));
    const made = { ...start, codes: start.codes.slice(), scale: start.scale.slice() };
    const own = ownersOf(problem.grid, problem.columns);
    learnRows(problem, (rows, first, count) => {
      learnSome(problem, start, rows, first, count, o, made, own);
    });
    return made;
  },
} satisfies WeightMethod<Options>;

/** How far a unit of the rate moves a scale, relative to itself: all of a row's weights move with it. */
const SCALE_STEP = 0.1;

function learnSome(
  p: RowsProblem,
  start: Solved,
  rows: GramRows,
  first: number,
  count: number,
  { iterations, rate }: Options,
  made: { readonly codes: Int32Array; readonly scale: Float64Array },
  own: Int32Array,
): void {
  const { columns: k, grid } = p;
  const [from, size] = [first * k, count * k];
  const least = rows.of(p, start, first, count);
  const parts = [...new Set(grid.part.subarray(from, from + size))];
  const place = new Map(parts.map((part, i) => [part, i]));
  const at = Int32Array.from(grid.part.subarray(from, from + size), (part) => place.get(part)!);
  const factors = new Float64Array(parts.length).fill(1);
  const places = Float64Array.from({ length: size }, (_, i) => item(start.codes, from + i));
  const [byPlace, byFactor] = [new Float64Array(size), new Float64Array(parts.length)];
  const [adam, adamScale] = [new Adam(size), new Adam(parts.length)];
  const codes = new Int32Array(p.rows * k);
  const scale = start.scale.slice();
  for (let step = 0; step < iterations; step++) {
    byFactor.fill(0);
    for (let r = 0; r < count; r++) {
      for (let i = r * k; i < (r + 1) * k; i++) {
        const part = item(grid.part, from + i);
        byPlace[i] = p.zeros?.[from + i] ? 0 : -item(scale, part) * item(rows.gradient, i);
        const code = step === 0 ? item(start.codes, from + i) : item(codes, from + i);
        const moved = item(rows.gradient, i) * item(scale, part) * (code - item(places, i));
        byFactor[item(at, i)] = item(byFactor, item(at, i)) - moved;
      }
    }
    const now = 0.5 * rate * (1 + Math.cos((Math.PI * step) / iterations));
    adam.step(places, byPlace, now);
    adamScale.step(factors, byFactor, now * SCALE_STEP);
    parts.forEach((part, i) => {
      if (item(own, part) >= 0 && item(factors, i) > 0) scale[part] = item(start.scale, part) * item(factors, i);
    });
    for (let i = 0; i < size; i++) places[i] = Math.min(grid.high, Math.max(grid.low, item(places, i)));
    codes.set(nearestCodes(places, units(at, parts.length, grid)), from);
    const errors = rows.of(p, { codes, scale, zeroPoint: start.zeroPoint }, first, count);
    for (let r = 0; r < count; r++) {
      if (!(item(errors, r) < item(least, r))) continue;
      least[r] = item(errors, r);
      made.codes.set(codes.subarray(from + r * k, from + (r + 1) * k), from + r * k);
      for (const part of parts) if (own[part] === first + r) made.scale[part] = item(scale, part);
    }
  }
}

/** Places are codes already. */
const units = (
  part: Int32Array,
  parts: number,
  { low, high, symmetric }: RowsProblem['grid'],
): RowsProblem['grid'] => ({
  part,
  scale: new Float64Array(parts).fill(1),
  zeroPoint: new Int32Array(parts),
  low,
  high,
  symmetric,
});
