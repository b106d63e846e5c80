/** What metrics do with broken outputs, wrong shapes and missing targets, and detectors in every form. */
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { compareModels } from '../../../src/evaluate/compare.js';
import { metrics } from '../../../src/evaluate/metrics/index.js';
import type { Accumulator, Metric } from '../../../src/evaluate/types.js';
import type { Feed, FeedTensor, Sample, ValueInfo } from '../../../src/ir/feed.js';
import { batched, f32, open } from './helpers.js';

const metricOf = (name: string): Metric => metrics.find((m) => m.name === name)!;
const info = (...names: string[]): ValueInfo[] => names.map((name) => ({ name, dtype: 'float32', shape: undefined }));
const start = (name: string, options: object = {}, outputs = info('y')): Accumulator =>
  metricOf(name).start(metricOf(name).options.parse(options), outputs);
const sampleOf = (parts: Partial<Sample>, id = 's'): Sample => ({ id, hash: '', feeds: [{}], ...parts });
const i64 = (...values: number[]): FeedTensor => ({
  dtype: 'int64',
  dims: [1, values.length],
  data: BigInt64Array.from(values, BigInt),
});
const errorOf = (run: () => unknown): QuantError => {
  try {
    run();
  } catch (e) {
    if (e instanceof QuantError) return e;
    throw e;
  }
  throw new Error('nothing thrown');
};

/** One case per metric: samples with a right and a wrong output each. */
interface Case {
  readonly name: string;
  readonly options?: object;
  readonly outputs?: ValueInfo[];
  readonly samples: readonly { sample: Sample; right: Feed; wrong: Feed }[];
  /** Outputs for all feeds of a sample. Default: one, and before it a fixed one of a pair. */
  readonly all?: (out: Feed) => Feed[];
}
/** The first of a pair is fixed, so that its similarity with the second is what changes. */
const outputsOf = (c: Case, { feeds }: Sample, out: Feed): Feed[] =>
  c.all?.(out) ?? (feeds.length === 2 ? [{ y: f32([1, 0]) }, out] : [out]);
const picture = Array.from({ length: 144 }, (_, i) => ((i * 7) % 11) / 10);
const rows = [0, 1, 0, 1].map((label, i) => ({
  sample: sampleOf({ label }, `s${i}`),
  right: { y: f32(label ? [0.1, 0.9] : [0.8, 0.2]) },
  wrong: { y: f32(label ? [0.9, 0.1] : [0.2, 0.8]) },
}));
const tensors = (values: readonly number[], dims: readonly number[]): Case['samples'] => [
  {
    sample: sampleOf({ target: { tensors: { y: f32(values, dims) } } }),
    right: { y: f32(values, dims) },
    wrong: {
      y: f32(
        values.map((v) => 1 - v),
        dims,
      ),
    },
  },
];
const box = f32([1, 1, 5, 5], [1, 1, 4]);
const objects = [
  {
    sample: sampleOf({ target: { boxes: [{ box: [1, 1, 5, 5], label: 0 }] } }),
    right: { boxes: box, scores: f32([0.9]) },
    wrong: { boxes: f32([8, 8, 9, 9], [1, 1, 4]), scores: f32([0.9]) },
  },
] as const;
const pair = [1, 0, 1, 0].map((label, i) => ({
  sample: sampleOf({ label, feeds: [{}, {}] }, `s${i}`),
  right: { y: f32([label, 1 - label]) },
  wrong: { y: f32([1 - label, label]) },
}));
const CASES: readonly Case[] = [
  ...['top1', 'class-accuracy', 'f1', 'auc'].map((name) => ({ name, samples: rows })),
  ...['top5', 'top-k'].map((name) => ({ name, options: { k: 1 }, samples: rows })),
  ...['spearman', 'pearson'].map((name) => ({ name, samples: pair })),
  ...['map', 'map-voc'].map((name) => ({
    name,
    options: { boxes: 'boxes', scores: 'scores' },
    outputs: info('boxes', 'scores'),
    samples: objects,
  })),
  {
    name: 'wer',
    options: { vocabulary: ['-', 'a', ' ', 'b'] },
    samples: [
      {
        sample: sampleOf({ target: { text: 'a b' } }),
        right: { y: f32([0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], [1, 3, 4]) },
        wrong: { y: f32([0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0], [1, 3, 4]) },
      },
    ],
  },
  ...['perplexity', 'kl', 'top1-agreement'].map((name) => ({
    name,
    samples: [
      {
        sample: sampleOf({ feeds: [{ input_ids: i64(0, 1, 0) }] }),
        right: { y: f32([0, 5, 5, 0, 1, 1], [1, 3, 2]) },
        wrong: { y: f32([5, 0, 0, 5, 1, 1], [1, 3, 2]) },
      },
    ],
  })),
  {
    name: 'choices',
    all: (out) => [out, { y: f32([1, 1, 1, 1], [1, 2, 2]) }],
    samples: [
      {
        sample: sampleOf({
          label: 0,
          target: { starts: [1, 1] },
          feeds: [{ input_ids: i64(0, 1) }, { input_ids: i64(1, 0) }],
        }),
        right: { y: f32([0, 5, 1, 1], [1, 2, 2]) },
        wrong: { y: f32([5, 0, 1, 1], [1, 2, 2]) },
      },
    ],
  },
  ...['cosine', 'mse', 'sqnr', 'psnr', 'ssim'].map((name) => ({ name, samples: tensors(picture, [1, 1, 12, 12]) })),
];
const broken = (feed: Feed): Feed =>
  Object.fromEntries(
    Object.entries(feed).map(([name, t]) => [name, f32(new Array<number>(t.data.length).fill(NaN), t.dims)]),
  );
