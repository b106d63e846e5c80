import { describe, expect, it } from 'vitest';
import { measureSensitivity, quantizeOne } from '../../../src/analyse/sensitivity.js';
import type { Diagnostic } from '../../../src/base/errors.js';
import { batches } from '../../../src/data/batch.js';
import { inputInfo } from '../../../src/pipeline/inputs.js';
import { verify } from '../../../src/ir/verify.js';
import { readFixtures } from '../../conformance/fixture.js';
import { f32, header, prepareText, sample, type Case } from './helpers.js';

const minmax = 'activations: { observer: minmax }\nweights: { observer: minmax }';
/** A layer before a root or logarithm runs in integers where it is named only. */
const named = `${minmax}\ninclude: [ p ]`;
const measure = (c: Case, more: Partial<Parameters<typeof measureSensitivity>[0]> = {}) =>
  measureSensitivity({ ...c, batches: c.batchesOf(2), ...more });
const feeds = [{ x: f32([0, 1]) }, { x: f32([1, 0]) }];

/** `one` is exact in int8; the 0.4 of `two` is below half a step of its column (scale 1) and becomes 0. */
const twoProducts =
  `${header}\ng (float[N,2] x) => (float[N,2] y) <float[2,2] w1 = {1, 0, 0, 1}, float[2,2] w2 = {127, 127, 0.4, ` +
  '0}> { [one] a = MatMul(x, w1)  [two] y = MatMul(a, w2) }';

describe('measureSensitivity', () => {
  it('ranks by the KL divergence of softmaxed scores', async () => {
    const s = await measure(await prepareText(twoProducts, 'qdq', { settings: minmax, feeds }), {
      macs: new Map([['two', 4]]),
    });
    const p = 1 / (1 + Math.exp(-0.4)); // scores (0.4, 0) become (0, 0); those of the other sample, (127, 127), stay
    const kl = p * Math.log(2 * p) + (1 - p) * Math.log(2 * (1 - p));
    expect(s).toMatchObject({ samples: 2, measure: 'kl' });
    expect(s.layers.map((l) => [l.node, l.op, l.macs])).toEqual([
      ['two', 'MatMul', 4],
      ['one', 'MatMul', 0],
    ]);
    expect(s.layers[0]!.score).toBeCloseTo(kl / 2, 6);
    expect(s.layers[1]!.score).toBeLessThan(1e-6);
    expect(s.layers[0]!.share + s.layers[1]!.share).toBeCloseTo(1, 12);
    expect(s.ms).toBeGreaterThan(0);
  });

  it.each([0, 1])('ranks by the rise of the loss with labels, which may be a gain: label %i', async (label) => {
    const c = await prepareText(twoProducts, 'qdq', { settings: minmax, feeds });
    const s = await measure(c, {
      measure: 'loss',
      batches: () =>
        batches(
          feeds.map((feed, i) => ({ ...sample(feed, String(i)), label })),
          { size: 2, inputs: inputInfo(c.model) },
        ),
    });
    const p = 1 / (1 + Math.exp(-0.4)); // as above; the loss of the second sample stays
    expect(s.measure).toBe('loss');
    expect(s.layers.find((l) => l.node === 'two')!.score).toBeCloseTo(Math.log(2 * (label === 0 ? p : 1 - p)) / 2, 6);
    expect(s.layers.every((l) => l.share >= 0)).toBe(true);
  });

  it('falls back to the divergence where there are no labels, and says so', async () => {
    const found: Diagnostic[] = [];
    const s = await measure(await prepareText(twoProducts, 'qdq', { settings: minmax, feeds }), {
      measure: 'loss',
      onEvent: (e) => {
        if (e.type === 'diagnostic') found.push(e.diagnostic);
      },
    });
    expect([s.measure, found.map((d) => d.code)]).toEqual(['kl', ['SENSITIVITY_NO_LABELS']]);
  });

  it('takes the relative squared error where no output holds class scores', async () => {
    const s = await measure(
      await prepareText(
        twoProducts
          .replace('(float[N,2] y)', '(float[N,1] y)')
          .replace('float[2,2] w2 = {127, 127, 0.4, 0}', 'float[2,1] w2 = {127, 0.4}'),
        'qdq',
        { settings: minmax, feeds },
      ),
    );
    expect(s.measure).toBe('error');
    expect(s.layers[0]!.node).toBe('two');
    expect(s.layers[0]!.score).toBeCloseTo(0.4 ** 2 / (0.4 ** 2 + 127 ** 2), 8);
  });

  it('takes two feeds of a sample as a pair of embeddings', async () => {
    const c = await prepareText(twoProducts, 'qdq', { settings: minmax, feeds });
    const pair = { id: 'p', hash: 'p', feeds };
    const s = await measure(c, { batches: () => batches([pair], { size: 1, inputs: inputInfo(c.model) }) });
    expect(s).toMatchObject({ samples: 1, measure: 'error' });
    expect(s.layers[0]!.score).toBeCloseTo(0.4 ** 2 / (0.4 ** 2 + 2 * 127 ** 2), 8);
  });

  it('leaves out the rows that fill a fixed batch', async () => {
    const text = twoProducts.replaceAll('float[N,2]', 'float[3,2]');
    const c = await prepareText(text, 'qdq', { settings: minmax, feeds: [{ x: f32([0, 1, 1, 0, 0, 0], [3, 2]) }] });
    const rows = feeds.map((feed, i) => sample(feed, String(i)));
    const s = await measure(c, { batches: () => batches(rows, { size: 3, inputs: inputInfo(c.model) }) });
    const p = 1 / (1 + Math.exp(-0.4));
    expect(s.samples).toBe(2);
    expect(s.layers[0]!.score).toBeCloseTo((p * Math.log(2 * p) + (1 - p) * Math.log(2 * (1 - p))) / 2, 6);
  });

  it('stops at the number of samples', async () => {
    const c = await prepareText(twoProducts, 'qdq', { settings: minmax, feeds: [...feeds, ...feeds, ...feeds] });
    expect((await measure(c, { samples: 3, batches: c.batchesOf(2) })).samples).toBe(3);
  });

  it('quantizes the weights alone where activations are quantized at run time', async () => {
    const s = await measure(
      await prepareText(twoProducts, 'dynamic', { settings: 'weights: { observer: minmax }', feeds }),
    );
    expect(s.layers.map((l) => l.node)).toEqual(['two', 'one']);
    expect(s.layers[0]!.score).toBeGreaterThan(0.005);
  });

  it('scores outputs that turn NaN as broken, and passes over rows that were NaN before', async () => {
    const text = (bad: string): string =>
      `${header}\ng (float[N,2] x) => (float[N,2] y) <float[2,2] w = {127, 127, 0.4, 0}, float[2] c = {-0.1, ` +
      `1}> { ${bad} }`;
    // 0.4 − 0.1 has a root, 0 − 0.1 has none.
    const broken = await measure(
      await prepareText(text('[p] a = MatMul(x, w)  b = Add(a, c)  y = Sqrt(b)'), 'qdq', { settings: named, feeds }),
    );
    expect(broken.layers).toMatchObject([{ node: 'p', score: 1e6 }]);
    const before = await measure(
      await prepareText(text('[p] a = MatMul(x, w)  b = Sub(a, c)  d = Sub(b, c)  y = Log(d)'), 'qdq', {
        settings: named,
        feeds,
      }),
    );
    // log(0.4 …) and log(−2): only the first row's class is NaN in both
    expect(before.layers[0]!.score).toBeLessThan(1);
  });

  it('refuses empty data and stops when told', async () => {
    const c = await prepareText(twoProducts, 'qdq', { settings: minmax, feeds });
    await expect(measure(c, { batches: () => batches([], { size: 1, inputs: [] }) })).rejects.toMatchObject({
      code: 'DATA_MISSING',
    });
    await expect(measure(c, { signal: AbortSignal.abort(new Error('stopped')) })).rejects.toThrow('stopped');
    const stop = new AbortController();
    await expect(
      measure(c, {
        signal: stop.signal,
        onEvent: (e) => {
          if (e.type === 'progress') stop.abort(new Error('after one'));
        },
      }),
    ).rejects.toThrow('after one');
  });
});

