import { describe, expect, it } from 'vitest';
import { measureLayers } from '../../../src/analyse/layers.js';
import type { Diagnostic } from '../../../src/base/errors.js';
import { batches } from '../../../src/data/batch.js';
import { inputInfo } from '../../../src/pipeline/inputs.js';
import { uniqueLabels } from '../../../src/ir/labels.js';
import { specOf } from '../../../src/ops/index.js';
import { readFixtures } from '../../conformance/fixture.js';
import { f32, header, prepareText, rewrite, sample, type Case } from './helpers.js';

const minmax = 'activations: { observer: minmax }\nweights: { observer: minmax }';
const measure = (c: Case, more: Partial<Parameters<typeof measureLayers>[0]> = {}) =>
  measureLayers({ ...rewrite(c), batches: c.batchesOf(2), ...more });
const feeds = [{ x: f32([0, 1]) }, { x: f32([1, 0]) }, { x: f32([0.3, 0.3]) }];
/** 0.3 gets code 76 of 255; channel 1 of `a` is at most 0.001, less than half of the step 1/255. */
const text =
  `${header}\ng (float[N,2] x) => (float[N,2] y) <float[2,2] w1 = {1, 0, 0, 0.001}, float[2,2] w2 = {127, 127, ` +
  '1, 0}> { [one] a = MatMul(x, w1)  [two] y = MatMul(a, w2) }';
const error = 0.3 - 76 / 255;
const sqnr = 10 * Math.log10((1 + 0.09 + 1e-6 * (1 + 0.09)) / (error ** 2 + 1e-6 * (1 + 0.09)));

