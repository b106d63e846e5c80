/** Channels that go: how they are counted, chosen and made up for. */
import { describe, expect, it } from 'vitest';
import { familiesOf } from '../../../src/channels/families.js';
import { channelUnits, removeChannels, type ChannelUnit } from '../../../src/channels/removal.js';
import { importances } from '../../../src/compress/importance/index.js';
import { refit } from '../../../src/compress/refit.js';
import { selectUnits, type Selection } from '../../../src/compress/select.js';
import { Work, type Amounts } from '../../../src/compress/work.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { forgetInferred, inferShapes } from '../../../src/ops/infer.js';
import { removeUnusedInitializers } from '../../../src/rewrite/pass.js';
import { apart, normalFeeds, outputsOf } from '../fed.js';

/** An inner layer, a depthwise chain, and a stream that a sum ties. */
const NET = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,3,8,8] x) => (y)
  <float[16,3,3,3] w1, float[16] b1, float[16,16,3,3] w2, float[16] b2, float[16,16,3,3] w3, float[16] b3,
   float[24,16,1,1] w4, float[24,1,3,3] w5, float[24] b5, float[24,10] f, float[10] fb, int64[2] flat = {-1, 24}>
  { c1 = Conv <pads: ints = [1,1,1,1]> (x, w1, b1)  r1 = Relu (c1)
    c2 = Conv <pads: ints = [1,1,1,1]> (r1, w2, b2)  r2 = Relu (c2)
    c3 = Conv <pads: ints = [1,1,1,1]> (r2, w3, b3)  a = Add (c3, r1)  r3 = Relu (a)
    c4 = Conv (r3, w4)  c5 = Conv <pads: ints = [1,1,1,1], group: int = 24> (c4, w5, b5)
    p = GlobalAveragePool (c5)  l = Reshape (p, flat)  m = MatMul (l, f)  y = Add (m, fb) }`;
function net(): Model {
  const m = parseModel(NET, { randomInitializers: 3 });
  inferShapes(m);
  return m;
}
const FEEDS = normalFeeds(6, [4, 3, 8, 8], 'feeds');
async function* feeds(): AsyncGenerator<Feed> {
  for (const f of FEEDS) yield await Promise.resolve(f);
}
const run = (m: Model): Promise<number[]> => outputsOf(m, FEEDS);
const placesOf = (units: readonly ChannelUnit[]): ChannelUnit['places'] => units.flatMap((u) => u.places);
function without(m: Model, units: readonly ChannelUnit[]): void {
  removeChannels(m, units);
  removeUnusedInitializers(m.graph);
  forgetInferred(m);
  inferShapes(m);
}
const scoresOf = async (m: Model, name: string, options: object = {}): Promise<Float64Array> => {
  const found = importances.find((i) => i.name === name)!;
  const context = { model: m, units: channelUnits(m), feeds, threads: 1, seed: 1 };
  return found.score(context, found.options.parse(options));
};
const HALF: Selection = { quantity: 'macs', left: 0.5, scope: 'uniform', roundTo: 1, least: 0.1 };

describe('familiesOf()', () => {
  it('puts together what lies in the same tensors, with the weights that make it', () => {
    const told = familiesOf(channelUnits(net())).map((f) => [f.units.length, f.makers.map((v) => v.name).sort()]);
    expect(told).toHaveLength(3);
    expect(told).toEqual(
      expect.arrayContaining([
        [16, ['w1', 'w3']],
        [16, ['w2']],
        [24, ['w4', 'w5']],
      ]),
    );
  });
});

describe('Work', () => {
  it('counts what is left as the smaller model does', () => {
    const m = net();
    const units = channelUnits(m);
    const work = new Work(m);
    const whole = work.left;
    // 8 × 8 × (16·27 + 2·16·144 + 24·16 + 24·9) of convolutions, and 24 × 10 of the product
    expect(whole.macs).toBe(64 * (432 + 4608 + 384 + 216) + 240);
    const gone = units.filter((_, i) => i % 3 === 0);
    work.take(gone);
    const predicted = work.left;
    work.giveBack(gone);
    expect(work.left).toEqual(whole);
    without(m, gone);
    const real = new Work(m).left;
    for (const key of ['macs', 'parameters'] as const satisfies readonly (keyof Amounts)[])
      expect(predicted[key]).toBeCloseTo(real[key], 6);
  });
});

describe('importance', () => {
  // the net has no BatchNormalization
  it.each(importances.map((i) => i.name).filter((n) => n !== 'batch-norm'))(
    '%s gives each channel a number of its own, and the same twice',
    async (n) => {
      const m = net();
      const scores = await scoresOf(m, n);
      expect(scores).toHaveLength(56);
      expect(scores.every((s) => Number.isFinite(s) && s >= 0)).toBe(true);
      // counts of zeros and ranks are often equal
      expect(new Set(scores).size).toBeGreaterThan(n === 'apoz' || n === 'hrank' ? 20 : 50);
      expect(await scoresOf(m, n)).toEqual(scores);
    },
  );
  it('l1 and l2 are shares of the layer', async () => {
    const m = parseModel(
      `<ir_version: 10, opset_import: ["" : 17]> g (float[N,2] x) => (y)
        <float[2,3] a = {1, -2, 3, -3, 2, 1}, float[3,1] b = {1, 1, 2}> { h = MatMul (x, a)  r = Relu (h)  y = MatMul (r, b) }`,
    );
    inferShapes(m);
    expect([...(await scoresOf(m, 'l1'))]).toEqual([4 / 12, 4 / 12, 4 / 12]);
    expect([...(await scoresOf(m, 'l2'))]).toEqual([10 / 28, 8 / 28, 10 / 28]);
    expect([...(await scoresOf(m, 'l1', { of: 'all' }))]).toEqual([4 / 12 + 1 / 4, 4 / 12 + 1 / 4, 4 / 12 + 2 / 4]);
    // columns (1, −3), (−2, 2), (3, 1): distances √34 and √20 from the first, √26 between the others
    const sum = 2 * (Math.sqrt(34) + Math.sqrt(20) + Math.sqrt(26));
    const [first] = await scoresOf(m, 'geometric-median');
    expect(first).toBeCloseTo((Math.sqrt(34) + Math.sqrt(20)) / sum, 12);
  });
});

describe('selectUnits()', () => {
  it.each(['uniform', 'global'] as const)('%s: leaves so much at most, and hardly less', async (scope) => {
    const m = net();
    const units = channelUnits(m);
    const gone = selectUnits(m, units, await scoresOf(m, 'l1'), { ...HALF, scope });
    const before = new Work(m).left.macs;
    without(m, gone);
    const share = new Work(m).left.macs / before;
    expect(share).toBeLessThanOrEqual(0.5);
    expect(share).toBeGreaterThan(0.4);
  });
  it('takes the least important of each family', async () => {
    const m = net();
    const units = channelUnits(m);
    const scores = await scoresOf(m, 'l1');
    const gone = new Set(selectUnits(m, units, scores, HALF));
    for (const { units: own } of familiesOf(units)) {
      const [out, stay] = [own.filter((u) => gone.has(u)), own.filter((u) => !gone.has(u))];
      const of = (u: ChannelUnit): number => scores[units.indexOf(u)]!;
      expect(Math.max(...out.map(of))).toBeLessThanOrEqual(Math.min(...stay.map(of)));
    }
  });
  it('keeps multiples of so many channels', async () => {
    const m = net();
    const units = channelUnits(m);
    const gone = new Set(selectUnits(m, units, await scoresOf(m, 'l2'), { ...HALF, scope: 'global', roundTo: 8 }));
    for (const { units: own } of familiesOf(units)) expect(own.filter((u) => !gone.has(u)).length % 8).toBe(0);
  });
  it('says so where all that may go is too little', async () => {
    const m = net();
    const units = channelUnits(m);
    const scores = await scoresOf(m, 'l1');
    expect(() => selectUnits(m, units, scores, { ...HALF, left: 0.05, least: 0.5 })).toThrow(
      expect.objectContaining({ code: 'MODEL_UNSUPPORTED', message: expect.stringMatching(/leaves [\d.]+ % of the/) }),
    );
  });
});

describe('refit()', () => {
  const gone = (m: Model, of: (family: string, channel: number) => boolean): ChannelUnit[] =>
    familiesOf(channelUnits(m)).flatMap((f) => f.units.filter((_, i) => of(f.makers[0]!.name, i)));

  it('makes up for a channel that was a copy of another', async () => {
    const whole = net();
    const [w2, b2] = ['w2', 'b2'].map((n) => [...whole.graph.initializers].find((v) => v.name === n)!);
    const copied = (t: Tensor): Tensor => {
      const each = t.size / 16;
      const data = t.f32().slice();
      data.set(data.subarray(0, each), each); // channel 1 gives what channel 0 gives
      return Tensor.f32(data, t.dims);
    };
    w2!.data = copied(w2!.data!);
    b2!.data = copied(b2!.data!);
    const wanted = await run(whole);
    const { model } = cloneModel(whole);
    inferShapes(model);
    const units = gone(model, (family, i) => family === 'w2' && i === 1);
    expect(units).toHaveLength(1);
    const places = placesOf(units);
    without(model, units);
    const before = apart(wanted, await run(model));
    await refit({ model, reference: whole, gone: places, feeds, damping: 1e-9, threads: 1 });
    expect(before).toBeGreaterThan(1e-3);
    expect(apart(wanted, await run(model))).toBeLessThan(1e-7);
  });
  it.each(['w2', 'w1', 'w4'])('comes nearer for channels of the family of %s', async (name) => {
    const whole = net();
    const wanted = await run(whole);
    const { model } = cloneModel(whole);
    inferShapes(model);
    const units = gone(model, (family, i) => (family === name || (name === 'w1' && family === 'w3')) && i % 2 === 0);
    expect(units.length).toBeGreaterThan(6);
    const places = placesOf(units);
    without(model, units);
    const before = apart(wanted, await run(model));
    expect(await refit({ model, reference: whole, gone: places, feeds, damping: 1e-3, threads: 1 })).toBeGreaterThan(1);
    expect(apart(wanted, await run(model))).toBeLessThan(0.5 * before);
  });
});