const valueOver = (
  c: Case,
  kind: 'right' | 'wrong' | 'broken',
  value = (a: Accumulator): number | undefined => a.value(),
): number => {
  const a = start(c.name, c.options, c.outputs);
  for (const { sample, right, wrong } of c.samples) {
    const out = kind === 'right' ? right : kind === 'wrong' ? wrong : broken(right);
    a.add(sample, outputsOf(c, sample, out), outputsOf(c, sample, right));
  }
  return value(a)!;
};

describe('every metric', () => {
  it('has a case here', () => {
    expect(metrics.map((m) => m.name).filter((name) => !CASES.some((c) => c.name === name))).toEqual([]);
  });
  it.each(CASES)('$name is worse with NaN than when right, and is never infinite', (c) => {
    const sign = metricOf(c.name).higherIsBetter ? 1 : -1;
    const right = sign * valueOver(c, 'right');
    expect(right).toBeGreaterThan(sign * valueOver(c, 'wrong'));
    const nan = valueOver(c, 'broken');
    // all alike at 0: no variation
    if (c.name === 'spearman' || c.name === 'pearson') return void expect(nan).toBeUndefined();
    expect(sign * nan).toBeLessThan(right);
    expect(sign * nan).toBeLessThanOrEqual(sign * valueOver(c, 'wrong'));
    expect([right, nan].every(Number.isFinite)).toBe(true);
  });
  it.each(CASES)('$name gives what paired statistics need', (c) => {
    const kinds = valueOver(
      c,
      'right',
      (a) => [a.correct, a.scores, a.resampled].filter((x) => x !== undefined).length,
    );
    expect(kinds).toBe(1);
    const a = start(c.name, c.options, c.outputs);
    for (const { sample, right } of c.samples) a.add(sample, outputsOf(c, sample, right), outputsOf(c, sample, right));
    expect((a.correct ?? a.scores)?.length ?? a.count).toBe(c.samples.length);
    if (a.resampled) expect(a.resampled(Uint32Array.from(c.samples, (_, i) => i))).toBeCloseTo(a.value()!, 12);
  });
  it.each(CASES)('$name passes over samples without label or target', (c) => {
    const a = start(c.name, c.options, c.outputs);
    for (const {
      sample: { id, hash, feeds },
      right,
    } of c.samples)
      a.add(
        { id, hash, feeds: feeds.map(() => ({})) },
        feeds.map(() => right),
      );
    expect(a.value()).toBeUndefined();
  });
  it.each(CASES)('$name names output and sample where the output is missing', (c) => {
    const { sample } = c.samples[0]!;
    expect(
      errorOf(() =>
        start(c.name, c.options, c.outputs).add(
          sample,
          sample.feeds.map(() => ({})),
        ),
      ),
    ).toMatchObject({ code: 'DATA_SHAPE', where: { tensor: c.outputs ? 'boxes' : 'y', sample: sample.id } });
  });
});

