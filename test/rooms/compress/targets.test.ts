/** What prune is asked for: bytes of a file, measured time, several steps; and whole blocks that go. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { depth } from '../../../src/compress/depth.js';
import { prune } from '../../../src/compress/prune.js';
import type { CompressContext } from '../../../src/compress/types.js';
import { Work } from '../../../src/compress/work.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { openModel } from '../../../src/runtime/open.js';

/** Three residual blocks, the second of which adds next to nothing. */
const NET = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,3,16,16] x) => (y)
  <float[16,3,3,3] w0, float[32,16,3,3] a1, float[16,32,3,3] b1, float[32,16,3,3] a2, float[16,32,3,3] b2,
   float[32,16,3,3] a3, float[16,32,3,3] b3, float[16,5] f>
  { c0 = Conv <pads: ints = [1,1,1,1]> (x, w0)  r0 = Relu (c0)
    d1 = Conv <pads: ints = [1,1,1,1]> (r0, a1)  e1 = Relu (d1)  h1 = Conv <pads: ints = [1,1,1,1]> (e1, b1)
    s1 = Add (h1, r0)
    d2 = Conv <pads: ints = [1,1,1,1]> (s1, a2)  e2 = Relu (d2)  h2 = Conv <pads: ints = [1,1,1,1]> (e2, b2)
    s2 = Add (h2, s1)
    d3 = Conv <pads: ints = [1,1,1,1]> (s2, a3)  e3 = Relu (d3)  h3 = Conv <pads: ints = [1,1,1,1]> (e3, b3)
    s3 = Add (h3, s2)  p = GlobalAveragePool (s3)  l = Flatten (p)  y = MatMul (l, f) }`;
function net(): Model {
  const m = parseModel(NET, { randomInitializers: 4 });
  inferShapes(m);
  const b2 = [...m.graph.initializers].find((v) => v.name === 'b2')!;
  b2.data = Tensor.f32(
    b2.data!.f32().map((v) => v / 1e5),
    b2.data!.dims,
  );
  return m;
}
const rng = createRng(3, 'targets');
const FEED: Feed = {
  x: { dtype: 'float32', dims: [4, 3, 16, 16], data: Float32Array.from({ length: 3072 }, () => rng.normal()) },
};
const context = (model: Model, more: Partial<CompressContext> = {}): CompressContext => ({
  ...{ model, hasData: true, threads: 1, report: () => undefined, onEvent: () => undefined },
  feeds: async function* () {
    yield await Promise.resolve(FEED);
  },
  ...more,
});
async function outputsOf(m: Model): Promise<number[]> {
  const session = await openModel(m, { optimization: 'disabled' });
  const y = [...((await session.run(FEED)).y!.data as Float32Array)];
  await session.close();
  return y;
}

describe('prune', () => {
  it('left.size: the file has at most that share of its bytes, and hardly fewer', async () => {
    const m = net();
    const before = encodeModel(m).length;
    await prune.run(context(m), prune.options.parse({ left: { size: 0.5 }, refit: false }));
    const share = encodeModel(m).length / before;
    expect(share).toBeLessThanOrEqual(0.5);
    expect(share).toBeGreaterThan(0.46);
    const tiny = prune.run(context(net()), prune.options.parse({ left: { size: 0.001 } }));
    await expect(tiny).rejects.toMatchObject({ code: 'MODEL_UNSUPPORTED' });
  });
  it('left.latency: so long as was asked for, measured, and how to have it again', async () => {
    const m = net();
    const before = new Work(m).left.macs;
    const timing = (): Promise<{ feed: Feed; threads: number }> => Promise.resolve({ feed: FEED, threads: 1 });
    const line = await prune.run(
      context(m, { timing }),
      prune.options.parse({ left: { latency: 0.75 }, refit: false }),
    );
    const [, ratio, macs] = /· ([\d.]+) × the time measured .*left: \{ macs: ([\d.]+) \}/.exec(line)!;
    expect(Number(ratio)).toBeLessThanOrEqual(0.75);
    expect(new Work(m).left.macs / before).toBeLessThanOrEqual(Number(macs) + 1e-4);
    const again = net();
    await prune.run(context(again), prune.options.parse({ left: { macs: Number(macs) }, refit: false }));
    expect(Math.abs(new Work(again).left.macs - new Work(m).left.macs) / before).toBeLessThan(0.02);
  });
  it('steps: as much goes, bit by bit, and what is left is scored anew', async () => {
    const [one, four] = [net(), net()];
    const before = new Work(one).left.macs;
    const about = { left: { macs: 0.4 }, importance: 'taylor', scope: 'global' } as const;
    await prune.run(context(one), prune.options.parse(about));
    await prune.run(context(four), prune.options.parse({ ...about, steps: 4 }));
    for (const m of [one, four]) {
      expect(new Work(m).left.macs / before).toBeLessThanOrEqual(0.4);
      expect(new Work(m).left.macs / before).toBeGreaterThan(0.35);
    }
    const whole = await outputsOf(net());
    const apart = async (m: Model): Promise<number> =>
      (await outputsOf(m)).reduce((n, v, i) => n + (v - whole[i]!) ** 2, 0) / whole.reduce((n, v) => n + v * v, 0);
    expect(await apart(four)).toBeLessThan(0.2);
  });
});
describe('depth', () => {
  it('leaves the block out without which the outputs change least', async () => {
    const m = net();
    const wanted = await outputsOf(m);
    const line = await depth.run(context(m), depth.options.parse({ left: { blocks: 0.67 } }));
    expect(line).toMatch(/^1 of 3 residual blocks left out \(2, which change the outputs by/);
    expect([...m.graph.initializers].map((v) => v.name)).not.toContain('a2');
    const made = await outputsOf(m);
    made.forEach((v, i) => expect(Math.abs(v - wanted[i]!)).toBeLessThan(0.002 * Math.max(...wanted.map(Math.abs))));
  });
  it('leaves so many out that a share of the work is left, also neighbours', async () => {
    const m = net();
    const before = new Work(m).left.macs;
    await depth.run(context(m), depth.options.parse({ left: { macs: 0.4 }, importance: 'even' }));
    // of 432 and three times 9216 products for each place, 432 and 9216
    expect(new Work(m).left.macs / before).toBeCloseTo((256 * (432 + 9216) + 80) / (256 * (432 + 3 * 9216) + 80), 6);
    expect((await outputsOf(m)).every((v) => Number.isFinite(v))).toBe(true);
  });
  it('says so where there is no block', async () => {
    const m = parseModel('<ir_version: 10, opset_import: ["" : 17]> g (float[2] x) => (y) { y = Relu (x) }');
    await expect(depth.run(context(m), depth.options.parse({ left: { blocks: 0.5 } }))).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
    });
  });
});
