import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { exitCodeOfVerdict, gates, gateSpec, judgeRun } from '../../../src/gate/index.js';
import type { RuleResult, RunRecord } from '../../../src/record/index.js';
import { runRecordSpec } from '../../../src/record/run.js';
import { flips, latencyOf, runWith } from './helpers.js';

/** The one rule of these limits. */
function judge(limits: Record<string, unknown>, run: RunRecord, baseline?: RunRecord): RuleResult {
  const { rules } = judgeRun(run, gateSpec.parse(limits), baseline);
  expect(rules).toHaveLength(1);
  return rules[0]!; // just counted
}
const verdict = (...a: Parameters<typeof judge>): string => judge(...a).verdict;

describe('the list of gates', () => {
  it('has every file, named like its gate, and every gate is a key of recipes', () => {
    const dir = fileURLToPath(new URL('../../../src/gate/gates', import.meta.url));
    const files = readdirSync(dir)
      .filter((f) => f !== 'index.ts')
      .map((f) => path.basename(f, '.ts').replace(/-(\w)/g, (_, c: string) => c.toUpperCase()));
    expect(gates.map((g) => g.name).sort()).toEqual(files.sort());
    expect(Object.keys(gateSpec.shape).sort()).toEqual(['confidence', 'targets', ...files].sort());
    for (const g of gates) expect(g.doc).toMatch(/^\w.*\.$/s);
  });
});

