/** Records that anybody wrote: odd and huge counts end soon, with a verdict or an error. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shareInterval } from '../../../src/evaluate/distributions.js';
import { runCli } from '../cli/run-cli.js';
import { latencyOf, runWith } from './helpers.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-counts-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('shareInterval', () => {
  it.each([
    [8, 10, 0.95, 0.4439, 0.97479],
    [0, 20, 0.95, 0, 0.16843],
    [1e6, 1e6, 0.95, 0.9999963, 1],
  ])('%d of %d at %d', (hits, n, confidence, low, high) => {
    // by R: binom.test(hits, n)$conf.int
    const found = shareInterval(hits, n, confidence);
    expect(found[0]).toBeCloseTo(low, 5);
    expect(found[1]).toBeCloseTo(high, 5);
  });
  it.each([0.8, 0.95, 0.999])('goes over from exact to closed form without a step, at %d', (confidence) => {
    for (const hits of [0, 1, 2, 5, 20, 100, 1000, 5e5, 999_000, 999_990, 1e6]) {
      const exact = shareInterval(hits, 1e6, confidence);
      const closed = shareInterval(hits > 5e5 ? hits + 1 : hits, 1e6 + 1, confidence);
      const width = exact[1] - exact[0];
      // a twentieth of the width at few hits, much less at many
      for (const end of [0, 1] as const)
        expect(Math.abs(exact[end] - closed[end]) / width, `${hits}`).toBeLessThan(
          Math.min(hits, 1e6 - hits) < 20 ? 0.05 : 0.002,
        );
    }
  });
  it.each([
    [2 ** 52, 2 ** 53 - 1],
    [1e15 + 0.5, 2 ** 53 - 1],
    [3, 2 ** 53 - 1],
    [2 ** 31 + 1, 2 ** 32],
    [0.5, 1.5],
    [123456.789, 999999.5],
  ])('%d of %d ends soon, around the share', (hits, n) => {
    const before = performance.now();
    const [low, high] = shareInterval(hits, n, 0.95);
    expect(performance.now() - before).toBeLessThan(500);
    expect(low).toBeLessThan(hits / n);
    expect(high).toBeGreaterThan(hits / n);
    expect(low).toBeGreaterThan(0);
    expect(high).toBeLessThan(1);
  });
  it.each([
    [1e308, 1e308],
    [Infinity, Infinity],
    [NaN, 5],
    [3, NaN],
    [3, 2],
    [-1e17, 5],
    [0, 0],
    [1, -4],
  ])('%d of %d tells nothing', (hits, n) => {
    expect(shareInterval(hits, n, 0.95)).toEqual([0, 1]);
  });
});

describe('quantize gate on a record with odd counts', () => {
  const gate = async (same: unknown, samples: unknown): Promise<{ code: number; text: string; ms: number }> => {
    const folder = mkdtempSync(path.join(dir, 'r'));
    const record = runWith({ evaluation: {}, latency: latencyOf(2) });
    const evaluation = { ...record.evaluation, samples, agreement: { same } };
    writeFileSync(
      path.join(folder, 'run.json'),
      JSON.stringify({
        ...record,
        recipe: { ...record.recipe, resolved: { gate: { agreement: { min: '99%' } } } },
        evaluation,
      }),
    );
    const before = performance.now();
    const { code, out, err } = await runCli('gate', folder);
    return { code, text: out + err, ms: performance.now() - before };
  };
  // What it loads takes its time, which is not that of counting.
  beforeAll(() => gate(1, 100));
  it.each([
    [0.995, Number.MAX_SAFE_INTEGER, 0],
    [0.5, Number.MAX_SAFE_INTEGER, 1],
    [0.98, 2 ** 40, 1],
    [0.99, 999_999_937, 5],
    [1e-300, 2 ** 52, 1],
    [1, 1e12, 0],
    [0.99, 1e300, 3],
    [0.99, 100.5, 3],
    [0.99, -5, 3],
    [-1, 100, 1],
  ])('%d of %d: exit %d', async (same, samples, code) => {
    const found = await gate(same, samples);
    expect([found.code, found.text]).toEqual([code, found.text]);
    expect(found.ms).toBeLessThan(1000);
  });
});
