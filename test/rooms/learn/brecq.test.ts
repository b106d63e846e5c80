/** Blocks of small nets: found, learned better than layer after layer, to the same bytes, and safe from saturation. */
import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../../../src/base/events.js';
import { gptq } from '../../../src/codes/gptq.js';
import { round } from '../../../src/codes/round.js';
import { layerShape } from '../../../src/channels/layer.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { brecq } from '../../../src/learn/brecq.js';
import { blocksOf, type BlockKind } from '../../../src/learn/blocks.js';
import { packedOrder } from '../../../src/ops/packing.js';
import { quantize } from '../../../src/scheme/arithmetic.js';
import { pairSaturates } from '../../../src/scheme/saturation.js';
import { header } from '../analyse/helpers.js';
import { chosen, errorOn, feedsOf } from './helpers.js';

const conv = (out: number, into: number, name: string): string =>
  `float[${out},${into},3,3] w${name}, float[${out}] b${name}`;
const same = 'kernel_shape=[3,3], pads=[1,1,1,1]';
const residual = `${header}\ng (float[N,3,6,6] x) => (float[N,5] y) <${conv(8, 3, '1')}, ${conv(8, 8, '2')}, ${conv(8, 8, '3')}, float[5,8] w4, float[5] b4> {
  [one] a = Conv<${same}>(x, w1, b1) b = Relu(a)
  [two] c = Conv<${same}>(b, w2, b2) d = Relu(c) [three] e = Conv<${same}>(d, w3, b3)
  f = Add(b, e) h = Relu(f)
  i = GlobalAveragePool(h) j = Flatten(i) [four] y = Gemm<transB=1>(j, w4, b4) }`;
const depthwise = `${header}\ng (float[N,3,6,6] x) => (float[N,5] y) <${conv(8, 3, '1')}, ${conv(8, 1, '2')}, float[8,4,1,1] w3, float[8] b3, float[5,8] w4, float[5] b4> {
  [one] a = Conv<${same}>(x, w1, b1) b = Relu(a)
  [two] c = Conv<${same}, group=8>(b, w2, b2) d = Relu(c)
  [three] e = Conv<kernel_shape=[1,1], group=2>(d, w3, b3) f = Relu(e)
  i = GlobalAveragePool(f) j = Flatten(i) [four] y = Gemm<transB=1>(j, w4, b4) }`;
const attention = `${header}\ng (float[N,4,8] x) => (float[N,4,8] y) <float[8,8] wq, float[8,8] wk, float[8,8] wv, float[8,8] wo, float[8,16] w1, float[16] b1, float[16,8] w2, float[8] b2> {
  [q] q = MatMul(x, wq) [k] k = MatMul(x, wk) [v] v = MatMul(x, wv)
  t = Transpose<perm=[0,2,1]>(k) s = MatMul(q, t) p = Softmax(s) c = MatMul(p, v)
  [o] o = MatMul(c, wo) a = Add(x, o)
  [in] f = MatMul(a, w1) g1 = Add(f, b1) h = Relu(g1) [out] r = MatMul(h, w2) r1 = Add(r, b2) y = Add(a, r1) }`;

function namesOf(text: string, kind: BlockKind): (string | undefined)[][] {
  const model = parseModel(text, { randomInitializers: 1 });
  inferShapes(model);
  const order = model.graph.topological();
  const layers = new Map(order.flatMap((n) => (layerShape(n) ? [[n, layerShape(n)!] as const] : [])));
  return blocksOf(order, layers, kind).map((b) => b.layers.map((l) => l.node.name));
}

describe('blocksOf', () => {
  it('finds residual blocks, and what lies between them', () => {
    expect(namesOf(residual, 'block')).toEqual([['one'], ['two', 'three'], ['four']]);
    expect(namesOf(residual, 'layer')).toEqual([['one'], ['two'], ['three'], ['four']]);
    expect(namesOf(residual, 'model')).toEqual([['one', 'two', 'three', 'four']]);
  });
  it('takes the layer behind a depthwise convolution along', () => {
    expect(namesOf(depthwise, 'block')).toEqual([['one'], ['two', 'three'], ['four']]);
  });
  it('finds attention and feed-forward parts', () => {
    expect(namesOf(attention, 'block').map((b) => [...b].sort())).toEqual([
      ['k', 'o', 'q', 'v'],
      ['in', 'out'],
    ]);
  });
  it('gives the values that cross between blocks', () => {
    const model = parseModel(residual, { randomInitializers: 1 });
    inferShapes(model);
    const order = model.graph.topological();
    const layers = new Map(order.flatMap((n) => (layerShape(n) ? [[n, layerShape(n)!] as const] : [])));
    const cross = (kind: BlockKind) =>
      blocksOf(order, layers, kind).map((b) => [b.inputs.map((v) => v.name), b.outputs.map((v) => v.name)]);
    expect(cross('block')).toEqual([
      [[], ['b']],
      [['b'], ['j']],
      [['j'], ['y']],
    ]);
    expect(cross('layer')[1]).toEqual([['b'], ['d']]);
    expect(cross('layer')[2]).toEqual([['d', 'b'], ['j']]);
  });
});

