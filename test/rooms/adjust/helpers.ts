/** Small models for adjustments, samples for them, and what they compute. */
import { createRng } from '../../../src/base/rng.js';
import { batches, type Batch } from '../../../src/data/batch.js';
import type { Feed, Sample } from '../../../src/ir/feed.js';
import type { AdjustContext, LayerSchemes } from '../../../src/adjust/types.js';
import type { Node } from '../../../src/ir/graph.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { inputInfo } from '../../../src/pipeline/inputs.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { openModel } from '../../../src/runtime/open.js';

/** What static int8 does with every layer: uint8 inputs, int8 weights with one scale per output channel. */
export const int8Schemes = (n: Node): LayerSchemes => ({
  activations: { dtype: 'uint8', symmetric: false, granularity: { kind: 'tensor' } },
  weights: { dtype: 'int8', symmetric: true, granularity: { kind: 'axis', axis: n.op === 'MatMul' ? 1 : 0 } },
});

export function readModel(body: string, opset = 17): Model {
  const model = parseModel(`<ir_version: 8, opset_import: ["" : ${opset}]>\n${body}`, { randomInitializers: 3 });
  inferShapes(model);
  return model;
}
export async function outputsOf(
  model: Model,
  feed: Feed = randomFeed(inputInfo(model), 5, 2),
): Promise<Float32Array[]> {
  const session = await openModel(model);
  try {
    const out = await session.run(feed);
    return model.graph.outputs.map((v) => out[v.name]!.data as Float32Array);
  } finally {
    await session.close();
  } // the fixtures give float32
}
/** Relative to the largest value. */
export const largestDifference = (a: readonly Float32Array[], b: readonly Float32Array[]): number =>
  Math.max(
    ...a.map(
      (x, i) => x.reduce((m, v, j) => Math.max(m, Math.abs(v - b[i]![j]!)), 0) / Math.max(1e-9, ...x.map(Math.abs)),
    ),
  );

/** Of adjustments that quantize as static int8 does and read as many samples. */
export const contextOf = (model: Model, samples: number): AdjustContext => ({
  model,
  batches: () => batchesOf(model, samples),
  moments: new Map(),
  schemesOf: int8Schemes,
  threads: 1,
  report: () => undefined,
  onEvent: () => undefined,
});

export function batchesOf(model: Model, samples: number): AsyncIterable<Batch> {
  const inputs = inputInfo(model);
  const seeds = createRng(11);
  const list: Sample[] = Array.from({ length: samples }, (_, i) => ({
    id: `${i}`,
    hash: `${i}`,
    feeds: [randomFeed(inputs, seeds.int(1e6), 1)],
  }));
  return batches(list, { size: 4, inputs });
}
