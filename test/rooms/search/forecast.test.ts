/** Times of a search, told from those of earlier trials. */
import { describe, expect, it } from 'vitest';
import type { Candidate } from '../../../src/search/candidates.js';
import { Forecast, type Errand } from '../../../src/search/forecast.js';
import type { RunRecord } from '../../../src/record/index.js';

const candidate = (more: Partial<Candidate> = {}): Candidate => ({
  label: 'c',
  why: '',
  family: 'static',
  adjust: [],
  quantize: {},
  ...more,
});
const gptq = candidate({ quantize: { weights: { method: 'gptq' } } });
const errand = (candidates: readonly Candidate[], samples: number, latency = false): Errand => ({
  candidates,
  samples,
  latency,
  sensitivity: 0,
});
const record = (samples: number, stages: Readonly<Record<string, number>>): RunRecord =>
  ({
    stages: Object.entries(stages).map(([name, ms]) => ({ name, ms, summary: '' })),
    evaluation: { samples, metrics: [], outputs: [], data: {} },
    nodes: [{ name: 'n', op: 'Conv', macs: 9, planned: 'integer' }],
  }) as unknown as RunRecord; // only these are read

describe('Forecast', () => {
  it('knows nothing before the first trial', () => {
    const f = new Forecast(1000);
    expect(f.knows).toBe(false);
    expect(f.look(candidate(), 100, 10)).toBe(0);
    expect(f.left()).toBeLessThanOrEqual(1000);
  });
  it('tells a larger group from two that ran: stages once, evaluation and files by recipe', () => {
    const f = new Forecast(1e6);
    // 300 ms to open, 2 ms a run: the float model and each recipe run on every sample.
    f.learn(
      errand([candidate()], 8),
      record(8, { optimise: 10, calibrate: 100, quantize: 20, evaluate: 300 + 2 * 16 }),
    );
    f.learn(
      errand([candidate(), candidate()], 100),
      record(100, { optimise: 10, calibrate: 90, quantize: 40, evaluate: 300 + 2 * 300 }),
    );
    expect(f.of(errand([candidate(), candidate(), candidate()], 200))).toBeCloseTo(
      10 + 100 + 3 * 20 + 300 + 2 * 800,
      6,
    );
    // no calibration
    expect(f.of(errand([candidate({ family: 'dynamic', quantize: { format: 'dynamic' } })], 200))).toBeCloseTo(
      10 + 20 + 300 + 2 * 400,
      6,
    );
  });
  it('takes what was never measured for a number of runs, and what was stopped for as long as it took', () => {
    const f = new Forecast(1e6);
    f.learn(errand([candidate()], 8), record(8, { calibrate: 100, evaluate: 200 + 2 * 16 }));
    f.learn(errand([candidate()], 100), record(100, { calibrate: 100, evaluate: 200 + 2 * 200 }));
    const plain = f.of(errand([candidate()], 100));
    expect(f.of(errand([gptq], 100)) - plain).toBeCloseTo(4 * 256 * 2, 6); // four runs of 2 ms for each of 256 samples
    f.stopped(errand([gptq], 100), 60_000);
    expect(f.of(errand([gptq], 100))).toBeGreaterThan(60_000);
    expect(f.of(errand([candidate()], 100))).toBeCloseTo(plain, 6);
  });
  it('learns what a look takes over making and evaluating its model', () => {
    const f = new Forecast(1e6);
    f.learn(errand([candidate()], 100), record(100, { calibrate: 100, evaluate: 600 }));
    const bare = f.bare(candidate(), 250);
    expect(f.look(candidate(), 250, 100)).toBeGreaterThan(bare);
    f.looked(candidate(), 250, 10_000);
    expect(f.look(candidate(), 250, 100)).toBeCloseTo(1.3 * 10_000, 6);
  });
});
