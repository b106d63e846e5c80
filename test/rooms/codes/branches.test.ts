/** Walks through the layers of models with parallel branches, whose weights change on the way. */
import { describe, expect, it } from 'vitest';
import { familiesOf } from '../../../src/channels/families.js';
import { layerShape, type LayerShape } from '../../../src/channels/layer.js';
import { channelUnits, removeChannels } from '../../../src/channels/removal.js';
import { Frontier } from '../../../src/codes/frontier.js';
import { measureInputs, stepsOf, type InputSums } from '../../../src/codes/measure.js';
import { refit } from '../../../src/compress/refit.js';
import { measureInputs as measureSparse, stepsOf as sparseSteps } from '../../../src/compress/sparsity/inputs.js';
import { sparseLayers } from '../../../src/compress/sparsity/layers.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Value } from '../../../src/ir/graph.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { forgetInferred, inferShapes } from '../../../src/ops/infer.js';
import { removeUnusedInitializers } from '../../../src/rewrite/pass.js';
import { apart, normalFeeds, outputsOf } from '../fed.js';

/** `c` comes after both branches, `d` after one of them alone, and the output after all. */
const NET = `<ir_version: 10, opset_import: ["" : 17]> g (float[N,3,6,6] x) => (y)
  <float[8,3,3,3] ws, float[8] bs, float[6,8,3,3] wa, float[6] ba, float[6,8,1,1] wb, float[6] bb,
   float[5,6,3,3] wc, float[5] bc, float[5,6,1,1] wd, float[5] bd, float[7,10,1,1] wf, float[7] bf>
  { s = Conv <pads: ints = [1,1,1,1]> (x, ws, bs)  r = Relu (s)
    a = Conv <pads: ints = [1,1,1,1]> (r, wa, ba)  ra = Relu (a)  b = Conv (r, wb, bb)  rb = Relu (b)  j = Add (ra, rb)
    c = Conv <pads: ints = [1,1,1,1]> (j, wc, bc)  rc = Relu (c)  d = Conv (rb, wd, bd)  rd = Relu (d)
    k = Concat <axis: int = 1> (rc, rd)  y = Conv (k, wf, bf) }`;
function net(): Model {
  const m = parseModel(NET, { randomInitializers: 5 });
  inferShapes(m);
  return m;
}
const FEEDS = normalFeeds(3, [4, 3, 6, 6], 'branches');
async function* feeds(): AsyncGenerator<Feed> {
  for (const f of FEEDS) yield await Promise.resolve(f);
}
const run = (m: Model): Promise<number[]> => outputsOf(m, FEEDS);
const near = (a: Float64Array, b: Float64Array): void => {
  expect(a).toHaveLength(b.length);
  const most = Math.max(...b.map(Math.abs));
  a.forEach((v, i) => expect(v / most).toBeCloseTo(b[i]! / most, 6));
};
/** Every third weight goes, so that what comes later differs. */
const thin = (v: Value): void => {
  v.data = Tensor.f32(
    v.data!.f32().map((w, i) => (i % 3 ? w : 0)),
    v.data!.dims,
  );
};
/** Starts a pass at the inputs of the model. */
const fromTheStart = (): Frontier => new Frontier(feeds);

describe('layers of parallel branches', () => {
  it('are measured, one after the other, as from the inputs of the model on', async () => {
    const model = net();
    const reference = cloneModel(net());
    const byName = new Map([...reference.model.graph.nodes].map((n) => [n.outputs[0]!.name, n]));
    const nodes = new Map([...model.graph.nodes].map((n) => [n, byName.get(n.outputs[0]!.name)!]));
    const order = model.graph.topological();
    const shapes = new Map(order.flatMap((n) => (layerShape(n) ? [[n, layerShape(n)!] as const] : [])));
    const steps = stepsOf(order, shapes);
    const named = steps.map((s) => s.map((l) => l.weight.name));
    expect(named).toEqual([['ws'], ['wa', 'wb'], ['wc'], ['wd'], ['wf']]);
    const frontier = new Frontier(feeds);
    const about = { model, reference: { model: reference.model, nodes }, activations: new Map() };
    const measured = async (layers: readonly LayerShape[], from: Frontier): Promise<InputSums[]> =>
      (await measureInputs({ ...about, layers, frontier: from, samples: 12, cross: true, threads: 1 })).flat();
    for (const layers of steps) {
      const [own, whole] = [await measured(layers, frontier), await measured(layers, fromTheStart())];
      for (const [i, s] of own.entries()) {
        expect([s.places, s.outputs]).toEqual([whole[i]!.places, whole[i]!.outputs]);
        for (const key of ['products', 'cross', 'sums', 'output', 'outputSquares'] as const)
          near(s[key], whole[i]![key]);
      }
      for (const l of layers) thin(l.weight);
    }
    expect(frontier.names).toContain('k'); // it went along
    expect(frontier.names).not.toContain('x');
  });

  it('are made sparse on what the others, already sparse, really give', async () => {
    const model = net();
    const frontier = new Frontier(feeds);
    for (const layers of sparseSteps(sparseLayers(model))) {
      const about = { model, layers, what: 'products', threads: 1 } as const;
      const own = await measureSparse({ ...about, frontier });
      const whole = await measureSparse({ ...about, frontier: fromTheStart() });
      own.products.forEach((p, g) => {
        near(p, whole.products[g]!);
      });
      near(own.means, whole.means);
      for (const l of layers) thin(l.weight);
    }
    expect(frontier.names).toContain('k');
  });

  it('make up for a channel that is gone before they part', async () => {
    const whole = net();
    const wanted = await run(whole);
    const { model } = cloneModel(whole);
    inferShapes(model);
    const stem = familiesOf(channelUnits(model)).find((f) => f.makers.some((v) => v.name === 'ws'))!;
    const units = stem.units.slice(0, 2);
    const gone = units.flatMap((u) => u.places);
    removeChannels(model, units);
    removeUnusedInitializers(model.graph);
    forgetInferred(model);
    inferShapes(model);
    const before = apart(wanted, await run(model));
    await refit({ model, reference: whole, gone, feeds, damping: 1e-6, threads: 1 });
    expect(apart(wanted, await run(model))).toBeLessThan(0.5 * before);
  });
});