describe('class metrics', () => {
  it('take one score per sample by a threshold', () => {
    const a = start('f1', { average: 'binary', threshold: 0 });
    for (const [label, score] of [
      [1, 0.5],
      [1, -0.5],
      [0, 0],
      [0, -1],
    ] as const)
      a.add(sampleOf({ label }), [{ y: f32([score], [1, 1]) }]);
    expect(a.value()).toBeCloseTo((100 * 2) / (2 + 1 + 1), 12); // one hit, one miss, one false alarm
    expect(errorOf(() => a.add(sampleOf({ label: 2 }), [{ y: f32([1], [1, 1]) }])).code).toBe('DATA_LABEL');
    expect(errorOf(() => a.add(sampleOf({ label: 0 }), [{ y: f32([1, 2, 3, 4], [1, 2, 2]) }])).code).toBe('DATA_SHAPE');
  });
  it('have no AUC where one class is absent', () => {
    const a = start('auc');
    for (const y of [0.2, 0.7]) a.add(sampleOf({ label: 1 }), [{ y: f32([1 - y, y]) }]);
    expect(a.value()).toBeUndefined();
  });
});

describe('detectors', () => {
  const boxes = [
    { box: [10, 20, 30, 60], label: 0 },
    { box: [50, 10, 90, 40], label: 1 },
  ] as const;
  const size = { width: 100, height: 80 };
  const forms: [string, (b: readonly [number, number, number, number]) => number[]][] = [
    ['xyxy', ([l, t, r, b]) => [l, t, r, b]],
    ['yxyx', ([l, t, r, b]) => [t, l, b, r]],
    ['xywh', ([l, t, r, b]) => [l, t, r - l, b - t]],
    ['cxcywh', ([l, t, r, b]) => [(l + r) / 2, (t + b) / 2, r - l, b - t]],
  ];
  it.each(forms)('read boxes as %s, in pixels and normalized', (format, make) => {
    for (const [coordinates, sx, sy] of [
      ['pixels', 1, 1],
      ['normalized', 100, 80],
    ] as const) {
      const a = start(
        'map',
        { boxes: 'b', scores: 's', classes: 'c', format, coordinates, firstClass: 1 },
        info('b', 's', 'c'),
      );
      const scaled = boxes.flatMap(({ box: [l, t, r, b] }) => make([l / sx, t / sy, r / sx, b / sy]));
      a.add(sampleOf({ target: { boxes, size } }), [{ b: f32(scaled, [1, 2, 4]), s: f32([0.9, 0.8]), c: i64(1, 2) }]);
      expect(a.value()).toBeCloseTo(100, 4);
    }
    const unscaled = start('map', { boxes: 'b', scores: 's', coordinates: 'normalized' }, info('b', 's'));
    expect(
      errorOf(() => unscaled.add(sampleOf({ target: { boxes } }), [{ b: f32([0, 0, 1, 1], [1, 1, 4]), s: f32([1]) }]))
        .code,
    ).toBe('DATA_SHAPE');
  });
  it('suppress overlaps within a class of scores per class, the background left out', () => {
    // Two boxes on the first object, one on the second; columns: background, class 0, class 1.
    const out = {
      b: f32([10, 20, 30, 60, 11, 20, 31, 60, 50, 10, 90, 40], [1, 3, 4]),
      s: f32([0.1, 0.9, 0, 0.2, 0.8, 0, 0.3, 0, 0.7], [1, 3, 3]),
    };
    const over = (options: object): number => {
      const a = start(
        'map-voc',
        { boxes: 'b', scores: 's', background: 0, scoreThreshold: 0.05, ...options },
        info('b', 's'),
      );
      a.add(sampleOf({ target: { boxes: [...boxes, { box: [0, 0, 4, 4], label: 0 }] } }), [out]);
      return a.value()!;
    };
    // Class 0: one of two objects found, without a false alarm after suppression: area 0.5; class 1: 1.
    expect(over({})).toBeCloseTo(75, 10);
    expect(over({ nms: 1 })).toBeCloseTo(75, 10); // the double comes after the hit, so the area stays
    expect(over({ scoreThreshold: 0.75 })).toBeCloseTo(25, 10); // class 1 is gone
  });
  it('find outputs by their shapes, and take images without objects or detections', () => {
    const outputs: ValueInfo[] = [
      { name: 'scores', dtype: 'float32', shape: [1, 'n', 2] },
      { name: 'boxes', dtype: 'float32', shape: [1, 'n', 4] },
    ];
    const a = start('map', { background: 0 }, outputs);
    a.add(sampleOf({ target: { boxes: [] } }), [{ boxes: f32([], [1, 0, 4]), scores: f32([], [1, 0, 2]) }]);
    expect(a.value()).toBeUndefined();
    a.add(sampleOf({ target: { boxes: [boxes[0]] } }), [{ boxes: f32([], [1, 0, 4]), scores: f32([], [1, 0, 2]) }]);
    expect(a.value()).toBe(0);
    expect(a.count).toBe(2);
  });
  it('refuse outputs that do not fit together', () => {
    const add = (feed: Feed, options: object = {}): string =>
      errorOf(() =>
        start('map', { boxes: 'b', scores: 's', ...options }, info('b', 's', 'c')).add(
          sampleOf({ target: { boxes } }),
          [feed],
        ),
      ).where.tensor!;
    expect(add({ b: f32([1, 2, 3], [1, 1, 3]), s: f32([1]) })).toBe('b');
    expect(add({ b: f32([1, 2, 3, 4], [1, 1, 4]), s: f32([]) })).toBe('s');
    expect(add({ b: f32([1, 2, 3, 4], [1, 1, 4]), s: f32([1]), c: i64(1, 2) }, { classes: 'c' })).toBe('c');
  });
  it('count a detection of no class or with NaN as wrong, above all others', () => {
    const over = (scores: number[], classes: FeedTensor): number => {
      const a = start('map', { boxes: 'b', scores: 's', classes: 'c' }, info('b', 's', 'c'));
      a.add(sampleOf({ target: { boxes: [boxes[0]] } }), [
        { b: f32([10, 20, 30, 60, 0, 0, 1, 1], [1, 2, 4]), s: f32(scores), c: classes },
      ]);
      return a.value()!;
    };
    expect(over([0.9, 0.5], i64(0, 0))).toBeCloseTo(100, 10);
    expect(over([0.9, NaN], i64(0, 0))).toBeCloseTo(50, 10);
    expect(over([0.9, 0.95], f32([0, NaN]))).toBeCloseTo(50, 10);
  });
});

