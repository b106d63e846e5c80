/** Scans of families, what is made of them, and families of the same structure. */
import { describe, expect, it } from 'vitest';
import { familiesOf } from '../../../src/channels/families.js';
import { kindsOf } from '../../../src/channels/kinds.js';
import { channelUnits, type ChannelUnit } from '../../../src/channels/removal.js';
import { compressions } from '../../../src/compress/index.js';
import { pricesOf } from '../../../src/compress/prices.js';
import { selectUnits, type Selection } from '../../../src/compress/select.js';
import type { CompressContext, PruneScan } from '../../../src/compress/types.js';
import { Work } from '../../../src/compress/work.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';

/** Two residual blocks of one structure but other sizes of kernels, one with another activation, and a hidden layer. */
const NET = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,4,8,8] x) => (y)
  <float[8,4,3,3] a1, float[4,8,3,3] a2, float[8,4,1,1] b1, float[4,8,1,1] b2, float[8,4,3,3] c1, float[4,8,3,3] c2,
   float[4,10] d1, float[10,3] d2>
  { p = Conv <pads: ints = [1,1,1,1]> (x, a1)  q = Relu (p)  r = Conv <pads: ints = [1,1,1,1]> (q, a2)  s = Add (r, x)
    t = Conv (s, b1)  u = Relu (t)  v = Conv (u, b2)  w = Add (v, s)
    k = Conv <pads: ints = [1,1,1,1]> (w, c1)  l = Sigmoid (k)  m = Conv <pads: ints = [1,1,1,1]> (l, c2)  n = Add (m, w)
    e = GlobalAveragePool (n)  f = Flatten (e)  h = MatMul (f, d1)  i = Relu (h)  y = MatMul (i, d2) }`;
function net(): { model: Model; units: ChannelUnit[]; of: (maker: string) => ChannelUnit[] } {
  const model = parseModel(NET, { randomInitializers: 3 });
  inferShapes(model);
  const units = familiesOf(channelUnits(model))
    .filter((f) => !f.summed)
    .flatMap((f) => f.units);
  const of = (maker: string): ChannelUnit[] =>
    familiesOf(units).find((f) => f.makers.some((v) => v.name === maker))!.units as ChannelUnit[];
  return { model, units, of };
}
const about: Selection = { quantity: 'macs', left: 0.5, scope: 'isomorphic', roundTo: 1, least: 0.1 };
/** What is left without units. */
function leftOf(model: Model, gone: readonly ChannelUnit[]): number {
  const work = new Work(model);
  const whole = work.left.macs;
  work.take(gone);
  return work.left.macs / whole;
}

describe('kindsOf()', () => {
  it('tells families apart by operators, axes and order, not by sizes', () => {
    const { model, of } = net();
    const families = ['a1', 'b1', 'c1', 'd1'].map((maker) => familiesOf(of(maker))[0]!);
    expect(kindsOf(model, families)).toEqual([0, 0, 1, 2]);
  });
});

describe('scope: isomorphic', () => {
  it('takes the same share of each kind, and inside of a kind the least important', () => {
    const { model, units, of } = net();
    // relative to the mean of 2, seven of a are 0.5 and one 4.5; all others are 1
    const scores = Float64Array.from(units, (u) => (of('a1').includes(u) ? (of('a1').indexOf(u) < 7 ? 1 : 9) : 2));
    const first = (maker: string, n: number): ChannelUnit[] => of(maker).slice(0, n);
    // half of the 16 of a and b, of the 8 of c, and of the 10 of d
    const wanted = [...first('a1', 7), ...first('b1', 1), ...first('c1', 4), ...first('d1', 5)];
    const gone = selectUnits(model, units, scores, { ...about, left: leftOf(model, wanted) + 1e-9 });
    expect(new Set(gone)).toEqual(new Set(wanted));
    const uniform = selectUnits(model, units, scores, { ...about, scope: 'uniform', left: leftOf(model, wanted) });
    expect(uniform.filter((u) => of('b1').includes(u)).length).toBeGreaterThan(1);
  });
});

const scan = (values: readonly number[], changes: readonly number[]): PruneScan => ({
  samples: 8,
  metric: { name: 'top1', unit: '%', higherIsBetter: true, whole: 80 },
  families: [
    {
      makers: ['a1'],
      units: 8,
      points: values.map((value, i) => ({ share: 0.25 * (i + 1), value, change: changes[i]! })),
    },
  ],
});

describe('pricesOf()', () => {
  it('are the slopes of the lower convex hull, for each channel; what was not looked at is said to be beyond', () => {
    const [prices] = pricesOf(scan([78, 79, 70], [0.01, 0.02, 0.08]));
    expect(prices!.map((p) => p.loss)).toEqual([0.25, 0.25, 0.25, 0.25, 4.5, 4.5, 4.5, 4.5]);
    expect(prices!.map((p) => p.change)).toEqual([0.005, 0.005, 0.005, 0.005, 0.03, 0.03, 0.03, 0.03]);
    expect(prices!.map((p) => p.beyond)).toEqual([...Array(6).fill(false), true, true]);
  });
  it('gains count as no loss, and a lower metric may be the better one', () => {
    expect(pricesOf(scan([82, 80, 80], [1, 2, 3]))[0]!.map((p) => p.loss)).toEqual(Array(8).fill(0));
    const { metric, ...rest } = scan([82, 84, 86], [1, 2, 3]);
    const lower = pricesOf({ ...rest, metric: { ...metric!, higherIsBetter: false } });
    expect(lower[0]!.map((p) => p.loss)).toEqual(Array(8).fill(1));
  });
});

describe('scope: sensitivity', () => {
  it('takes channels where the least is lost for what they save', () => {
    const { model, units, of } = net();
    const scores = Float64Array.from(units, (_, i) => 1 + i);
    // c loses nothing for four of its channels; all else loses something for each
    const prices = familiesOf(units).map(({ units: own }) =>
      own.map((u, i) => ({ beyond: false, loss: of('c1').includes(u) && i < 4 ? 0 : 1, change: 1 })),
    );
    const o = { ...about, scope: 'sensitivity', prices } as const;
    const four = of('c1').slice(0, 4);
    const gone = selectUnits(model, units, scores, { ...o, left: leftOf(model, four) + 1e-9 });
    expect(new Set(gone)).toEqual(new Set(four));
    // At equal losses, channels of a save nine times what those of b do.
    const more = selectUnits(model, units, scores, {
      ...o,
      left: leftOf(model, [...four, ...of('a1').slice(0, 2)]) + 1e-9,
    });
    expect(new Set(more.filter((u) => !four.includes(u)))).toEqual(new Set(of('a1').slice(0, 2)));
  });
});

describe('prune with a scan', () => {
  const run = async (given: object, more: Partial<CompressContext>): Promise<PruneScan[]> => {
    const { model } = net();
    const found = compressions.find((c) => c.name === 'prune')!;
    const scans: PruneScan[] = [];
    async function* feeds(): AsyncGenerator<Feed> {
      const data = Float32Array.from({ length: 2 * 256 }, (_, i) => Math.sin(i * i));
      yield await Promise.resolve({ x: { dtype: 'float32', dims: [2, 4, 8, 8], data } });
    }
    const none = (): undefined => undefined;
    const onScan = (s: PruneScan): void => void scans.push(s);
    await found.run(
      { model, feeds, hasData: true, threads: 1, report: none, onEvent: none, onScan, ...more },
      found.options.parse({ left: { macs: 0.8 }, refit: false, ...given }),
    );
    return scans;
  };
  it('measures nothing unless it is asked to, and once for all steps', async () => {
    expect(await run({}, {})).toEqual([]);
    expect(await run({ scan: true }, { dryRun: true })).toEqual([]);
    const [first, ...more] = await run({ scope: 'sensitivity', steps: 2, scan: { shares: [0.5, 0.75] } }, {});
    expect(more).toEqual([]);
    expect(first).not.toHaveProperty('metric');
    expect(first!.families.map((f) => [f.makers, f.units])).toEqual(
      expect.arrayContaining([
        [['a1'], 8],
        [['b1'], 8],
        [['c1'], 8],
        [['d1'], 10],
      ]),
    );
    for (const { points } of first!.families) {
      expect(points.map((p) => p.share)).toEqual([0.5, 0.75]);
      expect(points[0]!.change).toBeGreaterThan(0);
    }
  });
  it('keeps what each model scores beside the family and the share', async () => {
    const params = async (models: readonly (() => Model)[]): Promise<number[]> =>
      Promise.resolve(models.map((m) => [...m().graph.initializers].reduce((n, v) => n + v.data!.size, 0)));
    const metric = { name: 'parameters', unit: '', higherIsBetter: true };
    const [made] = await run(
      { scan: { shares: [0.5] } },
      { score: async (models) => ({ metric, values: await params(models) }) },
    );
    const whole = 2 * (288 + 32 + 288) + 40 + 30;
    expect(made!.metric).toEqual({ ...metric, whole });
    const of = (maker: string): number => whole - made!.families.find((f) => f.makers[0] === maker)!.points[0]!.value!;
    expect(['a1', 'b1', 'c1', 'd1'].map(of)).toEqual([4 * 72, 4 * 8, 4 * 72, 5 * 7]);
  });
});
