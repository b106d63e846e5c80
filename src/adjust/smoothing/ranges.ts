/** Ranges of the channels of tensors that layers read. */
import { minmax } from '../../calibrate/observers/minmax.js';
import { calibrate } from '../../calibrate/runner.js';
import { extremeRange } from '../../calibrate/statistics/extremes.js';
import type { Value } from '../../ir/graph.js';
import type { Range } from '../../scheme/types.js';
import type { AdjustContext } from '../types.js';
import type { SmoothUnit } from './units.js';

/** Least and greatest value of each channel of every input, over all samples. Throws what calibrate throws. */
export async function channelRanges(
  { model, batches, threads, onEvent, signal }: AdjustContext,
  units: readonly SmoothUnit[],
): Promise<ReadonlyMap<Value, Range>> {
  const points = units.flatMap((u) =>
    u.inputs.map(({ value, axis }) => ({ value, axis, observer: minmax, options: {} })),
  );
  const { stats } = await calibrate({
    model,
    points,
    batches,
    threads,
    onNonFinite: 'fail',
    sampling: { maxValuesPerSample: 1, seed: 0 },
    onEvent,
    ...(signal ? { signal } : {}),
  });
  return new Map([...stats].map(([value, s]) => [value, extremeRange(s)]));
}
