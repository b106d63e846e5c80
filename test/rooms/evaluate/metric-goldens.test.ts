/** Metrics against reference libraries: test/golden/metrics.json, made by scripts/metric-goldens.py. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { metrics } from '../../../src/evaluate/metrics/index.js';
import { bootstrapChanges, mcnemarExact, nearestRank, pearsonOf, ranks } from '../../../src/evaluate/statistics.js';
import type { Accumulator } from '../../../src/evaluate/types.js';
import type { Feed, FeedTensor, Sample, TargetBox, ValueInfo } from '../../../src/ir/feed.js';

interface Golden {
  readonly classification: {
    labels: number[];
    logits: number[][];
    binaryLabels: number[];
    binaryScores: number[];
    f1: Record<'macro' | 'micro' | 'weighted' | 'binary', number>;
    classAccuracy: number;
    aucBinary: number;
    aucOvr: number;
  };
  readonly statistics: {
    flips: { worse: number; better: number; p: number }[];
    x: number[];
    y: number[];
    noisy: number[];
    pearson: number;
    spearman: number;
    before: number[];
    after: number[];
    meanChange: Bootstrapped;
    pearsonChange: Bootstrapped;
  };
  readonly detection: {
    truth: { box: [number, number, number, number]; label: number; crowd: boolean; difficult: boolean }[][];
    found: { box: number[]; label: number; score: number }[][];
    ap: number;
    ap50: number;
    ap75: number;
    voc11: number;
    vocAll: number;
  };
  readonly images: { dims: number[]; target: number[]; output: number[]; psnr: number; ssim: number }[];
  readonly speech: { references: string[]; hypotheses: string[]; wer: number; cer: number };
  readonly language: { logits: number[][][]; ids: number[][]; mask: number[][]; perplexity: number };
}
interface Bootstrapped {
  interval: [number, number];
  standardError: number;
}
// written by our script in this shape
const golden = JSON.parse(readFileSync(new URL('../../golden/metrics.json', import.meta.url), 'utf8')) as Golden;

const f64 = (values: readonly number[], dims: readonly number[]): FeedTensor => ({
  dtype: 'float64',
  dims,
  data: Float64Array.from(values),
});
const i64 = (values: readonly number[]): FeedTensor => ({
  dtype: 'int64',
  dims: [1, values.length],
  data: BigInt64Array.from(values, BigInt),
});
const sampleOf = (parts: Partial<Sample>): Sample => ({ id: 's', hash: '', feeds: [{}], ...parts });
const start = (name: string, options: object, outputs: readonly string[] = ['y']): Accumulator => {
  const metric = metrics.find((m) => m.name === name)!;
  return metric.start(
    metric.options.parse(options),
    outputs.map((o): ValueInfo => ({ name: o, dtype: 'float64', shape: undefined })),
  );
};

describe('classification, against scikit-learn', () => {
  const { labels, logits, binaryLabels, binaryScores, f1, classAccuracy, aucBinary, aucOvr } = golden.classification;
  const over = (name: string, options: object, binary = false): Accumulator => {
    const a = start(name, options);
    if (binary)
      binaryLabels.forEach((label, i) => a.add(sampleOf({ label }), [{ y: f64([binaryScores[i]!], [1, 1]) }]));
    else labels.forEach((label, i) => a.add(sampleOf({ label }), [{ y: f64(logits[i]!, [1, 4]) }]));
    return a;
  };
  it.each(['macro', 'micro', 'weighted', 'binary'] as const)('f1 %s', (average) => {
    expect(over('f1', { average }, average === 'binary').value()).toBeCloseTo(f1[average], 9);
  });
  it('balanced accuracy', () => {
    expect(over('class-accuracy', {}).value()).toBeCloseTo(classAccuracy, 9);
  });
  it('AUC with ties, and one against the rest', () => {
    expect(over('auc', {}, true).value()).toBeCloseTo(aucBinary, 9);
    expect(over('auc', {}).value()).toBeCloseTo(aucOvr, 9);
    // Two columns, as probabilities, rank as one.
    const two = start('auc', {});
    binaryLabels.forEach((label, i) =>
      two.add(sampleOf({ label }), [{ y: f64([-binaryScores[i]!, binaryScores[i]!], [1, 2]) }]),
    );
    expect(two.value()).toBeCloseTo(aucBinary, 9);
  });
  it.each(['f1', 'class-accuracy', 'auc'])('%s of a resample equals the value over those samples', (name) => {
    const indices = Uint32Array.from({ length: 120 }, (_, i) => (i * i) % 120);
    const drawn = start(name, {});
    for (const i of indices) drawn.add(sampleOf({ label: labels[i]! }), [{ y: f64(logits[i]!, [1, 4]) }]);
    expect(over(name, {}).resampled!(indices)).toBeCloseTo(drawn.value()!, 9);
  });
});

describe('statistics, against SciPy', () => {
  const s = golden.statistics;
  it('McNemar', () => {
    for (const { worse, better, p } of s.flips) expect(mcnemarExact(worse, better)).toBeCloseTo(p, 12);
  });
  it('Pearson and Spearman with ties', () => {
    const [x, y] = [Float64Array.from(s.x), Float64Array.from(s.y)];
    expect(pearsonOf(x, y)).toBeCloseTo(s.pearson, 12);
    expect(pearsonOf(ranks(x), ranks(y))).toBeCloseTo(s.spearman, 12);
  });
  // An end of 1,000 resamples has a standard error of √(0.025 · 0.975 / 1000) ÷ density: 0.084 standard errors of the
  // change for a normal one. 0.3 is beyond 3.5 of these.
  const near = (found: readonly [number, number], { interval, standardError }: Bootstrapped): void =>
    found.forEach((end, i) => {
      expect(Math.abs(end - interval[i]!)).toBeLessThan(0.3 * standardError);
    });
  const ends = (changes: readonly number[]): [number, number] => [
    nearestRank(changes, 0.025),
    nearestRank(changes, 0.975),
  ];
  it('the paired bootstrap of a mean and of a correlation, within its Monte Carlo error', () => {
    const mean =
      (of: readonly number[]) =>
      (indices: Uint32Array): number =>
        indices.reduce((sum, i) => sum + of[i]!, 0) / indices.length;
    near(ends(bootstrapChanges(80, mean(s.before), mean(s.after))!), s.meanChange);
    const correlation =
      (of: readonly number[]) =>
      (indices: Uint32Array): number | undefined =>
        pearsonOf(
          Float64Array.from(indices, (i) => s.x[i]!),
          Float64Array.from(indices, (i) => of[i]!),
        );
    near(ends(bootstrapChanges(60, correlation(s.y), correlation(s.noisy))!), s.pearsonChange);
  });
});

describe('detection', () => {
  const { truth, found, ap, ap50, ap75, voc11, vocAll } = golden.detection;
  const boxesOf = (image: number, voc: boolean): TargetBox[] =>
    truth[image]!.map(({ crowd, difficult, ...o }) => ({ ...o, ...(voc ? { difficult } : { crowd }) }));
  const outputs = (image: number): Feed => {
    const all = found[image]!;
    return {
      boxes: f64(
        all.flatMap((d) => d.box),
        [1, all.length, 4],
      ),
      scores: f64(
        all.map((d) => d.score),
        [1, all.length],
      ),
      labels: i64(all.map((d) => d.label)),
    };
  };
  const over = (name: string, options: object, images: Iterable<number> = truth.keys()): Accumulator => {
    const a = start(name, { boxes: 'boxes', scores: 'scores', classes: 'labels', ...options }, [
      'boxes',
      'scores',
      'labels',
    ]);
    for (const i of images) a.add(sampleOf({ target: { boxes: boxesOf(i, name === 'map-voc') } }), [outputs(i)]);
    return a;
  };
  it('COCO, against pycocotools, with crowds', () => {
    expect(over('map', {}).value()).toBeCloseTo(ap, 6);
    expect(over('map', { iou: 0.5 }).value()).toBeCloseTo(ap50, 6);
    expect(over('map', { iou: 0.75 }).value()).toBeCloseTo(ap75, 6);
  });
  it('Pascal VOC, against the devkit by hand, with difficult objects', () => {
    expect(over('map-voc', {}).value()).toBeCloseTo(vocAll, 9);
    expect(over('map-voc', { points: '11' }).value()).toBeCloseTo(voc11, 9);
  });
  it.each(['map', 'map-voc'])('%s of a resample equals the value over those images', (name) => {
    const indices = Uint32Array.from({ length: 24 }, (_, i) => (i * i) % 24);
    expect(over(name, {}).resampled!(indices)).toBeCloseTo(over(name, {}, indices).value()!, 9);
  });
});

describe('images, against scikit-image', () => {
  it.each(golden.images)('PSNR and SSIM of $dims', ({ dims, target, output, psnr, ssim }) => {
    const [, channels, height, width] = dims as [number, number, number, number]; // NCHW
    const of = (
      name: string,
      options: object,
      values: readonly number[],
      wanted: readonly number[],
      shape: readonly number[],
    ): number => {
      const a = start(name, options);
      a.add(sampleOf({ target: { tensors: { y: f64(wanted, shape.slice(1)) } } }), [{ y: f64(values, shape) }]);
      return a.value()!;
    };
    expect(of('psnr', {}, output, target, dims)).toBeCloseTo(psnr, 9);
    expect(of('ssim', {}, output, target, dims)).toBeCloseTo(ssim, 6);
    const last = (v: readonly number[]): number[] =>
      Array.from({ length: v.length }, (_, i) => v[(i % channels) * height * width + Math.floor(i / channels)]!);
    expect(of('ssim', { layout: 'NHWC' }, last(output), last(target), [1, height, width, channels])).toBeCloseTo(
      ssim,
      6,
    );
    expect(
      of(
        'ssim',
        { dataRange: 255 },
        output.map((v) => 255 * v),
        target.map((v) => 255 * v),
        dims,
      ),
    ).toBeCloseTo(ssim, 6);
  });
});

describe('text', () => {
  it('word and character error rates, against jiwer', () => {
    const { references, hypotheses, wer, cer } = golden.speech;
    const over = (options: object): number => {
      const a = start('wer', options);
      references.forEach((text, i) =>
        a.add(sampleOf({ target: { text } }), [{ y: { dtype: 'string', dims: [1], data: [hypotheses[i]!] } }]),
      );
      return a.value()!;
    };
    expect(over({})).toBeCloseTo(wer, 9);
    expect(over({ by: 'characters' })).toBeCloseTo(cer, 9);
  });
  it('perplexity, against numpy', () => {
    const { logits, ids, mask, perplexity } = golden.language;
    const a = start('perplexity', {});
    logits.forEach((rows, i) =>
      a.add(sampleOf({ feeds: [{ input_ids: i64(ids[i]!), attention_mask: i64(mask[i]!) }] }), [
        { y: f64(rows.flat(), [1, rows.length, 9]) },
      ]),
    );
    expect(a.value()).toBeCloseTo(perplexity, 9);
    // The same tokens as labels of a target, the masked ones as -100.
    const labelled = start('perplexity', {});
    logits.forEach((rows, i) =>
      labelled.add(
        sampleOf({ target: { tensors: { labels: i64(ids[i]!.map((id, t) => (mask[i]![t] ? id : -100))) } } }),
        [{ y: f64(rows.flat(), [1, rows.length, 9]) }],
      ),
    );
    expect(labelled.value()).toBeCloseTo(perplexity, 9);
  });
});
