/** Better and worse, as every summary tells them. */
import { expect, it } from 'vitest';
import type { MetricFacts } from '../../../src/record/index.js';
import { metricTone } from '../../../src/report/summary.js';

const metric = (higherIsBetter: boolean, change: number, interval?: [number, number]): MetricFacts => ({
  name: 'm',
  unit: '%',
  higherIsBetter,
  float: 50,
  quantized: 50 + change,
  change,
  ...(interval ? { interval } : {}),
});

it.each([
  // What changed, with its interval; as told where higher is better, and where lower is.
  [2, [1, 3], 'better', 'worse'],
  [-2, [-3, -1], 'worse', 'better'],
  [2, [-1, 5], 'unsure', 'unsure'],
  [0, [0, 0], 'same', 'same'],
  [2, undefined, 'better', 'worse'],
  [-2, undefined, 'worse', 'better'],
] as [number, [number, number] | undefined, string, string][])(
  'a change of %d, %o',
  (change, interval, higher, lower) => {
    expect(metricTone(metric(true, change, interval))).toBe(higher);
    expect(metricTone(metric(false, change, interval))).toBe(lower);
  },
);
