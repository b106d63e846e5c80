import { z } from 'zod';
import { item } from '../base/lists.js';
import type { RowsProblem } from '../channels/layer.js';
import { clip } from './clip.js';
import { gptq } from './gptq.js';
import { kQuant } from './k-quant.js';
import { dot } from './linear-kernels.js';
import { ownersOf } from './parts.js';
import type { Solved, WeightMethod } from './types.js';

const options = z.strictObject({
  sweeps: z.number().int().min(0).default(4).describe('Most rounds of coordinate descent after GPTQ.'),
});
type Options = z.output<typeof options>;

/** Up to here the scale that clips is better than weighted least squares, measured on the perplexity of decoders. */
const FEWEST_CODES = 4;

/**
 * Whichever method errs least. With inputs: GPTQ on the scales of `clip` and on those of `k-quant`, row by row the one
 * with the lesser eᵀHe. Without: `clip` with four codes, `k-quant` with more.
 */
export const best = {
  name: 'best',
  doc:
    'With inputs, GPTQ from two searches for scales, row by row the one whose outputs err less; without, k-quant, or ' +
    'clip where there are only four codes.',
  options,
  inputs: 'optional',
  byPart: true,
  ownText: true,
  ordered: () => true,
  solve(problem, { sweeps }) {
    const { grid, hessian, columns } = problem;
    const few = grid.high - grid.low < FEWEST_CODES;
    const alone = withoutInputs(hessian, columns);
    if (alone && few) return clip.solve(problem, { steps: 40 });
    const fitted = kQuant.solve(problem, { steps: 20 });
    if (alone) return fitted;
    const from = (scaleSearch: number, start: RowsProblem['grid']): Solved =>
      gptq.solve({ ...problem, grid: start }, { actOrder: true, scaleSearch, sweeps });
    return betterRows(problem, from(40, grid), from(0, { ...grid, scale: fitted.scale, zeroPoint: fitted.zeroPoint }));
  },
} satisfies WeightMethod<Options>;

/** Row by row the one that errs less; the whole of one where rows share scales. */
function betterRows(problem: RowsProblem, a: Solved, b: Solved): Solved {
  const { rows, columns, grid } = problem;
  const owners = ownersOf(grid, columns);
  const [ofA, ofB] = [errorsOf(problem, a), errorsOf(problem, b)];
  const sum = (list: Float64Array): number => list.reduce((n, x) => n + x, 0);
  if (owners.includes(-1)) return sum(ofB) < sum(ofA) ? b : a;
  const [codes, scale, zeroPoint] = [a.codes.slice(), a.scale.slice(), a.zeroPoint.slice()];
  for (let r = 0; r < rows; r++)
    if (item(ofB, r) < item(ofA, r)) codes.set(b.codes.subarray(r * columns, (r + 1) * columns), r * columns);
  owners.forEach((r, p) => {
    if (r < 0 || !(item(ofB, r) < item(ofA, r))) return;
    scale[p] = item(b.scale, p);
    zeroPoint[p] = item(b.zeroPoint, p);
  });
  return { codes, scale, zeroPoint };
}

/** eᵀHe of each row. */
function errorsOf({ rows, columns, target, hessian, grid }: RowsProblem, s: Solved): Float64Array {
  const e = new Float64Array(columns);
  return Float64Array.from({ length: rows }, (_, r) => {
    for (let c = 0; c < columns; c++) {
      const at = r * columns + c;
      const p = item(grid.part, at);
      e[c] = item(target, at) - (item(s.codes, at) - item(s.zeroPoint, p)) * item(s.scale, p);
    }
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += item(e, c) * dot(hessian, c * columns, e, 0, columns);
    return sum;
  });
}

/** Whether nothing is known of inputs: every column counts alike, and none goes with another. */
function withoutInputs(h: Float64Array, n: number): boolean {
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) if (h[i * n + j] !== 0) return false;
  return true;
}
