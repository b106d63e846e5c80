/** Ranges of weights: the same observers, on constants. */
import { elementCount } from '../ir/tensor.js';
import { dataRange, layoutOf } from '../scheme/layout.js';
import type { QuantScheme, Range } from '../scheme/types.js';
import { kernels } from './kernels.js';
import { BINS_PER_CHANNEL } from './statistics/histogram.js';
import type { Observer } from './types.js';

/** Up to here the values are few enough to be looked at one by one for every candidate range. */
const FEW_VALUES = 4096;

/**
 * One range per tensor, axis index or block of float32 `values` of shape `dims`, in the order of the scheme's scales.
 * Observers that need no values are shown the exact extremes of all parts as one batch. Values that are not finite
 * are passed over; `options` are the observer's own, checked. Throws MODEL_TENSOR where the granularity does not fit
 * dims.
 */
export function observeWeights(
  values: Float32Array,
  dims: readonly number[],
  scheme: QuantScheme,
  observer: Observer,
  options: unknown,
): Range {
  const { count } = layoutOf(dims, scheme.granularity);
  const { statistic } = observer;
  if (!statistic.needsValues) {
    const extremes = dataRange(values, dims, scheme.granularity);
    return rangeOfExtremes(extremes, values.length, scheme, observer, options);
  }
  // Statistics are made one part at a time, so memory stays flat; small parts have too few values for fine bins.
  const settings = { ...statistic.settings(options), ...(count > 1 ? { bins: BINS_PER_CHANNEL } : {}) };
  const min = new Float64Array(count);
  const max = new Float64Array(count);
  let part = 0;
  for (const own of parts(values, dims, scheme)) {
    const { min: low, max: high, finite } = kernels().extent(own, 0, own.length);
    const clean = finite ? own : own.filter(Number.isFinite);
    if (observer.chooseFromValues && clean.length <= FEW_VALUES) {
      const [a, b] = observer.chooseFromValues(clean, scheme, options);
      min[part] = a;
      max[part++] = b;
      continue;
    }
    const extremes = finite ? { min: low, max: high } : kernels().extent(clean, 0, clean.length);
    const stats = statistic.empty(1, settings);
    statistic.update(stats, {
      min: Float64Array.of(extremes.min),
      max: Float64Array.of(extremes.max),
      minIsBound: false,
      count: clean.length,
      values: clean,
      layout: { outer: 1, channels: 1, inner: clean.length },
    });
    const chosen = observer.chooseRange(stats, scheme, options);
    min[part] = chosen.min[0]!;
    max[part] = chosen.max[0]!;
    part++;
  }
  return { min, max };
}

/**
 * The same for an observer that needs no values, from the exact extremes of each part of a constant of `size` values.
 */
export function rangeOfExtremes(
  extremes: Range,
  size: number,
  scheme: QuantScheme,
  observer: Observer,
  options: unknown,
): Range {
  const { statistic } = observer;
  const count = extremes.min.length;
  const stats = statistic.empty(count, statistic.settings(options));
  statistic.update(stats, { ...extremes, minIsBound: false, count: size / count });
  return observer.chooseRange(stats, scheme, options);
}

/** The values of each tensor, channel or block, one after the other. */
function* parts(values: Float32Array, dims: readonly number[], scheme: QuantScheme): Generator<Float32Array> {
  const { outer, length, inner, group, outerStride, groupStride, innerStride, count } = layoutOf(
    dims,
    scheme.granularity,
  );
  if (count === 1) {
    yield values;
    return;
  }
  // A counting sort by part: sizes, starts, then one pass that puts each value in its place.
  const starts = new Uint32Array(count + 1);
  const visit = (each: (part: number, at: number) => void): void => {
    for (let o = 0, at = 0; o < outer; o++)
      for (let a = 0; a < length; a++)
        for (let i = 0, p = o * outerStride + Math.floor(a / group) * groupStride; i < inner; i++, p += innerStride)
          each(p, at++);
  };
  visit((p) => {
    starts[p + 1]!++;
  });
  for (let p = 0; p < count; p++) starts[p + 1]! += starts[p]!;
  const next = starts.slice();
  const sorted = new Float32Array(elementCount(dims));
  visit((p, at) => {
    sorted[next[p]!++] = values[at]!;
  });
  for (let p = 0; p < count; p++) yield sorted.subarray(starts[p], starts[p + 1]);
}