describe('accuracyDrop', () => {
  const run = (worse: number, better: number, right: number, wrong = 0): RunRecord =>
    runWith({ paired: flips(worse, better, right, wrong) });
  it('passes, fails and stays undecided by the interval, not by the value', () => {
    expect(judge({ accuracyDrop: { max: '0.5 points' } }, run(3, 3, 9894, 100))).toMatchObject({
      verdict: 'pass',
      limit: 0.5,
      observed: 0,
      unit: 'points',
      samples: 10000,
    });
    expect(judge({ accuracyDrop: { max: '0.5%' } }, run(400, 100, 9400, 100))).toMatchObject({
      verdict: 'fail',
      observed: 3,
    });
    const open = judge({ accuracyDrop: { max: '0.5 points' } }, run(3, 2, 995));
    expect(open).toMatchObject({ verdict: 'undecided', observed: 0.1 });
    expect(open.samplesNeeded).toBeGreaterThan(1000);
    expect(open.interval![1]).toBeGreaterThan(0.5);
    expect(open.text).toMatch(
      /^top1 dropped by 0\.10 points, 99\.80 % → 99\.70 % \(95 % interval of the change −0\.7\d … \+0\.4\d points, 1000 samples\); a drop of at most 0\.50 points is allowed: undecided, .* about \d+ samples would decide$/,
    );
  });
  it('asks for no number of samples where the drop is the limit', () => {
    expect(judge({ accuracyDrop: { max: '1 points' } }, run(10, 0, 990)).samplesNeeded).toBeUndefined();
  });
  it('a limit of nothing is passed only where the result is surely better', () => {
    expect(verdict({ accuracyDrop: { max: '0 points' } }, run(0, 0, 1000))).toBe('undecided');
    expect(verdict({ accuracyDrop: { max: '0 points' } }, run(0, 300, 700))).toBe('pass'); // surely better
    expect(verdict({ accuracyDrop: { max: '0 points' } }, run(300, 0, 700))).toBe('fail');
  });
  it('more confidence asks for more', () => {
    const r = run(6, 2, 4992);
    expect(verdict({ accuracyDrop: { max: '0.25 points' }, confidence: '95%' }, r)).toBe('pass');
    expect(verdict({ accuracyDrop: { max: '0.25 points' }, confidence: 0.999 }, r)).toBe('undecided');
  });
  it('a relative limit is a part of the value before', () => {
    expect(judge({ accuracyDrop: { max: '1% relative' } }, run(0, 0, 8000, 2000)).limit).toBeCloseTo(0.8, 10);
  });
  it('lower is better where the metric says so', () => {
    const error = runWith({
      metric: { name: 'error', unit: 'mm', higherIsBetter: false },
      paired: {
        kind: 'mean',
        float: Array.from({ length: 400 }, (_, i) => 1 + (i % 7) / 100),
        quantized: Array.from({ length: 400 }, (_, i) => 1.2 + (i % 5) / 100),
      },
    });
    expect(judge({ accuracyDrop: { max: 0.1 } }, error)).toMatchObject({ verdict: 'fail', unit: 'mm' });
    expect(judge({ accuracyDrop: { max: 0.1 } }, error).observed).toBeCloseTo(0.19, 2);
    expect(verdict({ accuracyDrop: { max: 0.3 } }, error)).toBe('pass');
  });
  it('metrics that are no mean are judged by their resamples', () => {
    const changes = Array.from({ length: 1000 }, (_, i) => -0.002 + (i - 499.5) * 2e-6);
    const run = (max: number): string =>
      verdict(
        { accuracyDrop: { max } },
        runWith({
          metric: { name: 'pearson', unit: 'correlation', float: 0.9, quantized: 0.898, change: -0.002 },
          paired: { kind: 'bootstrap', samples: 1000, changes },
        }),
      );
    expect([run(0.004), run(0.0025), run(0.0005)]).toEqual(['pass', 'undecided', 'fail']);
  });
  it('few resamples and few samples give wider intervals', () => {
    const width = (rounds: number, samples: number): number => {
      const changes = Array.from({ length: rounds }, (_, i) => -0.01 + (0.02 * i) / (rounds - 1));
      const { interval } = judge(
        { accuracyDrop: { max: 0.001 } },
        runWith({ metric: { unit: 'c', change: 0 }, paired: { kind: 'bootstrap', samples, changes } }),
      );
      return interval![1] - interval![0];
    };
    expect(width(200, 1000)).toBeGreaterThanOrEqual(width(1000, 1000));
    expect(width(1000, 10)).toBeGreaterThan(1.1 * width(1000, 1000));
  });
  it.each([
    ['no evaluation', { ...runWith(), evaluation: undefined }, /no evaluation data/], // as a record without the key
    ['no metric', runWith(), /measured no metric/],
    ['no sample', runWith({ evaluation: { samples: 0 } }), /on no sample/],
    ['no scores', runWith({ metric: {} }), /keeps no scores per sample/],
    ['empty scores', runWith({ paired: flips(0, 0, 0) }), /scored no sample/],
    [
      'scores of different length',
      runWith({ paired: { kind: 'share', float: '11', quantized: '1' } }),
      /2 samples of one model and 1 of the other/,
    ],
    [
      'scores that are not finite',
      runWith({ metric: { unit: 'x' }, paired: { kind: 'mean', float: [1, NaN], quantized: [1, 1] } }),
      /not finite/,
    ],
    [
      'resamples that are not finite',
      runWith({ metric: { unit: 'x', change: NaN }, paired: { kind: 'bootstrap', samples: 100, changes: [0] } }),
      /no finite value/,
    ],
  ])('%s fails the rule and says so', (_, record, why) => {
    expect(judge({ accuracyDrop: { max: '50% relative' } }, record)).toMatchObject({
      verdict: 'fail',
      text: expect.stringMatching(why) as string,
    });
  });
  it('an unknown metric and a limit of the wrong unit fail and say what would be right', () => {
    expect(judge({ accuracyDrop: { max: '1%', metric: 'top7' } }, run(0, 0, 9)).text).toMatch(
      /no metric "top7"; it measured top1/,
    );
    expect(judge({ accuracyDrop: { max: 0.5 } }, run(0, 0, 9)).text).toMatch(/write "0.5 points"/);
    expect(
      judge({ accuracyDrop: { max: '1 points' } }, runWith({ metric: { unit: 'correlation' }, paired: flips(0, 0, 9) }))
        .text,
    ).toMatch(/write a number such as 0.01/);
  });
  it('fewer than ten scores of a mean are undecided', () => {
    const few = runWith({ metric: { unit: 'x' }, paired: { kind: 'mean', float: [1, 2, 3], quantized: [1, 2, 3] } });
    expect(judge({ accuracyDrop: { max: 5 } }, few)).toMatchObject({
      verdict: 'undecided',
      text: expect.stringMatching(/3 samples with such scores give no interval/) as string,
    });
  });
  it('equal scores pass only where an unseen change of their size would be within the limit', () => {
    const equal = (n: number, value: number): string =>
      verdict(
        { accuracyDrop: { max: 0.01 } },
        runWith({
          metric: { unit: 'x' },
          paired: {
            kind: 'mean',
            float: new Array<number>(n).fill(value),
            quantized: new Array<number>(n).fill(value),
          },
        }),
      );
    expect([equal(100, 1), equal(1000, 1), equal(1000, 0)]).toEqual(['undecided', 'pass', 'undecided']);
  });
  it('says where samples were calibrated on too', () => {
    const overlap = {
      calibration: {
        samples: 1,
        batches: 1,
        tensors: 1,
        observer: 'kl',
        cache: 'off' as const,
        data: {},
        sampling: '',
        nonFinite: [],
        skippedSamples: 0,
        overlapWithEvaluation: [['a', 'b']] as [string, string][],
      },
    };
    expect(
      judge({ accuracyDrop: { max: '1 points' } }, runWith({ paired: flips(0, 0, 5000), more: overlap })).text,
    ).toMatch(/1 of the samples were calibrated on too/);
  });
});