const three = 'activations: { observer: minmax }\nweights: { dtype: int8, bits: 3, granularity: channel }';
const few = { iterations: 120, batch: 32, rate: 0.01, qdrop: 0 };

describe('brecq', () => {
  it.each([
    ['a residual net', residual, [3, 6, 6], 128, 0.95],
    ['attention', attention, [4, 8], 64, 0.9],
    ['depthwise and grouped convolutions', depthwise, [3, 6, 6], 64, undefined],
  ])('errs less than rounding, and than GPTQ where blocks have several layers: %s', async (_, text, dims, n, share) => {
    const feeds = feedsOf(dims, n, 3);
    const plain = await errorOn(await chosen(text, feeds, three, round, {}), feeds);
    const layerwise = await errorOn(await chosen(text, feeds, three, gptq, {}), feeds);
    const learned = await errorOn(await chosen(text, feeds, three, brecq, few), feeds);
    expect(learned).toBeLessThan(share === undefined ? 0.6 * plain : share * layerwise);
  });

  it('gives the same bytes for the same seed, whatever the number of threads, and others for another', async () => {
    const feeds = feedsOf([3, 6, 6], 32, 4);
    const of = async (seed: number, threads: number) =>
      (await chosen(residual, feeds, three, brecq, { ...few, iterations: 12, qdrop: 0.5, seed }, { threads })).weights;
    const first = await of(1, 1);
    expect(await of(1, 2)).toEqual(first);
    expect(await of(2, 1)).not.toEqual(first);
  });

  it('fits few images less closely where it sees them in more views, and gives the same bytes', async () => {
    const feeds = feedsOf([3, 6, 6], 4, 4);
    const of = async (views: number) => chosen(residual, feeds, three, brecq, { ...few, views });
    const [one, eight] = [await of(1), await of(8)];
    expect(await errorOn(eight, feeds)).toBeGreaterThan(2 * (await errorOn(one, feeds)));
    expect((await of(8)).weights).toEqual(eight.weights);
  });

  it('keeps neighbours from saturating in 8 bits', async () => {
    const feeds = feedsOf([3, 6, 6], 16, 5);
    const settings = 'activations: { dtype: uint8 }\nweights: { dtype: int8, granularity: channel, saturation: safe }';
    const { params, c } = await chosen(residual, feeds, settings, brecq, { ...few, iterations: 20, rate: 2 });
    let pairs = 0;
    for (const [point, ways] of c.planned.packings ?? []) {
      const own = params.get(point);
      const [packing] = ways;
      if (!('uses' in point) || !point.data || !own || !packing) continue;
      const codes = quantize(point.data.f32(), point.data.dims, own).f64();
      const order = packedOrder(packing);
      for (let g = 0; g < packing.groups; g++)
        for (let r = 0; r < packing.rows; r++)
          for (let i = 0; i + 1 < order.length; i += 2) {
            const at = g * packing.groupStride + r * packing.rowStride;
            pairs++;
            expect(pairSaturates(codes[at + order[i]!]!, codes[at + order[i + 1]!]!)).toBe(false);
          }
    }
    expect(pairs).toBeGreaterThan(100);
  });

  it('tells how far it is and how long it will take', async () => {
    const told: Extract<RunEvent, { type: 'progress' }>[] = [];
    const onEvent = (e: RunEvent): void => {
      if (e.type === 'progress' && e.note?.startsWith('learning')) told.push(e);
    };
    await chosen(residual, feedsOf([3, 6, 6], 16, 7), three, brecq, { ...few, iterations: 20 }, { onEvent });
    expect(told.map((e) => [e.done, e.total])).toEqual(Array.from({ length: 60 }, (_, i) => [i + 1, 60]));
    expect(told[59]).toMatchObject({ note: 'learning block 3 of 3', secondsLeft: 0 });
    expect(told[20]!.secondsLeft).toBeGreaterThan(0);
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    let steps = 0;
    const onEvent = (): void => {
      if (++steps === 40) stop.abort(new Error('enough'));
    };
    const feeds = feedsOf([3, 6, 6], 16, 6);
    await expect(chosen(residual, feeds, three, brecq, few, { onEvent, signal: stop.signal })).rejects.toThrow(
      'enough',
    );
  });
});
