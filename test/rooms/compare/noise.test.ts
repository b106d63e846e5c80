/** Ties: a run is only beaten by another where the difference is beyond the noise. */
import { describe, expect, it } from 'vitest';
import { gateSpec } from '../../../src/gate/index.js';
import { beats, frontOfRuns, leadsOf } from '../../../src/compare/noise.js';
import { rank } from '../../../src/compare/rank.js';
import type { RunRecord } from '../../../src/record/index.js';
import { compareColumns, isBest } from '../../../src/report/compare/columns.js';
import { flips, latencyOf, runWith, type RunParts } from '../gate/helpers.js';
import { makeComparison } from '../report/compare-record.js';

const PERFECT = flips(0, 0, 9000, 1000);
/** 90 % of 10,000 samples, and the speed of float ÷ 2 unless said. */
const run = (paired = PERFECT, speed = 2, more: Partial<RunParts> = {}): RunRecord => {
  const right = paired.kind === 'share' ? [...paired.quantized].filter((c) => c === '1').length : 0;
  return runWith({ paired, metric: { quantized: right / 100 }, latency: latencyOf(speed), ...more });
};
const sized = (r: RunRecord, bytes: number): RunRecord => ({
  ...r,
  model: { ...r.model, quantized: { ...r.model.quantized!, bytes } },
});
const agreeing = (same: number, samples: number): RunRecord =>
  runWith({ evaluation: { samples, agreement: { same } } });
const cosine = (value: number): RunRecord =>
  runWith({ evaluation: { outputs: [{ name: 'y', cosine: value, mse: 1, maxAbsError: 1 }] } });

describe('which of two runs is certainly better', () => {
  it('in accuracy: by the samples that both saw', () => {
    // 30 of 10,000 samples fewer: a difference that no value alone tells, and that the pairs do.
    const [less, noise] = [run(flips(30, 0, 8970, 1000)), run(flips(16, 14, 8984, 986))];
    expect([beats('accuracy', run(), less), beats('accuracy', less, run())]).toEqual([true, false]);
    expect([beats('accuracy', run(), noise), beats('accuracy', noise, run())]).toEqual([false, false]);
  });
  it('in accuracy of other samples: by intervals that do not meet', () => {
    const other = (change: number, half: number): RunRecord =>
      runWith({
        metric: { quantized: 90 + change, change, interval: [change - half, change + half] },
        evaluation: { sampleSet: `s${change}` },
      });
    expect(beats('accuracy', other(0, 0.2), other(-0.3, 0.2))).toBe(false);
    expect(beats('accuracy', other(0, 0.1), other(-0.3, 0.1))).toBe(true);
  });
  it('where lower is better', () => {
    const loss = (change: number): RunRecord =>
      runWith({
        metric: {
          name: 'perplexity',
          unit: 'perplexity',
          higherIsBetter: false,
          quantized: 10 + change,
          change,
          interval: [change - 0.1, change + 0.1],
        },
      });
    expect([beats('accuracy', loss(0), loss(1)), beats('accuracy', loss(1), loss(0))]).toEqual([true, false]);
    expect(beats('accuracy', loss(0), loss(0.15))).toBe(false);
  });
  it('in the same answer: by the interval of a share', () => {
    expect(beats('same answer', agreeing(0.99, 300), agreeing(0.98, 300))).toBe(false);
    expect(beats('same answer', agreeing(0.99, 30_000), agreeing(0.98, 30_000))).toBe(true);
    // without labels it is the accuracy too
    expect(beats('accuracy', agreeing(0.99, 300), agreeing(0.98, 300))).toBe(false);
    expect(beats('accuracy', agreeing(0.99, 30_000), agreeing(0.98, 30_000))).toBe(true);
  });
  it('where there is no noise to know of: by the value', () => {
    expect([beats('accuracy', cosine(0.999), cosine(0.998)), beats('accuracy', cosine(0.5), cosine(0.5))]).toEqual([
      true,
      false,
    ]);
  });
  it('in size: beyond names and paddings', () => {
    expect(beats('size', sized(run(), 100_000), sized(run(), 100_100))).toBe(false);
    expect(beats('size', sized(run(), 100_000), sized(run(), 101_000))).toBe(true);
  });
  it('in latency and speed-up: beyond their intervals, and what sessions differ by', () => {
    expect([
      beats('latency', run(PERFECT, 2.05), run(PERFECT, 2)),
      beats('speedup', run(PERFECT, 2.05), run()),
    ]).toEqual([false, false]);
    expect([beats('latency', run(PERFECT, 3), run(PERFECT, 2)), beats('speedup', run(PERFECT, 3), run())]).toEqual([
      true,
      true,
    ]);
  });
});