describe('accuracy against a baseline', () => {
  const limits = { accuracyDrop: { max: '0.5 points' } };
  const now = runWith({
    paired: { kind: 'share', float: '1'.repeat(5000), quantized: '1'.repeat(4950) + '0'.repeat(50) },
  });
  it('is paired with its quantized model', () => {
    const before = runWith({
      name: 'before',
      paired: { kind: 'share', float: '1'.repeat(5000), quantized: '1'.repeat(4948) + '0'.repeat(52) },
    });
    expect(verdict(limits, now)).toBe('fail'); // against float: 1 point
    expect(judge(limits, now, before)).toMatchObject({ verdict: 'pass', observed: -0.04 });
    expect(judgeRun(now, gateSpec.parse(limits), before).against).toMatch(/^before of 2026/);
  });
  it.each([
    ['other samples', runWith({ paired: flips(0, 0, 5000), evaluation: { sampleSet: 'b' } }), /saw other samples/],
    [
      'unknown samples',
      runWith({ paired: flips(0, 0, 5000), evaluation: { sampleSet: undefined } }),
      /does not say which samples/,
    ], // a record without the key
    ['no scores', runWith({ metric: {} }), /record of the baseline keeps no scores/],
    [
      'no such metric',
      runWith({ metric: { name: 'top5' }, paired: flips(0, 0, 5000) }),
      /the baseline has no metric "top1"/,
    ],
    [
      'another number of scores',
      runWith({ paired: flips(0, 0, 4999) }),
      /4999 samples of one model and 5000 of the other/,
    ],
    ['resamples', runWith({ paired: { kind: 'bootstrap', samples: 9, changes: [] } }), /judge it against float/],
  ])('with %s fails', (_, baseline, why) => {
    expect(judge(limits, now, baseline)).toMatchObject({ verdict: 'fail', text: expect.stringMatching(why) as string });
  });
});

