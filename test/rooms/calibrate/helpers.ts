import type { Batch } from '../../../src/data/batch.js';
import { batches } from '../../../src/data/batch.js';
import type { Sample } from '../../../src/ir/feed.js';
import { Graph, Value, type Shape } from '../../../src/ir/graph.js';
import { createModel, type Model } from '../../../src/ir/model.js';
import { GraphBuilder } from '../../../src/rewrite/builder.js';
import type { QuantScheme } from '../../../src/scheme/types.js';

export const uint8: QuantScheme = { dtype: 'uint8', symmetric: false, granularity: { kind: 'tensor' } };
export const int8: QuantScheme = { dtype: 'int8', symmetric: true, granularity: { kind: 'tensor' } };

/** A model with one float input `x` of the given shape, and what `build` makes of it as outputs. */
export function modelOf(
  shape: Shape | undefined,
  build: (b: GraphBuilder, x: Value) => readonly Value[],
  opset = 17,
): Model {
  const model = createModel(new Graph(), opset);
  const x = model.graph.addInput(new Value('x'));
  x.dtype = 'float32';
  x.shape = shape;
  for (const v of build(new GraphBuilder(model), x)) model.graph.addOutput(v);
  return model;
}

export const sample = (id: string, data: Float32Array, dims: readonly number[]): Sample => ({
  id,
  hash: id,
  feeds: [{ x: { dtype: 'float32', dims: [1, ...dims], data } }],
});

/** Batches of samples for a model, as the data room stacks them. */
export const batched =
  (samples: readonly Sample[], model: Model, size: number): (() => AsyncIterable<Batch>) =>
  () =>
    batches(samples, {
      size,
      inputs: model.graph.inputs.filter((v) => !v.data).map((v) => ({ name: v.name, dtype: v.dtype, shape: v.shape })),
    });
