/** Measures of channels that look at samples or at BatchNormalization, against numbers by hand and by differences. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { channelUnits, type ChannelUnit } from '../../../src/channels/removal.js';
import { importances } from '../../../src/compress/importance/index.js';
import { selectUnits } from '../../../src/compress/select.js';
import type { Batch } from '../../../src/data/batch.js';
import type { Feed, Sample } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { cloneModel } from '../../../src/ir/clone.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { openModel } from '../../../src/runtime/open.js';

function parsed(text: string, seed?: number): Model {
  const m = parseModel(text, seed === undefined ? {} : { randomInitializers: seed });
  inferShapes(m);
  return m;
}
/** A Relu layer of 3 units: x0, x1 − x0, and 1 always. */
const BY_HAND = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,2] x) => (y)
  <float[2,3] a = {1, -1, 0, 0, 1, 0}, float[3] b = {0, 0, 1}, float[3,1] c = {2, 3, 4}>
  { h = MatMul (x, a)  s = Add (h, b)  r = Relu (s)  y = MatMul (r, c) }`;
const feed = (dims: readonly number[], data: readonly number[]): Feed => ({
  x: { dtype: 'float32', dims, data: Float32Array.from(data) },
});
const batchOf = (f: Feed, labels: readonly number[], real = labels.length): Batch => {
  const samples: Sample[] = labels.slice(0, real).map((label, i) => ({ id: `${i}`, hash: '', feeds: [], label }));
  return {
    feeds: [f],
    samples,
    rows: samples.map((sample, i) => ({ sample, start: [i], length: [1] })),
    realRows: [real],
  };
};
async function scores(m: Model, name: string, seen: readonly Feed[] | readonly Batch[], options: object = {}) {
  const found = importances.find((i) => i.name === name)!;
  const given = seen.map((s) => ('rows' in s ? (s as Batch) : undefined)); // one or the other
  const labelled = given.every((s) => s !== undefined);
  const feeds = async function* (): AsyncGenerator<Feed> {
    for (const s of seen) yield* await Promise.resolve('rows' in s ? (s as Batch).feeds : [s]);
  };
  const batches = async function* (): AsyncGenerator<Batch> {
    for (const s of given) yield await Promise.resolve(s!);
  };
  const units = channelUnits(m);
  const context = { model: m, units, feeds, ...(labelled ? { batches } : {}), threads: 1, seed: 1 };
  return { units, scores: [...(await found.score(context, found.options.parse(options)))] };
}
const close = (a: readonly number[], b: readonly number[], digits = 5): void => {
  expect(a).toHaveLength(b.length);
  a.forEach((v, i) => {
    expect(v / (b[i]! || 1)).toBeCloseTo(b[i] ? 1 : 0, digits);
  });
};

describe('importance by activations', () => {
  const FEEDS = [feed([2, 2], [1, 3, -1, 1]), feed([1, 2], [2, 1])];
  // Relu gives (1, 2, 1), (0, 2, 1), (2, 0, 1)
  it('apoz: the share that is not zero', async () => {
    close((await scores(parsed(BY_HAND), 'apoz', FEEDS)).scores, [2 / 3, 2 / 3, 1], 12);
  });
  it('mean-activation: the mean magnitude', async () => {
    close((await scores(parsed(BY_HAND), 'mean-activation', FEEDS)).scores, [1, 4 / 3, 1], 6);
  });
  it('rows that only fill a batch do not count', async () => {
    const filled = batchOf(feed([2, 2], [1, 3, 9, 9]), [0, 0], 1);
    close((await scores(parsed(BY_HAND), 'mean-activation', [filled])).scores, [1, 2, 1], 6);
  });
  it('hrank: the mean rank of feature maps', async () => {
    // 1 × 1 convolutions: x0, x0 + x1, and 0 · x + 1
    const m = parsed(
      `<ir_version: 10, opset_import: ["" : 17]> g (float[N,2,3,3] x) => (y)
        <float[3,2,1,1] a = {1, 0, 1, 1, 0, 0}, float[3] b = {0, 0, 1}, float[1,3,1,1] c = {1, 1, 1}>
        { h = Conv (x, a, b)  y = Conv (h, c) }`,
    );
    const outer = [1, 2, 3, 2, 4, 6, 3, 6, 9]; // rank 1
    const unit = [1, 0, 0, 0, 1, 0, 0, 0, 1]; // rank 3; with the other 3 as well
    const corner = [1, 0, 0, 0, 1, 0, 0, 0, 0]; // rank 2
    const two = [feed([2, 2, 3, 3], [...outer, ...unit, ...corner, ...corner])];
    close((await scores(m, 'hrank', two)).scores, [(1 + 2) / 2, (3 + 2) / 2, 1], 12);
  });
});

describe('importance batch-norm', () => {
  const NET = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,1,4,4] x) => (y)
    <float[3,1,1,1] a = {1, 2, 3}, float[3] g1 = {0.5, -2, 0.25}, float[3] z = {0, 0, 0}, float[3] m = {0, 0, 0},
     float[3] v = {1, 1, 1}, float[2,3,1,1] b = {1, 1, 1, 1, 1, 1}, float[1,2,1,1] c = {1, 1}>
    { h = Conv (x, a)  n = BatchNormalization (h, g1, z, m, v)  k = Conv (n, b)  y = Conv (k, c) }`;
  it('is |γ|, and what passes none stays', async () => {
    const m = parsed(NET);
    const { units, scores: made } = await scores(m, 'batch-norm', []);
    expect(made).toEqual([0.5, 2, 0.25, Infinity, Infinity]);
    const gone = selectUnits(m, units, Float64Array.from(made), {
      ...{ quantity: 'macs', left: 0.8, scope: 'global', roundTo: 1, least: 0.1 },
    });
    expect(gone.map((u) => units.indexOf(u))).toEqual([2]);
  });
  it('says so where nothing passes one', async () => {
    await expect(scores(parsed(BY_HAND), 'batch-norm', [])).rejects.toMatchObject({ code: 'MODEL_UNSUPPORTED' });
  });
});

