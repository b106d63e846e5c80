import { item } from '../base/lists.js';
import { z } from 'zod';
import { gptq } from '../codes/gptq.js';
import type { Solved, WeightMethod } from '../codes/types.js';
import type { RowsProblem } from '../channels/layer.js';
import { Adam, iterations, learnRows, type GramRows } from './gram-rows.js';

const options = z.strictObject({
  iterations,
  rate: z.number().positive().default(0.3).describe('Learning rate of what decides up or down, at first.'),
  regularisation: z
    .number()
    .positive()
    .default(1)
    .describe('How strongly weights are drawn to one of their two codes in the end, against the error of the outputs.'),
});
type Options = z.output<typeof options>;

/**
 * Whether each weight goes up or down is learned: it starts between its two codes, at the float weight, and a
 * regulariser that sharpens from step to step, 1 − |2h − 1|^β, draws it to one of them; h is a sigmoid that is
 * stretched beyond 0 and 1 and cut there. The error is that of the layer's outputs, eᵀHe. Rows that GPTQ, where scales
 * come from, does better on keep its codes.
 * source: Nagel et al. 2020, https://arxiv.org/abs/2004.10568; by the Hessian of its equation 20, on all samples
 */
export const adaround = {
  name: 'adaround',
  doc:
    'Learns whether each weight is rounded up or down by gradient descent on the error of its layer’s outputs ' +
    '(AdaRound), on the scales of gptq; each row keeps the better of both.',
  options,
  inputs: 'required',
  solve(problem, o) {
    const made = gptq.solve(problem, gptq.options.parse({}));
    const { codes } = made;
    learnRows(problem, (rows, first, count) => {
      learnSome(problem, made, rows, first, count, o, codes);
    });
    return made;
  },
} satisfies WeightMethod<Options>;

/** Beyond 0 and 1 by a tenth, so that the ends are reached. */
const [STRETCH, BELOW] = [1.2, 0.1];
/** So far beyond the stretched ends that no gradient moves it. */
const SETTLED = 10;
/** Share of the steps without the regulariser, and its exponent at first and last. */
const [WARM, SOFT, SHARP] = [0.2, 20, 2];

function learnSome(
  p: RowsProblem,
  start: Solved,
  rows: GramRows,
  first: number,
  count: number,
  { iterations, rate, regularisation }: Options,
  codes: Int32Array,
): void {
  const { columns: k, target, grid } = p;
  const size = count * k;
  const from = first * k;
  const before = rows.of(p, start, first, count);
  const low = new Float64Array(size);
  const v = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const part = item(grid.part, from + i);
    const exact = Math.min(
      grid.high,
      Math.max(grid.low, item(target, from + i) / item(start.scale, part) + item(start.zeroPoint, part)),
    );
    low[i] = Math.min(Math.floor(exact), grid.high - 1);
    v[i] = inverse(exact - item(low, i));
    if (!p.zeros?.[from + i]) continue;
    const zero = item(start.zeroPoint, part);
    low[i] = Math.min(zero, grid.high - 1);
    v[i] = zero > item(low, i) ? SETTLED : -SETTLED;
  }
  const gradient = new Float64Array(size);
  const adam = new Adam(size);
  for (let step = 0; step < iterations; step++) {
    const done = step / iterations;
    const beta = SOFT + ((SHARP - SOFT) * Math.max(0, done - WARM)) / (1 - WARM);
    for (let i = 0; i < size; i++) {
      const part = item(grid.part, from + i);
      rows.error[i] =
        item(target, from + i) -
        (item(low, i) + share(item(v, i)) - item(start.zeroPoint, part)) * item(start.scale, part);
    }
    rows.measure(count);
    for (let r = 0; r < count; r++) {
      const unit = k / Math.max(item(before, r), Number.MIN_VALUE);
      for (let i = r * k; i < (r + 1) * k; i++) {
        const s = 1 / (1 + Math.exp(-item(v, i)));
        const h = STRETCH * s - BELOW;
        if (h <= 0 || h >= 1) {
          gradient[i] = 0;
          continue;
        }
        const scale = item(start.scale, item(grid.part, from + i));
        const off = 2 * h - 1;
        const drawn = done < WARM ? 0 : -2 * beta * Math.sign(off) * Math.abs(off) ** (beta - 1) * regularisation;
        gradient[i] = (-2 * unit * scale * item(rows.gradient, i) + drawn) * STRETCH * s * (1 - s);
      }
    }
    adam.step(v, gradient, rate);
  }
  const made = codes.slice(from, from + size);
  for (let i = 0; i < size; i++) codes[from + i] = item(low, i) + (share(item(v, i)) >= 0.5 ? 1 : 0);
  const after = rows.of(p, { ...start, codes }, first, count);
  for (let r = 0; r < count; r++)
    if (!(item(after, r) < item(before, r))) codes.set(made.subarray(r * k, (r + 1) * k), from + r * k);
}

const share = (v: number): number => Math.min(1, Math.max(0, STRETCH / (1 + Math.exp(-v)) - BELOW));
/** The v of a share between 0 and 1. */
const inverse = (h: number): number => {
  const s = (h + BELOW) / STRETCH;
  return Math.log(s / (1 - s));
};