describe('classDrop', () => {
  const classes = (...drops: readonly (readonly [samples: number, worse: number])[]): RunRecord =>
    runWith({
      metric: {
        classes: drops.map(([samples, worse], i) => ({
          class: i,
          samples,
          float: 1,
          quantized: 1 - worse / samples,
          rightToWrong: worse,
          wrongToRight: 0,
        })),
      },
    });
  it('judges the worst class, with intervals for all together', () => {
    expect(judge({ classDrop: { max: '5 points' } }, classes([1000, 0], [1000, 3]))).toMatchObject({
      verdict: 'pass',
      text: expect.stringMatching(/^class 1 dropped by 0.30 points/) as string,
    });
    expect(judge({ classDrop: { max: '5 points' } }, classes([1000, 0], [1000, 200]))).toMatchObject({
      verdict: 'fail',
      observed: 20,
    });
    // the certain failure, not the vague one
    expect(judge({ classDrop: { max: '5 points' } }, classes([1000, 200], [20, 3])).text).toMatch(/^class 0 /);
    const [one, five] = [classes([300, 5]), classes(...Array.from({ length: 5 }, () => [300, 5] as const))].map(
      (r) => judge({ classDrop: { max: '5 points' } }, r).interval!,
    );
    expect(five![1]).toBeGreaterThan(one![1]);
  });
  it('few samples of a class are undecided', () => {
    const open = judge({ classDrop: { max: '5 points' } }, classes([1000, 0], [20, 0]));
    expect(open).toMatchObject({ verdict: 'undecided', samples: 20 });
    expect(open.samplesNeeded).toBeGreaterThan(60);
  });
  it('fails without classes, with an empty class, and against a baseline', () => {
    expect(judge({ classDrop: { max: '1%' } }, runWith({ metric: {} })).text).toMatch(/no metric per class/);
    expect(judge({ classDrop: { max: '1%' } }, classes([0, 0])).text).toMatch(/class 0 has no samples/);
    expect(verdict({ classDrop: { max: '1%' } }, classes([1000, 0]), runWith())).toBe('fail');
  });
});

