/** Where step sizes of weights start. */
import { roundingError } from '../codes/parts.js';
import { layoutOf, paramAt } from '../scheme/layout.js';
import { clipRange } from '../scheme/params.js';
import type { Tensor } from '../ir/tensor.js';
import type { QuantParams } from '../scheme/types.js';

/** Ranges that are tried for each part, from one that clips nothing down to this share of it. */
const TRIED = 64;
const NARROWEST = 0.15;

/**
 * The parameters with the step size of each part at which rounding errs least, squared; zero points stay. Ranges of
 * extremes leave weights of 2 bits little but zeros, from which training is slow to return.
 */
export function leastError(data: Tensor, params: QuantParams): QuantParams {
  const layout = layoutOf(data.dims, params.scheme.granularity);
  const values = data.f32();
  const parts = Array.from({ length: layout.count }, (): number[] => []);
  values.forEach((v, at) => parts[paramAt(layout, at)]?.push(v));
  const [low, high] = clipRange(params.scheme);
  const scale = params.scale.map((given, p) => {
    const own = Float64Array.from(parts[p] ?? []);
    const zero = params.zeroPoint[p] ?? 0;
    const [down, up] = [Math.min(-1, low - zero), Math.max(1, high - zero)];
    const reach = own.reduce((most, v) => Math.max(most, v > 0 ? v / up : v / down), 0);
    if (!(reach > 0)) return given;
    const alike = new Float64Array(own.length).fill(1);
    let [best, least] = [given, roundingError(own, alike, given, zero, low, high)];
    for (let i = 0; i < TRIED; i++) {
      const tried = Math.fround(reach * (1 - ((1 - NARROWEST) * i) / (TRIED - 1)));
      const error = roundingError(own, alike, tried, zero, low, high);
      if (error < least) [best, least] = [tried, error];
    }
    return best;
  });
  const { codes: _codes, ...rest } = params;
  return { ...rest, scale };
}
