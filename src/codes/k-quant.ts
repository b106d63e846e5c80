import { z } from 'zod';
import { MAGIC, roundHalfEven } from '../scheme/rounding.js';
import { roundingError, solveParts, type Ends, type Fitted, type ScaleAndZero } from './parts.js';
import type { WeightMethod } from './types.js';

const options = z.strictObject({
  steps: z
    .number()
    .int()
    .positive()
    .default(20)
    .describe("Scales around the observer's that are tried for each block."),
});

/**
 * The scale and zero point of each block by weighted least squares: for each of some scales around the first the
 * weights are rounded, and the scale and offset that fit those codes best are taken, errors weighted with √⟨x²⟩ + |x|,
 * so that large weights count more, and with the mean square of the input where there are calibration data (the
 * importance matrix there).
 * source: make_qkx2_quants (and make_qx_quants without offset) of llama.cpp,
 * https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-quants.c; offsets become whole zero points here.
 */
export const kQuant = {
  name: 'k-quant',
  doc:
    'Weighted least squares for scale and zero point of each block, large weights counting more (as the k-quants ' +
    'of llama.cpp), and large inputs where there are calibration data.',
  options,
  inputs: 'optional',
  byPart: true,
  solve(problem, { steps }) {
    return solveParts(problem, ({ values, weights }, start) => {
      let squares = 0;
      for (let i = 0; i < values.length; i++) squares += values[i]! ** 2;
      const level = Math.sqrt(squares / values.length);
      const counts = weights.map((w, i) => w * (level + Math.abs(values[i]!)));
      return fitPart(values, counts, start, problem.grid, steps);
    });
  },
} satisfies WeightMethod<z.output<typeof options>>;

function fitPart(
  values: Float64Array,
  weights: Float64Array,
  { scale: startScale, zero: startZero }: ScaleAndZero,
  { low, high, symmetric }: Ends,
  steps: number,
): Fitted {
  let best = {
    scale: startScale,
    zero: startZero,
    error: roundingError(values, weights, startScale, startZero, low, high),
  };
  const consider = (scale: number, zero: number): void => {
    if (!(scale > 0) || !Number.isFinite(scale)) return;
    const error = roundingError(values, weights, scale, zero, low, high);
    if (error < best.error) best = { scale, zero, error };
  };
  if (symmetric) return fitScale(values, weights, best, low - startZero, high - startZero, steps);
  let min = 0;
  for (const x of values) min = Math.min(min, x);
  const levels = high - low;
  for (let s = 0; s <= steps; s++) {
    // From one level less in the range to one more: −1 + 0.1·s of llama.cpp, with 20 steps.
    const tried = (startScale * levels) / (levels - 1 + (2 * s) / steps);
    let [sw, swx, swq, swqx, swqq] = [0, 0, 0, 0, 0];
    for (let i = 0; i < values.length; i++) {
      const [x, w] = [values[i]!, weights[i]!];
      const q = Math.min(levels, Math.max(0, roundHalfEven((x - min) / tried)));
      sw += w;
      swx += w * x;
      swq += w * q;
      swqx += w * q * x;
      swqq += w * q * q;
    }
    const determinant = sw * swqq - swq * swq;
    if (!(determinant > 0)) continue;
    let scale = (sw * swqx - swx * swq) / determinant;
    let offset = (swqq * swx - swq * swqx) / determinant;
    if (offset > 0) {
      offset = 0;
      scale = swqx / swqq;
    }
    consider(scale, Math.min(high, Math.max(low, low + roundHalfEven(-offset / scale))));
  }
  return best;
}

/**
 * Without offset: for each try the error of the scale that fits its codes best is Σ w·x² − (Σ w·q·x)² ÷ Σ w·q², so that
 * one pass tells.
 */
function fitScale(
  values: Float64Array,
  weights: Float64Array,
  start: Fitted,
  bottom: number,
  top: number,
  steps: number,
): Fitted {
  const levels = top - bottom;
  let all = 0;
  for (let i = 0; i < values.length; i++) all += weights[i]! * values[i]! * values[i]!;
  let best = start;
  for (let s = 0; s <= steps; s++) {
    const inverse = (levels - 1 + (2 * s) / steps) / (start.scale * levels);
    let [up, down] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const rounded = values[i]! * inverse + MAGIC - MAGIC;
      const q = rounded > top ? top : rounded < bottom ? bottom : rounded;
      const wq = weights[i]! * q;
      up += wq * values[i]!;
      down += wq * q;
    }
    const scale = up / down;
    if (!(scale > 0) || !Number.isFinite(scale)) continue;
    const error = all - up * scale;
    if (error < best.error) best = { scale, zero: start.zero, error };
  }
  return best;
}