const GENERAL = [
  'conv-relu',
  'residual-relu',
  'matmul-3d',
  'if-captures',
  'shared-weight',
  'concat',
  'tied-embedding',
  'dynamic-embedding',
  'conv-transpose',
  'softmax-between',
  'scheme-int4-block',
  'scheme-int16',
  'unnamed',
  'gemm-chain',
  'matmul-activations',
  'split',
];
const fixtures = readFixtures('formats').filter((f) => GENERAL.some((name) => f.name.includes(name)));

describe('every kind of model', () => {
  it('is among the fixtures', () => {
    expect(fixtures.length).toBeGreaterThanOrEqual(GENERAL.length);
  });
  it.each(
    fixtures.flatMap((f) =>
      (f.sections.get('formats') ?? 'qdq qoperator').split(/\s+/).map((format) => ({ f, name: f.name, format })),
    ),
  )('$name, $format: each layer runs alone and leaves the model as it was', async ({ f, format }) => {
    const c = await prepareText(f.sections.get('before')!, format, { settings: f.sections.get('quantize') ?? '' });
    const before = c.model.graph.topological().map((n) => [n.op, n.inputs.map((v) => v?.name)]);
    const said: Diagnostic[] = [];
    const s = await measure(c, {
      onEvent: (e) => {
        if (e.type === 'diagnostic') said.push(e.diagnostic);
      },
    });
    expect(said).toEqual([]);
    expect(s.layers.length).toBeGreaterThan(0);
    for (const l of s.layers) {
      expect(l.score).toBeGreaterThanOrEqual(0);
      expect(l.score).toBeLessThan(0.1);
    }
    expect(s.layers.some((l) => l.score > 0)).toBe(true);
    expect(c.model.graph.topological().map((n) => [n.op, n.inputs.map((v) => v?.name)])).toEqual(before);
    for (const n of c.planned.integerNodes)
      if (s.layers.some((l) => l.node === n.name)) expect(verify(quantizeOne(c, n))).toEqual([]);
  });
});
