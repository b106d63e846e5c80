/** Statistics as calibration would give them, by made-up ranges. */
import type { TensorStats } from '../../../src/calibrate/types.js';
import type { Value } from '../../../src/ir/graph.js';
import type { Model } from '../../../src/ir/model.js';
import type { Planned } from '../../../src/scheme/quantized.js';

const RANGES: Readonly<Record<string, number>> = { a: 1, c: 3, k: 3 };

/** Extremes of ±1 for every observed activation, ±3 for `c` and `k`. */
export function graphWith(_model: Model, { plan }: Planned): Map<Value, TensorStats> {
  const stats = new Map<Value, TensorStats>();
  for (const [point, spec] of plan) {
    if (!('uses' in point) || point.data) continue;
    if (spec.kind !== 'observed' && spec.kind !== 'shared') continue;
    const most = RANGES[point.name] ?? 1;
    const extremes = { count: 1, min: Float64Array.of(-most), max: Float64Array.of(most) };
    stats.set(point, extremes as unknown as TensorStats);
  }
  return stats;
}