describe('the other gates', () => {
  it('minAccuracy', () => {
    const r = runWith({ paired: flips(0, 0, 970, 30) });
    expect(['95%', '97%', '99%'].map((min) => verdict({ minAccuracy: { min } }, r))).toEqual([
      'pass',
      'undecided',
      'fail',
    ]);
    expect(judge({ minAccuracy: { min: 0.9 } }, r).text).toMatch(/write "0.9%"/);
    expect(
      judge(
        { minAccuracy: { min: 1 } },
        runWith({
          metric: { unit: 'mm', higherIsBetter: false },
          paired: { kind: 'mean', float: [1], quantized: [1] },
        }),
      ).text,
    ).toMatch(/lower is better/);
  });
  it('agreement', () => {
    const r = (same: number, samples = 1000): RunRecord => runWith({ evaluation: { samples, agreement: { same } } });
    expect([0.999, 0.98, 0.9].map((same) => verdict({ agreement: { min: '98%' } }, r(same)))).toEqual([
      'pass',
      'undecided',
      'fail',
    ]);
    expect(verdict({ agreement: { min: 0.9 } }, runWith())).toBe('fail');
    expect(verdict({ agreement: { min: 0 } }, r(NaN))).toBe('fail');
  });
  it('latencyRatio by the interval of the speed-up', () => {
    const of = (speedup: number, more = {}): string =>
      verdict({ latencyRatio: { max: '80%' } }, runWith({ latency: latencyOf(speedup, more) }));
    expect([of(2), of(1.25), of(1)]).toEqual(['pass', 'undecided', 'fail']);
    expect(judge({ latencyRatio: { max: 0.8 } }, runWith({ latency: latencyOf(2) })).observed).toBe(0.5);
    expect(of(2, { speedupInterval: undefined })).toBe('undecided');
    expect(of(2, { drift: { float: 1, quantized: 1.3 } })).toBe('undecided');
    expect(of(2, { drift: { float: 1.3, quantized: 1.3 } })).toBe('pass'); // both alike
    expect(
      judge({ latencyRatio: { max: 0.8 }, confidence: 0.999 }, runWith({ latency: latencyOf(2) })).interval![1],
    ).toBeGreaterThan(judge({ latencyRatio: { max: 0.8 } }, runWith({ latency: latencyOf(2) })).interval![1]);
    expect(verdict({ latencyRatio: { max: 0.8 } }, runWith())).toBe('fail');
    expect(of(NaN)).toBe('fail');
  });
  it('latencyRatio of other percentiles needs the intervals of both', () => {
    const of = (percentile: string): RuleResult =>
      judge({ latencyRatio: { max: 0.8, percentile } }, runWith({ latency: latencyOf(2) }));
    expect(of('p90')).toMatchObject({ verdict: 'pass' });
    expect(of('p90').observed).toBeCloseTo(0.5, 10);
    expect(of('p99')).toMatchObject({ verdict: 'undecided' });
  });
  it('latencyRatio against a baseline needs the same machine and settings', () => {
    const run = runWith({ latency: latencyOf(2) });
    expect(judge({ latencyRatio: { max: 0.9 } }, run, runWith({ latency: latencyOf(1.5) })).observed).toBeCloseTo(
      0.75,
      10,
    );
    expect(
      judge({ latencyRatio: { max: 0.9 } }, run, runWith({ latency: latencyOf(1.5, { threads: 2 }) })).text,
    ).toMatch(/another number of threads: 2, not 1/);
    expect(
      judge({ latencyRatio: { max: 0.9 } }, run, runWith({ latency: latencyOf(1.5, { inputShapes: { x: [2] } }) }))
        .text,
    ).toMatch(/other shapes/);
    expect(
      judge(
        { latencyRatio: { max: 0.9 } },
        run,
        runWith({ latency: latencyOf(1.5), more: { environment: { ...run.environment, cpu: 'another' } } }),
      ).text,
    ).toMatch(/another CPU/);
    expect(verdict({ latencyRatio: { max: 0.9 } }, run, runWith())).toBe('fail');
  });
  it('sizeRatio and memoryRatio', () => {
    expect(judge({ sizeRatio: { max: '0.3x' } }, runWith())).toMatchObject({ verdict: 'pass', observed: 0.28 });
    expect(verdict({ sizeRatio: { max: 0.25 } }, runWith())).toBe('fail');
    expect(judge({ sizeRatio: { max: 1 } }, runWith(), runWith()).observed).toBe(1);
    expect(verdict({ sizeRatio: { max: 1 } }, runWith({ more: { model: { float: runWith().model.float } } }))).toBe(
      'fail',
    );
    const side = { loadMs: 1, firstRunMs: 1 };
    const memory = runWith({
      latency: latencyOf(2, { process: { float: { ...side, peakBytes: 100 }, quantized: { ...side, peakBytes: 60 } } }),
    });
    expect([
      verdict({ memoryRatio: { max: 0.6 } }, memory),
      verdict({ memoryRatio: { max: 0.5 } }, memory),
      verdict({ memoryRatio: { max: 0.5 } }, runWith()),
    ]).toEqual(['pass', 'fail', 'fail']);
  });
  it('integerMacs and outputError', () => {
    const macs = runWith({ more: { runtime: { integerMacsShare: 0.95, ops: {}, unfused: [], floatCompute: [] } } });
    expect([
      verdict({ integerMacs: { min: '95%' } }, macs),
      verdict({ integerMacs: { min: 0.96 } }, macs),
      verdict({ integerMacs: { min: 0 } }, runWith()),
    ]).toEqual(['pass', 'fail', 'fail']);
    const error = (...list: object[]): RunRecord =>
      runWith({
        evaluation: {
          outputs: list.map((o, i) => ({ name: `o${i}`, cosine: 0.999, sqnrDb: 25, mse: 1, maxAbsError: 1, ...o })),
        },
      });
    expect(judge({ outputError: { minSqnr: '20 dB' } }, error({}, { sqnrDb: 22 }))).toMatchObject({
      verdict: 'pass',
      observed: 22,
      unit: 'dB',
    });
    expect(verdict({ outputError: { minSqnr: 24, minCosine: 0.9 } }, error({}, { sqnrDb: 22 }))).toBe('fail');
    expect(verdict({ outputError: { minSqnr: 24, minCosine: 0.9999 } }, error({}))).toBe('fail');
    // no error at all
    expect(verdict({ outputError: { minSqnr: 20 } }, error({ sqnrDb: undefined, maxAbsError: 0 }))).toBe('pass');
    expect(verdict({ outputError: { minSqnr: 20 } }, error({ sqnrDb: undefined }))).toBe('fail'); // no signal
    expect(verdict({ outputError: { minCosine: 0 } }, error({ cosine: NaN }))).toBe('fail');
    expect(verdict({ outputError: { minCosine: 0 } }, error({ nonFinite: { float: 0, quantized: 3 } }))).toBe('fail');
    expect(verdict({ outputError: { minCosine: 0 } }, error())).toBe('fail');
  });
});

