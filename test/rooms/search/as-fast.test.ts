import { describe, expect, it } from 'vitest';
import { isSlower } from '../../../src/search/confirm.js';
import type { RunRecord } from '../../../src/record/index.js';

/** A record of which only speed and kernels are looked at. */
const record = (speedup: number, interval: readonly [number, number], integerMacsShare: number): RunRecord =>
  ({ latency: { speedup, speedupInterval: interval }, runtime: { integerMacsShare } }) as unknown as RunRecord;

describe('what auto ships for latency', () => {
  it.each([
    // speed-up, its interval, share of integer MACs, whether it counts as slower than float
    [1.06, [0.95, 1.13], 0.9, true], // the noise hides 5 %
    [1.06, [0.98, 1.13], 0.9, false],
    [0.99, [0.98, 1.0], 0.9, true],
    [1.5, [1.4, 1.6], 0.9, false],
    [0.98, [0.95, 1.01], 0, false], // the kernels of float: as fast, within the noise
    [0.98, [0.97, 0.99], 0, true],
  ] as const)(
    'a speed-up of %d, %j, with %d of the MACs in integers: slower %s',
    (speedup, interval, share, slower) => {
      expect(isSlower(record(speedup, interval, share))).toBe(slower);
    },
  );
  it('is not judged by a time that was not measured', () => {
    expect(isSlower({} as RunRecord)).toBe(false); // a record without latency
  });
});
