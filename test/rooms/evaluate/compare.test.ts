import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunEvent } from '../../../src/base/events.js';
import { QuantError } from '../../../src/base/errors.js';
import { compareModels, defaultMetrics, evaluateModels } from '../../../src/evaluate/compare.js';
import { spearman } from '../../../src/evaluate/metrics/correlation.js';
import { top1 } from '../../../src/evaluate/metrics/top-k.js';
import type { Sample } from '../../../src/ir/feed.js';
import type { EvaluationFacts } from '../../../src/record/index.js';
import type { Session } from '../../../src/runtime/session.js';
import { batched, f32, open, sample } from './helpers.js';

// Class scores [x, 1 − x]; the second model sees every input larger by 0.2.
const SCORES = (shift: number, batch = 'N'): string =>
  `g (float[${batch},1] x) => (float[${batch},2] y) <float[1] s = {${shift}}, float[1,2] w = {1, -1}, float[2] ` +
  'b = {0, 1}> { m = Add(x, s)  p = MatMul(m, w)  y = Add(p, b) }';
let float: Session;
let shifted: Session;
beforeAll(async () => {
  float = await open(SCORES(0));
  shifted = await open(SCORES(0.2));
});
afterAll(async () => {
  await float.close();
  await shifted.close();
});

const values = [0.1, 0.35, 0.45, 0.6, 0.9];
const labelled = (labels: readonly number[]): Sample[] =>
  values.map((v, i) => sample([{ x: f32([v]) }], labels[i], `s${i}`));

