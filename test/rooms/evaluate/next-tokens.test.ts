/** Metrics of next tokens against values by hand. */
import { describe, expect, it } from 'vitest';
import { choices } from '../../../src/evaluate/metrics/choices.js';
import { kl } from '../../../src/evaluate/metrics/kl.js';
import { perplexity } from '../../../src/evaluate/metrics/perplexity.js';
import { top1Agreement } from '../../../src/evaluate/metrics/top1-agreement.js';
import type { Feed, FeedTensor, Sample, Target, ValueInfo } from '../../../src/ir/feed.js';
import { f32, sample } from './helpers.js';

const outputs: ValueInfo[] = [{ name: 'y', dtype: 'float32', shape: [1, 's', 2] }];
const ids = (...values: number[]): FeedTensor => ({
  dtype: 'int64',
  dims: [1, values.length],
  data: BigInt64Array.from(values.map(BigInt)),
});
const logs = (...rows: (readonly number[])[]): Feed => ({
  y: f32(
    rows.flatMap((r) => r.map((p) => Math.log(p))),
    [1, rows.length, rows[0]!.length],
  ),
});
const withTarget = (s: Sample, target: Target): Sample => ({ ...s, target });

describe('perplexity', () => {
  const text = sample([{ input_ids: ids(0, 1, 1, 0) }]);
  const found = logs([0.5, 0.5], [0.25, 0.75], [0.2, 0.8], [0.5, 0.5]);
  it('is exp of the mean surprise of the tokens that count', () => {
    const p = perplexity.start(perplexity.options.parse({}), outputs);
    p.add(text, [found]);
    expect(p.value()).toBeCloseTo((1 / (0.5 * 0.75 * 0.2)) ** (1 / 3), 5);
    const late = perplexity.start(perplexity.options.parse({ from: 3 }), outputs);
    late.add(text, [found]);
    expect(late.value()).toBeCloseTo(5, 5);
  });
  it('leaves out the context of a window', () => {
    const labels: FeedTensor = { dtype: 'int64', dims: [4], data: BigInt64Array.of(-100n, -100n, 1n, 0n) };
    const p = perplexity.start(perplexity.options.parse({}), outputs);
    p.add(withTarget(text, { tensors: { labels } }), [found]);
    expect(p.value()).toBeCloseTo((1 / (0.75 * 0.2)) ** 0.5, 5);
  });
});

describe('kl and top1-agreement', () => {
  const text = sample([{ input_ids: ids(0, 1, 0) }]);
  const float = [logs([0.5, 0.5], [0.25, 0.75], [0.5, 0.5])];
  const other = [logs([0.25, 0.75], [0.75, 0.25], [0.5, 0.5])];
  it('are 0 and 100 % for the float model itself, and what the distributions say for another', () => {
    const [k, same] = [
      kl.start(kl.options.parse({}), outputs),
      top1Agreement.start(top1Agreement.options.parse({}), outputs),
    ];
    for (const m of [k, same]) m.add(text, float, float);
    expect([k.value(), same.value()]).toEqual([0, 100]);
    const [k2, same2] = [
      kl.start(kl.options.parse({}), outputs),
      top1Agreement.start(top1Agreement.options.parse({}), outputs),
    ];
    for (const m of [k2, same2]) m.add(text, other, float);
    // two tokens are predicted: from the first two rows
    const first = 0.5 * Math.log(0.5 / 0.25) + 0.5 * Math.log(0.5 / 0.75);
    const second = 0.25 * Math.log(0.25 / 0.75) + 0.75 * Math.log(0.75 / 0.25);
    expect(k2.value()).toBeCloseTo((first + second) / 2, 6);
    expect(same2.value()).toBe(0); // float says 0 (of equals the first) and 1, the other 1 and 0
  });
  it('never take NaN for near', () => {
    const broken = [{ y: f32([NaN, 1, 1, NaN, 0, 0], [1, 3, 2]) }];
    const [k, same] = [
      kl.start(kl.options.parse({}), outputs),
      top1Agreement.start(top1Agreement.options.parse({}), outputs),
    ];
    for (const m of [k, same]) m.add(text, broken, float);
    expect([k.value(), same.value()]).toEqual([100, 0]);
  });
  it('count tokens, not samples', () => {
    const m = top1Agreement.start(top1Agreement.options.parse({}), outputs);
    m.add(text, float, float);
    m.add(sample([{ input_ids: ids(0, 1) }]), [logs([0.1, 0.9], [0.5, 0.5])], [logs([0.9, 0.1], [0.5, 0.5])]);
    expect(m.value()).toBeCloseTo(200 / 3, 10);
    expect(m.resampled!(Uint32Array.of(1, 1))).toBe(0);
  });
});

describe('choices', () => {
  // one token against two: 0.6, and 0.7 · 0.7 = 0.49
  const feeds = [{ input_ids: ids(0, 1) }, { input_ids: ids(0, 0, 0) }];
  const found = [logs([0.4, 0.6], [0.5, 0.5]), logs([0.7, 0.3], [0.7, 0.3], [0.5, 0.5])];
  const question = (answer: number): Sample => withTarget(sample(feeds, answer), { starts: [1, 1] });
  it('takes the likeliest continuation, or the likeliest by token', () => {
    const a = choices.start(choices.options.parse({}), outputs);
    a.add(question(0), found);
    a.add(question(1), found);
    expect([a.correct, a.value()]).toEqual([[1, 0], 50]);
    const by = choices.start(choices.options.parse({ normalise: 'tokens' }), outputs);
    by.add(question(0), found);
    by.add(question(1), found);
    expect(by.correct).toEqual([0, 1]);
  });
  it('passes over samples without choices', () => {
    const a = choices.start(choices.options.parse({}), outputs);
    a.add(sample(feeds, 0), found);
    expect(a.value()).toBeUndefined();
  });
});
