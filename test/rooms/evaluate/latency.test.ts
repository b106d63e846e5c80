import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../../../src/base/events.js';
import { measureLatencies, measureLatency } from '../../../src/evaluate/latency.js';
import { ratioOf, timeModels, timesOf } from '../../../src/evaluate/rounds.js';
import type { LatencyFacts } from '../../../src/record/index.js';
import { bytesOf, f32, open } from './helpers.js';

const SMALL = 'g (float[N,64] x) => (float[N,64] y) { y = Relu(x) }';
const LARGE =
  'g (float[N,64] x) => (float[N,64] y) { a = Sin(x)  b = Exp(a)  c = Sin(b)  d = Exp(c)  e = Sin(d)  f = ' +
  'Exp(e)  h = Sin(f)  i = Exp(h)  y = Sin(i) }';
const feed = {
  x: f32(
    Array.from({ length: 256 * 64 }, (_, i) => i / 1000),
    [256, 64],
  ),
};

describe('measureLatencies', () => {
  it('times candidates in one interleaved run against the same float runs', async () => {
    const [same, faster] = await measureLatencies(bytesOf(LARGE), [bytesOf(LARGE), bytesOf(SMALL)], {
      feed,
      runs: 20,
      warmup: 2,
      threads: 1,
    });
    expect(same!.floatMs).toEqual(faster!.floatMs);
    expect(faster!.speedup).toBeGreaterThan(same!.speedup);
    expect(same!.speedup).toBeGreaterThan(0.5);
    expect(same!.speedup).toBeLessThan(2);
  });
});

describe('measureLatency', () => {
  it('finds the faster model, in order of percentiles, and says what it ran', async () => {
    const events: RunEvent[] = [];
    const found: LatencyFacts = await measureLatency({
      float: bytesOf(LARGE),
      quantized: bytesOf(SMALL),
      feed,
      runs: 30,
      warmup: 3,
      threads: 1,
      onEvent: (e) => events.push(e),
    });
    expect(found).toMatchObject({ threads: 1, runs: 30, warmup: 3, batch: 256, inputShapes: { x: [256, 64] } });
    expect(found.speedup).toBeGreaterThan(1.2);
    expect(found.speedupInterval![0]).toBeLessThanOrEqual(found.speedup);
    expect(found.speedupInterval![1]).toBeGreaterThanOrEqual(found.speedup);
    for (const t of [found.floatMs, found.quantizedMs]) {
      expect(t.p50).toBeGreaterThan(0);
      expect(t.p90).toBeGreaterThanOrEqual(t.p50);
      expect(t.p99).toBeGreaterThanOrEqual(t.p90);
    }
    for (const t of [found.floatMs, found.quantizedMs]) {
      expect(t.p50Interval![0]).toBeLessThanOrEqual(t.p50);
      expect(t.p50Interval![1]).toBeGreaterThanOrEqual(t.p50);
      expect(t.p99Interval![1]).toBeLessThanOrEqual(t.p99); // no resample of 30 runs goes beyond the slowest
      expect(t.histogram!.counts.reduce((a, b) => a + b, 0)).toBe(30); // the 99th percentile of 30 is the largest
    }
    expect(found.throughput!.float).toBeCloseTo(256_000 / found.floatMs.p50, 6);
    expect(found.drift!.float).toBeGreaterThan(0);
    expect(events.filter((e) => e.type === 'progress').at(-1)).toEqual({
      type: 'progress',
      stage: 'latency',
      done: 30,
      total: 30,
    });
  });
  it('leaves sessions that it was given open', async () => {
    const session = await open(SMALL);
    const found = await measureLatency({
      float: session,
      quantized: session,
      feed,
      runs: 1,
      warmup: 0,
      threads: 1,
      batch: 7,
    });
    expect(found.batch).toBe(7);
    expect(found).not.toHaveProperty('speedupInterval');
    expect(Object.keys(await session.run(feed))).toEqual(['y']);
    await session.close();
  });
  it('stops when asked to, and reports a feed that does not fit', async () => {
    await expect(
      measureLatency({
        float: bytesOf(SMALL),
        quantized: bytesOf(SMALL),
        feed,
        runs: 5,
        warmup: 0,
        threads: 1,
        signal: AbortSignal.abort(new Error('stop')),
      }),
    ).rejects.toThrow('stop');
    await expect(
      measureLatency({ float: bytesOf(SMALL), quantized: bytesOf(SMALL), feed: {}, runs: 5, warmup: 0, threads: 1 }),
    ).rejects.toMatchObject({ code: 'DATA_SHAPE' });
  });
});

describe('ratioOf', () => {
  const rounds = (...of: number[][]): Float64Array[] => of.map((r) => Float64Array.from(r));
  it(
    'compares the undisturbed runs of each round, so that a slow moment and a slow first run count on neither ' +
      'side',
    () => {
      const a = rounds([2, 2, 2, 9], [4, 4, 4, 4], [2, 2, 7, 7]);
      const b = rounds([1, 1, 1, 1], [2, 2, 2, 30], [1, 1, 9, 9]);
      expect(ratioOf(a, b)).toEqual({ median: 2 });
    },
  );
  it('gives the order statistics of the rounds as interval, and 1 % more for where weights lie', () => {
    const a = rounds(...Array.from({ length: 20 }, (_, i) => [100 + i]));
    const b = rounds(...Array.from({ length: 20 }, () => [100]));
    const { median, own, interval } = ratioOf(a, b);
    expect(median).toBeCloseTo(1.095, 12);
    expect(own).toEqual([1.04, 1.15]); // ranks 5 and 16 of 20
    expect(interval![0]).toBeCloseTo(1.04 * 0.99, 12);
    expect(interval![1]).toBeCloseTo(1.15 * 1.01, 12);
  });
});

describe('timeModels', () => {
  it('counts exactly the runs that were asked for where they are few', async () => {
    for (const runs of [1, 3, 10, 30]) {
      const [one, two] = await timeModels([bytesOf(SMALL), bytesOf(SMALL)], { feed, runs, warmup: 0, threads: 1 });
      expect(timesOf(one!)).toHaveLength(runs);
      expect(timesOf(two!)).toHaveLength(runs);
    }
  });
});
