import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { spearman, pearson } from '../../../src/evaluate/metrics/correlation.js';
import { metrics } from '../../../src/evaluate/metrics/index.js';
import { top1, top5 } from '../../../src/evaluate/metrics/top-k.js';
import { argmax, numbersOf, sliceRows } from '../../../src/evaluate/tensors.js';
import type { Feed, FeedTensor, ValueInfo } from '../../../src/ir/feed.js';
import { f32, sample } from './helpers.js';

const outputs: readonly ValueInfo[] = [
  { name: 'y', dtype: 'float32', shape: [null, 3] },
  { name: 'z', dtype: 'float32', shape: [null, 3] },
];
const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (e) {
    if (e instanceof QuantError) return e.code;
    throw e;
  }
  return 'nothing thrown';
};

describe('every metric', () => {
  it.each(metrics)('$name has a name, a doc, and options that default', (m) => {
    expect(m.name).toMatch(/^[a-z][a-z0-9-]*$/);
    expect(m.doc.length).toBeGreaterThan(10);
    const accumulator = m.start(m.options.parse({}), outputs);
    expect(accumulator.value()).toBeUndefined();
    accumulator.add(sample([{}]), [{}]);
    expect(accumulator.value()).toBeUndefined();
    expect(() => m.options.parse({ surprise: 1 })).toThrow();
  });
  it.each(metrics)('$name names the nearest output where the model lacks the one asked for', (m) => {
    expect(
      codeOf(() => m.start(m.options.parse(m.name.startsWith('map') ? { scores: 'q' } : { output: 'q' }), outputs)),
    ).toBe('RECIPE_UNKNOWN_NAME');
  });
});

describe('top1 and top5', () => {
  it('counts the share of samples in percent, and keeps right and wrong per sample', () => {
    const a = top1.start({}, outputs);
    for (const [label, row] of [
      [0, [3, 1, 2]],
      [1, [3, 1, 2]],
      [2, [0, 0, 9]],
      [0, [5, 5, 1]],
      [1, [5, 5, 1]],
    ] as const)
      a.add(sample([{}], label), [{ y: f32([...row]) }]);
    expect(a.correct).toEqual([1, 0, 1, 1, 0]); // of equal scores the first class wins
    expect(a.value()).toBe(60);
  });
  it('reads the output that was asked for', () => {
    const a = top1.start({ output: 'z' }, outputs);
    a.add(sample([{}], 2), [{ y: f32([9, 0, 0]), z: f32([0, 0, 9]) }]);
    expect(a.value()).toBe(100);
  });
  it('takes a label among the k highest', () => {
    const a = top5.start({ k: 2 }, outputs);
    for (const label of [0, 1, 2]) a.add(sample([{}], label), [{ y: f32([3, 2, 1]) }]);
    expect(a.correct).toEqual([1, 1, 0]);
  });
  it('never counts NaN as right, and reads float16', () => {
    const a = top1.start({}, outputs);
    a.add(sample([{}], 0), [{ y: f32([NaN, 1, 2]) }]);
    a.add(sample([{}], 0), [{ y: f32([7, NaN, 2]) }]);
    // -1, 1
    a.add(sample([{}], 1), [{ y: { dtype: 'float16', dims: [1, 2, 1, 1], data: Uint16Array.of(0xbc00, 0x3c00) } }]);
    expect(a.correct).toEqual([0, 0, 1]);
  });
  it('refuses labels outside of the classes and outputs that are no rows of scores', () => {
    expect(codeOf(() => top1.start({}, outputs).add(sample([{}], 3), [{ y: f32([1, 2, 3]) }]))).toBe('DATA_LABEL');
    expect(codeOf(() => top1.start({}, outputs).add(sample([{}], 0.5), [{ y: f32([1, 2, 3]) }]))).toBe('DATA_LABEL');
    expect(codeOf(() => top1.start({}, outputs).add(sample([{}], 0), [{ y: f32([1, 2, 3, 4], [1, 2, 2]) }]))).toBe(
      'DATA_SHAPE',
    );
    expect(
      codeOf(() =>
        top1.start({}, outputs).add(sample([{}], 0), [{ y: { dtype: 'string', dims: [1, 1], data: ['a'] } }]),
      ),
    ).toBe('DATA_SHAPE');
    expect(codeOf(() => top1.start({}, outputs).add(sample([{}], 0), [{}]))).toBe('DATA_SHAPE');
  });
});