describe('compareModels', () => {
  it.each([1, 2, 8])('scores, agrees and counts flips by hand at batch size %i', async (size) => {
    // Float answers 1,1,1,0,0; shifted answers 1,0,0,0,0: two flips, one right → wrong (label 1) and one wrong → right
    // (label 0).
    const found = await compareModels({
      float,
      quantized: shifted,
      batches: batched(labelled([1, 1, 0, 0, 1]), float, size),
      metrics: [{ metric: top1, options: {} }],
    });
    const facts: EvaluationFacts = { ...found, data: null }; // what is found is what a record holds
    expect(facts.samples).toBe(5);
    expect(found.agreement).toMatchObject({ same: 0.6, rightToWrong: 1, wrongToRight: 1, mcnemarP: 1 });
    expect(found.agreement!.flips).toEqual([
      { sample: 's1', label: 1, float: 1, quantized: 0 },
      { sample: 's2', label: 0, float: 1, quantized: 0 },
    ]);
    // Scores [x, 1 − x] sum to 1 and are shares; those of the shifted model are too, but for x = 0.9, whose negative
    // score makes softmax of them.
    expect(found.agreement!.kl).toBeCloseTo(0.08862257, 5);
    expect(found.metrics[0]!.paired).toEqual({ kind: 'share', float: '11010', quantized: '10110' });
    expect(found.metrics[0]!.classes).toEqual([
      { class: 0, samples: 2, float: 0.5, quantized: 1, rightToWrong: 0, wrongToRight: 1 },
      { class: 1, samples: 3, float: 2 / 3, quantized: 1 / 3, rightToWrong: 1, wrongToRight: 0 },
    ]);
    expect(found.metrics).toHaveLength(1);
    expect(found.metrics[0]).toMatchObject({
      name: 'top1',
      unit: '%',
      float: 60,
      quantized: 60,
      change: 0,
      higherIsBetter: true,
    });
    const [low, high] = found.metrics[0]!.interval!;
    expect(low).toBeCloseTo(-100 * 1.959964 * Math.sqrt(4 / 7 / 7), 3); // (1 + 1) / (5 + 2) each way
    expect(high).toBeCloseTo(-low, 10);
    const y = found.outputs[0]!;
    expect(y.mse).toBeCloseTo(0.04, 6); // every score is off by 0.2
    expect(y.maxAbsError).toBeCloseTo(0.2, 6);
    const power = values.reduce((sum, v) => sum + v * v + (1 - v) * (1 - v), 0);
    expect(y.sqnrDb).toBeCloseTo(10 * Math.log10(power / (10 * 0.04)), 4);
    expect(y.cosine).toBeGreaterThan(0.9);
  });

  it('compares several candidates in one pass, each as alone', async () => {
    const samples = labelled([1, 1, 0, 0, 1]);
    const all = await evaluateModels({ float, candidates: [shifted, float], batches: batched(samples, float, 2) });
    expect(all.candidates).toEqual([
      await compareModels({ float, quantized: shifted, batches: batched(samples, float, 2) }),
      await compareModels({ float, quantized: float, batches: batched(samples, float, 2) }),
    ]);
    expect(all.float.map((s) => [s.metric.name, s.value()])).toEqual([['top1', 60]]);
  });

  it('keeps the search part out of what is judged, the same samples whatever the order', async () => {
    const many = Array.from({ length: 60 }, (_, i) => sample([{ x: f32([(i + 0.5) / 60]) }], i % 2, `s${i}`));
    const split = (list: readonly Sample[]) =>
      compareModels({ float, quantized: shifted, batches: batched(list, float, 7), searchShare: 0.4 });
    const found = await split(many);
    expect(found.samples + found.search!.samples).toBe(60);
    expect(found.search!.samples).toBeGreaterThan(12);
    expect(found.search!.samples).toBeLessThan(36);
    expect(found.metrics[0]!.samples).toBe(found.samples);
    const reversed = await split([...many].reverse());
    expect(reversed.search!.metrics[0]!.quantized).toBe(found.search!.metrics[0]!.quantized);
    expect(reversed.sampleSet).not.toBe(found.sampleSet);
    await expect(
      compareModels({ float, quantized: shifted, batches: batched(many, float, 7), searchShare: 1 }),
    ).rejects.toMatchObject({ code: 'DATA_MISSING' });
  });

  it('finds nothing to report between a model and itself', async () => {
    const found = await compareModels({
      float,
      quantized: float,
      batches: batched(labelled([1, 1, 1, 0, 0]), float, 2),
    });
    expect(found.agreement).toMatchObject({ same: 1, rightToWrong: 0, wrongToRight: 0 });
    expect(found.outputs[0]).toMatchObject({ cosine: 1, mse: 0, maxAbsError: 0 });
    expect(found.outputs[0]).not.toHaveProperty('sqnrDb');
    expect(found.metrics[0]).toMatchObject({ name: 'top1', float: 100, change: 0 });
  });

  it('leaves the rows that fill up a fixed batch out', async () => {
    const fixed = await open(SCORES(0, '4'));
    const other = await open(SCORES(0.2, '4'));
    const found = await compareModels({
      float: fixed,
      quantized: other,
      batches: batched(labelled([1, 1, 1, 0, 0]), fixed, 4),
    });
    expect(found.samples).toBe(5);
    const power = values.reduce((sum, v) => sum + v * v + (1 - v) * (1 - v), 0);
    expect(found.outputs[0]!.sqnrDb).toBeCloseTo(10 * Math.log10(power / 0.4), 4);
    await fixed.close();
    await other.close();
  });

  it('measures agreement and output error without labels, and says that label metrics are left out', async () => {
    const events: RunEvent[] = [];
    const unlabelled = values.map((v) => sample([{ x: f32([v]) }]));
    const found = await compareModels({
      float,
      quantized: shifted,
      batches: batched(unlabelled, float, 2),
      metrics: [{ metric: top1, options: {} }],
      totalSamples: 5,
      onEvent: (e) => events.push(e),
    });
    expect(found.metrics).toEqual([]);
    expect(found.agreement).toMatchObject({ same: 0.6 });
    expect(found.agreement).not.toHaveProperty('mcnemarP');
    expect(events.filter((e) => e.type === 'diagnostic').map((e) => e.diagnostic.code)).toEqual([
      'EVALUATION_NO_LABELS',
    ]);
    expect(events.filter((e) => e.type === 'progress').map((e) => [e.stage, e.done, e.total])).toEqual([
      ['evaluate', 2, 5],
      ['evaluate', 4, 5],
      ['evaluate', 5, 5],
    ]);
  });

  it('counts NaN and infinity of the quantized model, keeps them out of the sums, and reports them', async () => {
    // 1 / (x − 0.6) is infinite for the sample 0.6.
    const broken = await open(
      'g (float[N,1] x) => (float[N,2] y) <float[1] c = {0.6}, float[1,2] w = {1, 1}, float zero = {0}> { d = ' +
        'Sub(x, c)  i = Div(zero, d)  y = MatMul(i, w) }',
    );
    const events: RunEvent[] = [];
    const found = await compareModels({
      float,
      quantized: broken,
      batches: batched(labelled([1, 1, 1, 0, 0]), float, 8),
      onEvent: (e) => events.push(e),
    });
    expect(found.outputs[0]!.nonFinite).toEqual({ float: 0, quantized: 2, lost: 2 });
    expect(Number.isFinite(found.outputs[0]!.mse)).toBe(true);
    expect(found.outputs[0]!.cosine).toBe(0);
    expect(events.some((e) => e.type === 'diagnostic' && e.diagnostic.code === 'EVALUATION_NON_FINITE')).toBe(true);
    await broken.close();
  });

  it('compares outputs without a batch axis whole, and counts those of another shape', async () => {
    const make = (limit: number): Promise<Session> =>
      open(
        `g (float[N,1] x) => (float[] total, float[?,1] big) <int64[1] axes = {0}, float lim = {${limit}}, ` +
          'int64[1] flat = {-1}> { total = ReduceSum <keepdims = 0> (x)  c = Greater(x, lim)  v = Reshape(c, ' +
          'flat)  big = Compress <axis = 0> (x, v) }',
      );
    const [a, b] = await Promise.all([make(0.5), make(0.4)]);
    const found = await compareModels({
      float: a,
      quantized: b,
      batches: batched(
        values.map((v) => sample([{ x: f32([v]) }])),
        a,
        5,
      ),
    });
    expect(found.outputs.map((o) => [o.name, o.mse, o.otherShape])).toEqual([
      ['total', 0, undefined],
      ['big', 0, 1],
    ]);
    expect(found.agreement).toBeUndefined();
    await a.close();
    await b.close();
  });

  it('scores pairs and does not call the largest element of an embedding a class', async () => {
    const model = await open('g (float[N,2] x) => (float[N,2] y) { y = Identity(x) }');
    const pairs = Array.from({ length: 12 }, (_, i) =>
      sample([{ x: f32([1, 0]) }, { x: f32([Math.cos(i / 6), Math.sin(i / 6)]) }], 12 - i, `p${i}`),
    );
    const found = await compareModels({ float: model, quantized: model, batches: batched(pairs, model, 5) });
    expect(found.metrics.map((m) => [m.name, m.change])).toEqual([
      ['spearman', 0],
      ['pearson', 0],
    ]);
    expect(found.metrics[0]!.float).toBeCloseTo(1, 12);
    expect(found.metrics[0]!.interval).toEqual([0, 0]);
    expect(found.agreement).toBeUndefined();
    await model.close();
  });

  it('refuses a model whose outputs differ, data without samples, and stops when asked to', async () => {
    const other = await open('g (float[N,1] x) => (float[N,1] z) { z = Identity(x) }');
    const code = async (run: Promise<unknown>): Promise<string> =>
      run.then(
        () => 'none',
        (e: unknown) => (e instanceof QuantError ? e.code : String(e)),
      );
    expect(
      await code(compareModels({ float, quantized: other, batches: batched(labelled([0, 0, 0, 0, 0]), float, 2) })),
    ).toBe('MODEL_UNSUPPORTED');
    expect(await code(compareModels({ float, quantized: float, batches: batched([], float, 2) }))).toBe('DATA_MISSING');
    expect(
      await code(
        compareModels({
          float,
          quantized: float,
          batches: batched(labelled([5, 0, 0, 0, 0]), float, 2),
          metrics: [{ metric: top1, options: {} }],
        }),
      ),
    ).toBe('DATA_LABEL');
    const controller = new AbortController();
    const run = compareModels({
      float,
      quantized: float,
      batches: batched(labelled([0, 0, 0, 0, 0]), float, 1),
      signal: controller.signal,
      onEvent: () => controller.abort(new Error('stop')),
    });
    expect(await code(run)).toBe('Error: stop');
    await other.close();
  });
});

describe('defaultMetrics', () => {
  const classes = (n: number | null) =>
    [
      { name: 'boxes', dtype: 'float32', shape: [null, 7, 4] },
      { name: 'y', dtype: 'float32', shape: [null, n] },
    ] as const;
  it('takes the output of class scores, top5 from 100 classes on, correlations for pairs, and else nothing', () => {
    const names = (s: Sample, n: number | null): unknown =>
      // both metrics have it
      defaultMetrics(s, classes(n)).map((m) => [m.metric.name, (m.options as { output?: string }).output]);
    expect(names(sample([{}], 1), 10)).toEqual([['top1', 'y']]);
    expect(names(sample([{}], 1), 1000)).toEqual([
      ['top1', 'y'],
      ['top5', 'y'],
    ]);
    expect(names(sample([{}], 1), null)).toEqual([['top1', 'y']]);
    expect(names(sample([{}], 1), 1)).toEqual([]);
    expect(names(sample([{}], 0.5), 10)).toEqual([]);
    expect(names(sample([{}]), 10)).toEqual([]);
    expect(defaultMetrics(sample([{}, {}], 2.5), classes(10)).map((m) => m.metric)).toContain(spearman);
  });
});