describe('text', () => {
  it('decodes CTC greedily: repeats merge unless a blank parts them', () => {
    const vocabulary = ['<pad>', '|', 'a', 'b'];
    const frames = (...best: number[]): FeedTensor =>
      f32(
        best.flatMap((k) => vocabulary.map((_, c) => (c === k ? 1 : 0))),
        [1, best.length, 4],
      );
    const over = (text: string, out: FeedTensor): number => {
      const a = start('wer', { vocabulary, wordSeparator: '|', lowerCase: true });
      a.add(sampleOf({ target: { text } }), [{ y: out }]);
      return a.value()!;
    };
    expect(over('AAB ba', frames(2, 2, 0, 2, 3, 3, 1, 1, 3, 2, 0))).toBe(0);
    expect(over('aab ba', frames(2, 2, 2, 3, 1, 3, 2))).toBe(50);
    expect(over('a b', frames(2, 1, 3, 1, 3))).toBe(50); // an insertion
    expect(errorOf(() => over('a', f32([1, 2, 3], [1, 1, 3]))).code).toBe('DATA_SHAPE');
    expect(
      errorOf(() => {
        const a = start('wer');
        a.add(sampleOf({ target: { text: 'a' } }), [{ y: frames(1) }]);
      }).hint,
    ).toMatch(/vocabulary/);
  });
  it('refuses tokens outside of the vocabulary, and masks of another length', () => {
    const add = (feed: Feed): string =>
      errorOf(() => start('perplexity').add(sampleOf({ feeds: [feed] }), [{ y: f32([0, 0, 0, 0], [1, 2, 2]) }])).code;
    expect(add({ input_ids: i64(0, 2) })).toBe('DATA_LABEL');
    expect(add({ input_ids: i64(0, 1), attention_mask: i64(1) })).toBe('DATA_SHAPE');
    expect(add({ input_ids: i64(0, 1, 1) })).toBe('DATA_SHAPE');
  });
  it('of masked models predicts the token at its position', () => {
    const a = start('perplexity', { shift: false });
    a.add(sampleOf({ target: { tensors: { labels: i64(-100, 1) } } }), [{ y: f32([9, 0, 0, Math.log(3)], [1, 2, 2]) }]);
    expect(a.value()).toBeCloseTo(4 / 3, 6);
  });
});