/** Two layers that read channels of one stream, and one inside the block; smooth, so that differences say the slope. */
const NET = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,2,4,4] x) => (y)
  <float[3,2,3,3] w1, float[3] b1, float[4,3,3,3] w2, float[4] b2, float[3,4,1,1] w3, float[3] b3, float[3,3] f>
  { c1 = Conv <pads: ints = [1,1,1,1]> (x, w1, b1)  t1 = Tanh (c1)
    c2 = Conv <pads: ints = [1,1,1,1]> (t1, w2, b2)  t2 = Tanh (c2)  c3 = Conv (t2, w3, b3)  a = Add (c3, t1)
    p = GlobalAveragePool (a)  l = Flatten (p)  y = MatMul (l, f) }`;
const rng = createRng(7, 'taylor');
const SAMPLES = Array.from({ length: 5 }, () => Array.from({ length: 32 }, () => rng.normal()));
const LABELS = [0, 2, 1, 2, 0];
const weightsThatRead = ({ cuts }: ChannelUnit): ChannelUnit['cuts'] =>
  cuts.filter((c) => !c.makes && c.constant.data!.dims.length > 1);

/** Cross-entropy of one sample where the weights that read a unit's channel are (1 + ε) times what they are. */
async function lossOf(m: Model, unit: ChannelUnit, factor: number, k: number): Promise<number> {
  const { model } = cloneModel(m);
  for (const cut of weightsThatRead(unit)) {
    const own = [...model.graph.initializers].find((v) => v.name === cut.constant.name)!;
    const { dims } = own.data!;
    const data = own.data!.f32().slice();
    const inner = dims.slice(cut.axis + 1).reduce((n, d) => n * d, 1);
    data.forEach((v, i) => {
      if (Math.floor(i / inner) % dims[cut.axis]! === cut.index) data[i] = v * factor;
    });
    own.data = Tensor.f32(data, dims);
  }
  const session = await openModel(model, { optimization: 'disabled' });
  const y = [...((await session.run(feed([1, 2, 4, 4], SAMPLES[k]!))).y!.data as Float32Array)];
  await session.close();
  return Math.log(y.reduce((n, v) => n + Math.exp(v), 0)) - y[LABELS[k]!]!;
}

describe('importance by gradients', () => {
  const STEP = 1e-2;
  const both = [
    batchOf(feed([3, 2, 4, 4], SAMPLES.slice(0, 3).flat()), LABELS.slice(0, 3)),
    batchOf(feed([2, 2, 4, 4], SAMPLES.slice(3).flat()), LABELS.slice(3)),
  ];
  it('taylor is the sum of squares of what the loss of each sample changes', async () => {
    const m = parsed(NET, 5);
    const { units, scores: made } = await scores(m, 'taylor', both);
    expect(units).toHaveLength(7);
    const wanted = await Promise.all(
      units.map(async (u) => {
        let sum = 0;
        for (const k of SAMPLES.keys()) {
          const slope = ((await lossOf(m, u, 1 + STEP, k)) - (await lossOf(m, u, 1 - STEP, k))) / (2 * STEP);
          sum += slope * slope;
        }
        return sum;
      }),
    );
    close(made, wanted, 2);
  });
  it('taylor is the same for samples in any batches, and one by one', async () => {
    const m = parsed(NET, 5);
    const single = SAMPLES.map((s, k) => batchOf(feed([1, 2, 4, 4], s), [LABELS[k]!]));
    for (const sum of ['squares', 'magnitudes'])
      close((await scores(m, 'taylor', both, { sum })).scores, (await scores(m, 'taylor', single, { sum })).scores, 4);
  });
  it('without labels a channel that nothing depends on has none, and others have', async () => {
    const m = parsed(NET, 5);
    const w3 = [...m.graph.initializers].find((v) => v.name === 'w3')!;
    const data = w3.data!.f32().slice();
    for (const row of [0, 1, 2]) data[4 * row + 1] = 0; // channel 1 of t2 is not read
    w3.data = Tensor.f32(data, w3.data!.dims);
    const feeds = both.flatMap((b) => b.feeds);
    const { units, scores: made } = await scores(m, 'taylor', feeds);
    const dead = units.findIndex((u) => u.places.some((p) => p.value.name === 't2' && p.channel === 1));
    expect(made[dead]).toBe(0);
    expect(made.filter((s) => s > 1e-6)).toHaveLength(6);
    expect((await scores(m, 'taylor', feeds)).scores).toEqual(made);
  });
  it('labels are asked for where there are none', async () => {
    const feeds = both.flatMap((b) => b.feeds);
    await expect(scores(parsed(NET, 5), 'taylor', feeds, { by: 'labels' })).rejects.toMatchObject({
      code: 'DATA_MISSING',
    });
  });
  it('hessian is ½·h·w² of a product, by hand', async () => {
    // y = c·a·x, loss by labels of two classes with scores (y, 0): ∂L/∂y = p − 1 for class 0
    const m = parsed(
      `<ir_version: 10, opset_import: ["" : 17]> g (float[N,1] x) => (y)
        <float[1,2] a = {0.5, -1}, float[2,2] c = {1, 0, 0.25, 0}> { h = MatMul (x, a)  y = MatMul (h, c) }`,
    );
    const seen = [batchOf(feed([2, 1], [1, 2]), [0, 1])];
    const slope = (x: number, label: number): number => 1 / (1 + Math.exp(-x * (0.5 - 0.25))) - (label === 0 ? 1 : 0);
    const part = (a: number, c: number): number =>
      [slope(1, 0) * 1, slope(2, 1) * 2].reduce((n, g) => n + (g * c * a) ** 2, 0) / 2 / 2;
    close((await scores(m, 'hessian', seen)).scores, [part(0.5, 1), part(-1, 0.25)], 4);
    close((await scores(m, 'hessian', seen, { of: 'all' })).scores.slice(0, 1), [2 * part(0.5, 1)], 4);
  });
});
