/** Every gate at its limit: what just keeps it passes, what just misses it does not, and worse is never better. */
import { describe, expect, it } from 'vitest';
import { gates } from '../../src/gate/gates/index.js';
import { judgeRun } from '../../src/gate/judge.js';
import { gateSpec } from '../../src/gate/settings.js';
import type { RuleResult, RunRecord } from '../../src/record/index.js';
import { flips, latencyOf, runWith } from '../rooms/gate/helpers.js';

interface GateCase {
  /** The limit as recipes write it. */
  readonly limit: (x: number) => object;
  /** A run whose quantized model is worse by so many hundredths. */
  readonly worse: (by: number) => RunRecord;
  /** Observed where it is worse by 10, counted by hand. */
  readonly observed: number;
}
const share = (by: number): RunRecord => runWith({ paired: flips(10 * by, 0, 1000 - 10 * by) });
const side = { loadMs: 1, firstRunMs: 1 };
const CASES: Readonly<Record<string, GateCase>> = {
  accuracyDrop: { limit: (x) => ({ max: `${x} points` }), worse: share, observed: 10 },
  classDrop: {
    limit: (x) => ({ max: `${x} points` }),
    worse: (by) =>
      runWith({
        metric: {
          classes: [
            {
              class: 0,
              samples: 1000,
              float: 0.95,
              quantized: 0.95 - by / 100,
              rightToWrong: 10 * by,
              wrongToRight: 0,
            },
            { class: 1, samples: 1000, float: 0.95, quantized: 0.95, rightToWrong: 0, wrongToRight: 0 },
          ],
        },
      }),
    observed: 10,
  },
  minAccuracy: { limit: (x) => ({ min: `${x}%` }), worse: share, observed: 90 },
  agreement: {
    limit: (x) => ({ min: x }),
    worse: (by) => runWith({ evaluation: { samples: 1000, agreement: { same: 1 - by / 100 } } }),
    observed: 0.9,
  },
  latencyRatio: {
    limit: (x) => ({ max: x }),
    worse: (by) => runWith({ latency: latencyOf(1 / (0.5 + by / 100)) }),
    observed: 0.6,
  },
  sizeRatio: {
    limit: (x) => ({ max: x }),
    worse(by) {
      const { model } = runWith();
      return runWith({ more: { model: { ...model, quantized: { ...model.float, bytes: 280 + 10 * by } } } });
    },
    observed: 0.38,
  },
  transportRatio: {
    limit: (x) => ({ max: x }),
    worse(by) {
      const [float, quantized] = [
        { raw: 2000, brotli: 1000, gzip: 1100 },
        { raw: 500, brotli: 280 + 10 * by, gzip: 400 },
      ];
      return runWith({ more: { transport: { codec: 'brotli', float, quantized, weights: 3, error: 0.001 } } });
    },
    observed: 0.38,
  },
  memoryRatio: {
    limit: (x) => ({ max: x }),
    worse: (by) =>
      runWith({
        latency: latencyOf(2, {
          process: { float: { ...side, peakBytes: 200 }, quantized: { ...side, peakBytes: 100 + 2 * by } },
        }),
      }),
    observed: 0.6,
  },
  integerMacs: {
    limit: (x) => ({ min: x }),
    worse: (by) =>
      runWith({ more: { runtime: { integerMacsShare: 1 - by / 100, ops: {}, unfused: [], floatCompute: [] } } }),
    observed: 0.9,
  },
  outputError: {
    limit: (x) => ({ minSqnr: x }),
    worse: (by) =>
      runWith({ evaluation: { outputs: [{ name: 'y', cosine: 1, mse: 1, maxAbsError: 1, sqnrDb: 30 - by }] } }),
    observed: 20,
  },
};

it('every gate has a case', () => {
  expect(Object.keys(CASES).sort()).toEqual(gates.map((g) => g.name).sort());
});

describe.each(Object.entries(CASES))('%s', (name, { limit, worse, observed }) => {
  const judge = (run: RunRecord, x: number): RuleResult =>
    judgeRun(run, gateSpec.parse({ [name]: limit(Number(x.toPrecision(12))) })).rules[0]!; // one rule was set
  const run = worse(10);
  const seen = judge(run, observed);
  const down = seen.bound === 'min' ? -1 : 1;
  const [low, high] = seen.interval ?? [seen.observed!, seen.observed!];
  /** The ends of the interval, the better for the quantized model first. */
  const [better, bad] = down > 0 ? [low, high] : [high, low];
  const hair = 1e-6;

  it('observes what was counted', () => {
    expect(seen.observed).toBeCloseTo(observed, 9);
    expect(low).toBeLessThanOrEqual(seen.observed! + hair);
    expect(high).toBeGreaterThanOrEqual(seen.observed! - hair);
  });
  it('passes at the worse end of the interval, and not a hair before it', () => {
    expect(judge(run, bad + down * hair).verdict).toBe('pass');
    expect(judge(run, bad - down * hair).verdict).not.toBe('pass');
    if (!seen.interval) expect(judge(run, observed).verdict).toBe('pass');
  });
  it('fails beyond the better end alone', () => {
    expect(judge(run, better - down * hair).verdict).toBe('fail');
    expect(judge(run, better + down * hair).verdict).not.toBe('fail');
  });
  it('judges what is worse no better', () => {
    const order = ['pass', 'undecided', 'fail'];
    const verdicts = [2, 5, 10, 15, 20].map((by) => order.indexOf(judge(worse(by), observed).verdict));
    expect(verdicts).toEqual([...verdicts].sort());
    expect(verdicts[0]).toBe(0);
    expect(verdicts.at(-1)).toBe(2);
  });
});
