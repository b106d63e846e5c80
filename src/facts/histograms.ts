/** Coarse histograms of what a point saw, for reports, and the share of values that the chosen range cuts off. */
import type { HistogramStats } from '../calibrate/statistics/histogram.js';
import type { Tensor } from '../ir/tensor.js';
import type { PointFacts } from '../record/index.js';
import { layoutOf } from '../scheme/layout.js';
import { codeRange } from '../scheme/params.js';
import type { QuantParams } from '../scheme/types.js';

const BINS = 96;
type Histogram = Pick<PointFacts, 'histogram' | 'clipped'>;

/**
 * Of calibration's histogram, all channels together. Exact zeros, which are on every grid and would drown the rest,
 * count for `clipped` only.
 */
export function histogramOfStats(h: HistogramStats, p: QuantParams): Histogram {
  let from = 0;
  let to = 0;
  for (let c = 0; c < h.channels; c++) {
    const limit = h.limit[c]!;
    from = Math.min(from, Math.max(-limit, h.min[c]!));
    to = Math.max(to, Math.min(limit, h.max[c]!));
  }
  if (!(to > from) || !Number.isFinite(to - from)) return {};
  const counts = new Array<number>(BINS).fill(0);
  let total = 0;
  let outside = 0;
  for (let c = 0; c < h.channels; c++) {
    const limit = h.limit[c]!;
    const width = limit / h.bins;
    const [low, high] = reach(p, p.scale.length > 1 ? c : 0);
    total += h.zeros[c]!;
    for (let i = 0; i < 2 * h.bins; i++) {
      const n = h.counts[c * 2 * h.bins + i]!;
      if (!n) continue;
      const x = -limit + (i + 0.5) * width;
      total += n;
      // A bin that reaches into the range is not cut off: its values may lie at the very end, as white pixels do.
      if (x + width / 2 < low || x - width / 2 > high) outside += n;
      counts[binOf(x, from, to)]! += n;
    }
  }
  return { histogram: { low: from, high: to, counts }, clipped: total ? outside / total : 0 };
}

/** Of a weight's own values, all channels together; each counts as clipped by the range of its channel or block. */
export function histogramOfWeight(data: Tensor, p: QuantParams): Histogram {
  const values = data.f32();
  let from = 0;
  let to = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (x < from) from = x;
    else if (x > to) to = x;
  }
  if (!(to > from) || !Number.isFinite(to - from)) return {};
  const { outer, length, inner, group, outerStride, groupStride, innerStride, count } = layoutOf(
    data.dims,
    p.scheme.granularity,
  );
  if (count !== p.scale.length) return {}; // an edge whose parameters belong to another layout
  const low = new Float64Array(count);
  const high = new Float64Array(count);
  for (let c = 0; c < count; c++) [low[c], high[c]] = reach(p, c);
  const counts = new Array<number>(BINS).fill(0);
  let outside = 0;
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (let a = 0; a < length; a++) {
      let c = o * outerStride + Math.floor(a / group) * groupStride;
      for (let i = 0; i < inner; i++, at++, c += innerStride) {
        const x = values[at]!;
        if (x < low[c]! || x > high[c]!) outside++;
        counts[binOf(x, from, to)]!++;
      }
    }
  }
  return { histogram: { low: from, high: to, counts }, clipped: values.length ? outside / values.length : 0 };
}

/** Of a step: scales are float32, so that half a step beyond the last code is only known to this. */
const ROUNDING = 1e-4;

/**
 * What rounds to a code of the range, for one scale: half a step beyond the last code is no error larger than others.
 */
function reach(p: QuantParams, c: number): [low: number, high: number] {
  const [low, high] = codeRange(p.scheme);
  const [a, b] = [
    (low - p.zeroPoint[c]! - 0.5 - ROUNDING) * p.scale[c]!,
    (high - p.zeroPoint[c]! + 0.5 + ROUNDING) * p.scale[c]!,
  ];
  return a <= b ? [a, b] : [b, a];
}

const binOf = (x: number, from: number, to: number): number =>
  Math.min(BINS - 1, Math.max(0, Math.floor(((x - from) / (to - from)) * BINS)));