describe('tensors against targets', () => {
  const of = (name: string, output: number[], target: number[], options: object = {}): number => {
    const a = start(name, options);
    a.add(sampleOf({ target: { tensors: { t: f32(target) } } }), [{ y: f32(output) }]);
    return a.value()!;
  };
  it('are right by hand', () => {
    expect(of('mse', [1, 2, 3], [1, 0, 4])).toBeCloseTo(5 / 3, 12);
    expect(of('cosine', [3, 0], [3, 4])).toBeCloseTo(0.6, 12);
    expect(of('sqnr', [3, 4.5], [3, 4])).toBeCloseTo(20, 12); // 25 ÷ 0.25
    expect(of('psnr', [0, 2], [0, 0], { dataRange: 10 })).toBeCloseTo(10 * Math.log10(50), 12);
    expect([
      of('sqnr', [1], [1]),
      of('psnr', [1], [1]),
      of('sqnr', [1], [0]),
      of('cosine', [0], [0]),
      of('cosine', [0], [1]),
    ]).toEqual([100, 100, -100, 1, 0]);
  });
  it('refuse other shapes, missing names and targets that are not finite', () => {
    expect(errorOf(() => of('mse', [1, 2], [1])).code).toBe('DATA_SHAPE');
    expect(errorOf(() => of('mse', [1], [1], { target: 'u' })).code).toBe('DATA_LABEL');
    expect(errorOf(() => of('mse', [1], [NaN])).code).toBe('DATA_LABEL');
  });
});

describe('in a comparison', () => {
  it('gives an interval by paired bootstrap, and says when targets are missing', async () => {
    const float = await open('g (float[N,2] x) => (float[N,2] y) { y = Identity(x) }');
    const worse = await open('g (float[N,2] x) => (float[N,2] y) <float[2] s = {0.4, 0}> { y = Add(x, s) }');
    const samples = Array.from({ length: 40 }, (_, i): Sample => ({
      id: `s${i}`,
      hash: '',
      feeds: [{ x: f32([((i * 13) % 40) / 40, 0.5]) }],
      label: (i * 13) % 40 < 20 ? 1 : 0,
    }));
    const said: string[] = [];
    try {
      const found = await compareModels({
        float,
        quantized: worse,
        batches: batched(samples, float, 8),
        onDiagnostic: (d) => said.push(d.code),
        metrics: ['f1', 'class-accuracy', 'auc', 'map', 'psnr'].map((name) => ({
          metric: metricOf(name),
          options: metricOf(name).options.parse({}),
        })),
      });
      expect(found.metrics.map((m) => [m.name, m.samples, m.paired?.kind])).toEqual([
        ['f1', 40, 'bootstrap'],
        ['class-accuracy', 40, 'bootstrap'],
        ['auc', 40, 'bootstrap'],
      ]);
      const [, recall, auc] = found.metrics;
      expect([recall!.float, recall!.quantized]).toEqual([100, 60]); // below 0.1, 4 of 20, stay class 1
      expect(recall!.interval![1]).toBeLessThan(0);
      expect(auc!.change).toBe(0); // a shift changes no ranking
      expect(said).toEqual(['EVALUATION_NO_TARGET', 'EVALUATION_NO_TARGET']);
    } finally {
      await float.close();
      await worse.close();
    }
  });
});