describe('spearman and pearson', () => {
  const pair = (angle: number): Feed[] => [{ y: f32([1, 0]) }, { y: f32([Math.cos(angle), Math.sin(angle)]) }];
  it('correlates cosine similarity with the score', () => {
    const s = spearman.start(spearman.options.parse({}), outputs);
    const p = pearson.start(pearson.options.parse({}), outputs);
    // similarities cos 0 = 1, 0.5, 0, −1 against 5, 4, 1, 0: same order; Pearson by hand
    for (const [angle, label] of [
      [0, 5],
      [Math.PI / 3, 4],
      [Math.PI / 2, 1],
      [Math.PI, 0],
    ] as const)
      for (const m of [s, p]) m.add(sample([{}, {}], label), pair(angle));
    expect(s.value()).toBeCloseTo(1, 12);
    const x = [1, 0.5, 0, -1].map((v) => v - 0.125);
    const y = [5, 4, 1, 0].map((v) => v - 2.5);
    const dot = (a: number[], b: number[]): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
    expect(p.value()).toBeCloseTo(dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y)), 6);
    expect(s.count).toBe(4);
    expect(s.resampled!(Uint32Array.of(0, 3, 3, 0))).toBeCloseTo(1, 12);
  });
  it('leaves masked tokens out of the mean, and padding behind a sample of a longer batch', () => {
    const tokens = f32([1, 0, 0, 1, 50, 50], [1, 3, 2]);
    const mask: FeedTensor = { dtype: 'int64', dims: [1, 2], data: BigInt64Array.of(1n, 1n) };
    const single = (pooling: 'mean' | 'cls', expected: readonly number[]): void => {
      const scores = [0, 1].map((_, i) => {
        const a = pearson.start(pearson.options.parse({ pooling }), outputs);
        // Against the expected vector the similarity is 1, against the opposite −1: correlation with 1, 0 is 1.
        a.add(sample([{ attention_mask: mask }, {}], 1), [{ y: tokens }, { y: f32([...expected], [1, 1, 2]) }]);
        a.add(sample([{ attention_mask: mask }, {}], 0), [
          { y: tokens },
          {
            y: f32(
              expected.map((v) => -v),
              [1, 1, 2],
            ),
          },
        ]);
        return a.resampled!(Uint32Array.of(0, 1)) ?? i;
      });
      expect(scores[0]).toBeCloseTo(1, 12);
    };
    single('mean', [0.5, 0.5]);
    single('cls', [1, 0]);
    const strict = spearman.start(spearman.options.parse({}), outputs);
    expect(codeOf(() => strict.add(sample([{}], 1), [{ y: tokens }]))).toBe('DATA_SHAPE');
  });
  it('counts a pair with NaN as not similar instead of leaving it out', () => {
    const a = pearson.start(pearson.options.parse({}), outputs);
    a.add(sample([{}, {}], 5), [{ y: f32([NaN, 1]) }, { y: f32([1, 0]) }]);
    a.add(sample([{}, {}], 0), pair(0));
    expect(a.value()).toBeCloseTo(-1, 12);
  });
});

describe('tensors', () => {
  it('finds the first of the largest, and nothing beside NaN', () => {
    expect([[1, 3, 3], [-Infinity, -Infinity], [], [1, NaN]].map(argmax)).toEqual([1, 0, -1, -1]);
  });
  it('cuts rows without copying, and strings too', () => {
    const t = f32([1, 2, 3, 4, 5, 6], [3, 2]);
    const row = sliceRows(t, 1, 1);
    expect([row.dims, [...(row.data as Float32Array)]]).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect((row.data as Float32Array).buffer).toBe((t.data as Float32Array).buffer);
    expect(sliceRows({ dtype: 'string', dims: [2], data: ['a', 'b'] }, 1, 1)).toEqual({
      dtype: 'string',
      dims: [1],
      data: ['b'],
    });
    expect(numbersOf({ dtype: 'int64', dims: [2], data: BigInt64Array.of(-3n, 4n) })).toEqual(Float64Array.of(-3, 4));
  });
});