describe('measureLayers', () => {
  it.each(['qdq', 'qoperator'])('%s: SQNR, cosine, saturation and dead channels from codes', async (format) => {
    const { samples, tensors } = await measure(await prepareText(text, format, { settings: minmax, feeds }));
    expect(samples).toBe(3);
    expect(tensors.map((t) => [t.name, t.node, t.op])).toEqual([
      ['a', 'one', 'MatMul'],
      ['y', 'two', 'MatMul'],
    ]);
    const a = tensors[0]!;
    expect(a.sqnrDb).toBeCloseTo(sqnr, 3);
    const kept = 1 + 0.3 * (76 / 255); // Σ float · quantized
    expect(a.cosine).toBeCloseTo(kept / Math.sqrt((1 + 0.09 + 1e-6 * 1.09) * (1 + (76 / 255) ** 2)), 6);
    expect(a.saturated).toBeCloseTo(1 / 6, 12); // code 255 in one of six values; the zeros are the zero point
    expect([a.channels, a.deadChannels]).toEqual([2, 1]);
    expect(tensors[1]).not.toHaveProperty('saturated'); // its result stays float
    expect(tensors[1]).toMatchObject({ channels: 2, deadChannels: 0 });
  });

  it('dynamic: float tensors, under whatever name the rewrite gave them', async () => {
    const { tensors } = await measure(
      await prepareText(text, 'dynamic', { settings: 'weights: { observer: minmax }', feeds }),
    );
    expect(tensors.map((t) => [t.name, t.node])).toEqual([
      ['a', 'one'],
      ['y', 'two'],
    ]);
    for (const t of tensors) {
      expect(t.sqnrDb).toBeGreaterThan(25);
      expect(t).not.toHaveProperty('saturated');
    }
  });

  it('gives a fused clamp to the node before it, with integer kernels still running', async () => {
    const conv = readFixtures('formats')
      .find((f) => f.name === 'conv-relu')!
      .sections.get('before')!;
    const { tensors } = await measure(await prepareText(conv, 'qdq'));
    expect(tensors.map((t) => [t.name, t.node, t.op, t.channels])).toEqual([['y', 'c1', 'Conv', 8]]);
    expect(tensors[0]!.sqnrDb).toBeGreaterThan(30);
  });

  it('measures in further passes what does not fit at once, with the same result', async () => {
    const conv = readFixtures('formats')
      .find((f) => f.name === 'residual-relu')!
      .sections.get('before')!;
    const c = await prepareText(conv, 'qdq');
    const given = { ...rewrite(c), batches: c.batchesOf(2) };
    const notes = new Set<string | undefined>();
    const onePass = await measureLayers(given);
    const many = await measureLayers({
      ...given,
      maxMemoryBytes: 1,
      onEvent: (e) => {
        if (e.type === 'progress') notes.add(e.note);
      },
    });
    expect(many.tensors.map((t) => t.name)).toEqual(onePass.tensors.map((t) => t.name));
    // onnxruntime fuses float ops that are not tapped
    many.tensors.forEach((t, i) => expect(t.sqnrDb).toBeCloseTo(onePass.tensors[i]!.sqnrDb!, 5));
    expect(onePass.tensors.map((t) => t.name)).toEqual(['r', 'b', 't', 'y']);
    expect([...notes]).toEqual([1, 2, 3, 4].map((n) => `tensors ${n} of 4`));
  });

  it('leaves out the rows that fill a fixed batch', async () => {
    const c = await prepareText(text.replaceAll('float[N,2]', 'float[4,2]'), 'qdq', {
      settings: minmax,
      feeds: [{ x: f32([0, 1, 1, 0, 0.3, 0.3, 0, 0], [4, 2]) }],
    });
    const rows = feeds.map((feed, i) => sample(feed, String(i)));
    const { samples, tensors } = await measure(c, {
      batches: () => batches(rows, { size: 4, inputs: inputInfo(c.model) }),
    });
    expect(samples).toBe(3);
    expect(tensors[0]!.saturated).toBeCloseTo(1 / 6, 12); // with the repeated last row it would be 1/8
    expect(tensors[0]!.sqnrDb).toBeCloseTo(sqnr, 3);
  });

  it('names the first tensor that turns NaN', async () => {
    const said: Diagnostic[] = [];
    const root =
      `${header}\ng (float[N,2] x) => (float[N,2] y) <float[2,2] w = {127, 127, 0.4, 0}, float[2] c = {-0.1, 1}> ` +
      '{ [p] a = MatMul(x, w)  [add] b = Add(a, c)  [root] y = Sqrt(b) }';
    const { tensors } = await measure(await prepareText(root, 'qdq', { settings: minmax, feeds }), {
      onEvent: (e) => {
        if (e.type === 'diagnostic') said.push(e.diagnostic);
      },
    });
    expect(said).toMatchObject([{ code: 'LAYER_NON_FINITE', where: { node: 'root', tensor: 'y' } }]);
    expect(tensors.every((t) => Number.isFinite(t.cosine))).toBe(true);
  });

  it('refuses empty data and stops when told', async () => {
    const c = await prepareText(text, 'qdq', { settings: minmax, feeds });
    const given = { ...rewrite(c), batches: c.batchesOf(1) };
    await expect(
      measureLayers({ ...given, batches: () => batches([], { size: 1, inputs: [] }) }),
    ).rejects.toMatchObject({ code: 'DATA_MISSING' });
    await expect(measureLayers({ ...given, signal: AbortSignal.abort(new Error('stopped')) })).rejects.toThrow(
      'stopped',
    );
  });
});

describe('every kind of model', () => {
  const fixtures = readFixtures('formats');
  it.each(
    fixtures.flatMap((f) =>
      (f.sections.get('formats') ?? 'qdq qoperator').split(/\s+/).map((format) => ({ f, name: f.name, format })),
    ),
  )("$name, $format: every result of a product is measured, and near the float model's", async ({ f, format }) => {
    const c = await prepareText(f.sections.get('before')!, format, { settings: f.sections.get('quantize') ?? '' });
    const names = uniqueLabels(c.model.graph.topological());
    const products = [...c.planned.integerNodes]
      .filter((n) => specOf(n)?.quant.role === 'compute')
      .map((n) => names.get(n)!);
    const { tensors } = await measure(c);
    expect(products.filter((name) => !tensors.some((t) => t.node === name))).toEqual([]);
    const least = f.name.includes('int4') ? 15 : 20; // four bits have 16 levels
    for (const t of tensors) {
      expect(t.cosine, t.name).toBeGreaterThan(0.99);
      if (t.sqnrDb !== undefined) expect(t.sqnrDb, t.name).toBeGreaterThan(least);
    }
  });
});