describe('judgeRun', () => {
  const limits = (more: object): ReturnType<typeof gateSpec.parse> => gateSpec.parse(more);
  it('fails where a rule fails, else is undecided where one is', () => {
    const run = runWith({ paired: flips(0, 0, 50) });
    expect(judgeRun(run, limits({ sizeRatio: { max: 1 } })).verdict).toBe('pass');
    expect(judgeRun(run, limits({ sizeRatio: { max: 1 }, accuracyDrop: { max: '1%' } })).verdict).toBe('undecided');
    expect(judgeRun(run, limits({ sizeRatio: { max: 0.1 }, accuracyDrop: { max: '1%' } })).verdict).toBe('fail');
    // the three verdicts
    expect(['pass', 'fail', 'undecided'].map((v) => exitCodeOfVerdict(v as 'pass'))).toEqual([0, 1, 5]);
  });
  it('fails a run that failed, and makes what the record accepts', () => {
    const gate = judgeRun(runWith({ more: { outcome: 'failed' } }), limits({ sizeRatio: { max: 1 } }));
    expect(gate).toMatchObject({ verdict: 'fail', against: 'float', confidence: 0.95 });
    expect(runRecordSpec.parse(runWith({ more: { gate } })).gate).toEqual(gate);
  });
  it('throws USAGE without a limit', () => {
    expect(() => judgeRun(runWith(), { confidence: 0.95 })).toThrow(
      expect.objectContaining({ code: 'USAGE' }) as Error,
    );
  });
});

describe('limits', () => {
  const problem = (limits: unknown): string =>
    gateSpec
      .safeParse(limits)
      .error?.issues.map((i) =>
        'errors' in i
          ? i.errors
              .flat()
              .map((e) => e.message)
              .join(' ')
          : i.message,
      )
      .join(' ') ?? '';
  it.each([
    [{ accuracyDrop: { max: '0.5 pts' } }, /0\.5 points or 0\.5%/],
    [{ accuracyDrop: { max: '-1 points' } }, /expected/],
    [{ accuracyDrop: {} }, /expected/],
    [{ latencyRatio: { max: 'fast' } }, /0\.8x or 80%/],
    [{ latencyRatio: { max: '0' } }, /above 0/],
    [{ agreement: { min: '99' } }, /at most 1/],
    [{ agreement: { min: '101%' } }, /at most 1/],
    [{ sizeRatio: { max: 1 }, confidence: 95 }, /95%/],
    [{ sizeRatio: { max: 1 }, confidence: '100%' }, /below 100%/],
    [{ sizeRatio: { max: 1 }, confidence: '95' }, /95%/],
    [{ outputError: {} }, /minSqnr, minCosine or both/],
    [{ outputError: { minSqnr: '20' } }, /20 dB/],
    [{}, /needs a limit/],
    [{ confidence: 0.9 }, /needs a limit/],
  ])('%j is refused', (limits, message) => expect(problem(limits)).toMatch(message));
  it('are kept as written, so that a resolved recipe reads again', () => {
    const once = gateSpec.parse({
      confidence: '99%',
      accuracyDrop: { max: '0.5 points' },
      agreement: { min: '99%' },
      outputError: { minSqnr: '20 dB' },
    });
    expect(once).toMatchObject({ confidence: 0.99, accuracyDrop: { max: '0.5 points' } });
    expect(gateSpec.parse(JSON.parse(JSON.stringify(once)))).toEqual(once);
  });
});
