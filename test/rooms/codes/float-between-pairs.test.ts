/** Between pairs, onnxruntime quantizes float weights too, to 8 bits a tensor: not where layers are measured. */
import { expect, it } from 'vitest';
import { layerShape } from '../../../src/channels/layer.js';
import { Frontier } from '../../../src/codes/frontier.js';
import { measureInputs } from '../../../src/codes/measure.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed } from '../../../src/ir/feed.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { roundHalfEven } from '../../../src/scheme/rounding.js';
import type { QuantParams, QuantPoint } from '../../../src/scheme/types.js';
import { normalFeeds, outputsOf } from '../fed.js';

const HEAD = '<ir_version: 10, opset_import: ["" : 17]> g (float[N,3,6,6] x) => (y)';
const NET = `${HEAD} <float[8,3,3,3] wa, float[8] ba, float[4,8,1,1] wb, float[4] bb>
  { a = Conv (x, wa, ba)  r = Relu (a)  y = Conv (r, wb, bb) }`;
const FIRST = `${HEAD} <float[8,3,3,3] wa, float[8] ba> { a = Conv (x, wa, ba)  y = Relu (a) }`;
const STEP = { x: 0.03, r: 0.001 };

it('a layer is given what the float weights before it make of quantized inputs', async () => {
  const model = parseModel(NET, { randomInitializers: 5 });
  inferShapes(model);
  const weights = [...model.graph.initializers].find((v) => v.name === 'wa')!;
  const small = weights.data!.f32().map((w, i) => (i < 27 ? w : w / 500)); // nothing in 8 bits of the largest
  weights.data = Tensor.f32(small, weights.data!.dims);
  [...model.graph.initializers].find((v) => v.name === 'ba')!.data = Tensor.f32(new Float32Array(8), [8]);
  const point = (name: string): QuantPoint =>
    [...model.graph.inputs, ...[...model.graph.nodes].flatMap((n) => n.outputs)].find((v) => v.name === name)!;
  const params = (scale: number, zeroPoint: number): QuantParams => ({
    scheme: { dtype: 'uint8', symmetric: false, granularity: { kind: 'tensor' } },
    scale: Float32Array.of(scale),
    zeroPoint: Int32Array.of(zeroPoint),
  });
  const feeds = normalFeeds(2, [4, 3, 6, 6], 'pairs').map((f): Feed => {
    const data = (f.x!.data as Float32Array).map((v) => Math.fround(roundHalfEven(v / STEP.x) * Math.fround(STEP.x)));
    return { x: { ...f.x!, data } };
  });
  const nodes = [...model.graph.nodes];
  const reference = cloneModel(model);
  const layer = layerShape(nodes[2]!)!;
  const [sums] = await measureInputs({
    model,
    reference: { model: reference.model, nodes: reference.nodes },
    activations: new Map([
      [point('x'), params(STEP.x, 128)],
      [point('r'), params(STEP.r, 0)],
    ]),
    layers: [layer],
    frontier: new Frontier(async function* () {
      for (const f of feeds) yield await Promise.resolve(f);
    }),
    samples: 8,
    cross: false,
    threads: 1,
  });
  const first = parseModel(FIRST, { randomInitializers: 1 });
  for (const v of first.graph.initializers) v.data = [...model.graph.initializers].find((w) => w.name === v.name)!.data;
  const made = await outputsOf(first, feeds);
  const wanted = Array<number>(8).fill(0);
  made.forEach((v, i) => {
    wanted[Math.floor(i / 16) % 8]! += Math.fround(STEP.r) * Math.min(255, roundHalfEven(v / Math.fround(STEP.r)));
  });
  sums![0]!.sums.forEach((v, c) => {
    expect(v).toBeGreaterThan(0);
    expect(v / wanted[c]!).toBeCloseTo(1, 3);
  });
});