describe('stars and the front', () => {
  const limits = gateSpec.parse({ accuracyDrop: { max: '5 points' } });
  const named = (records: Readonly<Record<string, RunRecord>>) =>
    Object.entries(records).map(([label, record]) => ({ label, folder: label, record }));
  it('a difference within the noise: both have the star, and both stand on the front', () => {
    const [a, b, c] = [run(PERFECT, 2), run(flips(16, 14, 8984, 986), 2.05), run(flips(300, 0, 8700, 1000), 1.5)];
    const { runs } = rank(named({ a, b, c }), limits);
    expect(runs.map((r) => r.front)).toEqual([true, true, false]);
    const full = { ...makeComparison(), runs };
    const stars = Object.fromEntries(
      compareColumns(full).map((column) => [
        column.title,
        runs.filter((r) => isBest(column, r, runs)).map((r) => r.label),
      ]),
    );
    expect(stars).toMatchObject({
      top1: ['a', 'b'],
      'latency p50': ['a', 'b'],
      'against float': ['a', 'b'],
      size: [], // all are the same
    });
  });
  it('a real difference: one has the star, and the other does not stand on the front', () => {
    const [a, b] = [run(PERFECT, 2), run(flips(30, 0, 8970, 1000), 2.05)];
    const { runs } = rank(named({ a, b }), limits);
    expect(runs.map((r) => r.front)).toEqual([true, false]);
    const [top1] = compareColumns({ ...makeComparison(), runs });
    expect(runs.map((r) => isBest(top1!, r, runs))).toEqual([true, false]);
  });
  it('leads are told for what was measured alone', () => {
    expect(leadsOf([run(), undefined])).toEqual([['accuracy', 'latency', 'speedup', 'size'], []]);
  });
  it('ties that run in a circle leave all of it on the front, and none behind what it beats', () => {
    // speed: a over b (c between); size: b over c (a between); accuracy: c over a (b between)
    const between = (values: readonly [number, number, number]): RunRecord =>
      sized(
        runWith({
          metric: { quantized: values[0], change: 0, interval: [-1, 1] },
          evaluation: { sampleSet: String(values[0]) },
          latency: latencyOf(values[1], { speedupInterval: [values[1] - 0.3, values[1] + 0.3] }),
        }),
        values[2],
      );
    const [a, b, c] = [between([88, 3, 100_150]), between([89.5, 2, 100_000]), between([91, 2.5, 100_450])];
    expect([
      beats('speedup', a, b),
      beats('size', b, c),
      beats('accuracy', c, a),
      beats('speedup', a, c),
      beats('size', b, a),
      beats('accuracy', c, b),
    ]).toEqual([true, true, true, false, false, false]);
    const behind = between([70, 1, 200_000]);
    expect(frontOfRuns([a, b, c, behind])).toEqual([true, true, true, false]);
  });
});

describe('the choice', () => {
  it('among runs as fast and as accurate: the smaller', () => {
    const limits = gateSpec.parse({ accuracyDrop: { max: '5 points' } });
    const [a, b] = [sized(run(PERFECT, 2), 500_000), sized(run(flips(16, 14, 8984, 986), 2.05), 400_000)];
    const { chosen } = rank(
      [
        { label: 'a', folder: 'a', record: a },
        { label: 'b', folder: 'b', record: b },
      ],
      limits,
    );
    expect(chosen?.sentence).toMatch(
      /^b is the smallest of the 2 fastest runs that keep their limits, all of which are as accurate by what was measured: /,
    );
  });
});
