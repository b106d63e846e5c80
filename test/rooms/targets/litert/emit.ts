/** Models of cases.ts as .tflite, and what they should give. */
import type { Feed } from '../../../../src/ir/feed.js';
import type { Value } from '../../../../src/ir/graph.js';
import type { Model } from '../../../../src/ir/model.js';
import { Tensor } from '../../../../src/ir/tensor.js';
import { GraphBuilder } from '../../../../src/rewrite/builder.js';
import { parseModel } from '../../../../src/ir/text/parse.js';
import { inferShapes } from '../../../../src/ops/infer.js';
import { fedInputs } from '../../../../src/pipeline/inputs.js';
import { randomFeed } from '../../../../src/pipeline/feeds.js';
import { qdq } from '../../../../src/formats/qdq.js';
import { writeModel } from '../../../../src/formats/write.js';
import { planDynamic } from '../../../../src/quantize/planners/dynamic.js';
import { planQuantization } from '../../../../src/quantize/planners/static.js';
import type { QuantizedGraph } from '../../../../src/scheme/quantized.js';
import { litert } from '../../../../src/targets/litert/index.js';
import type { EmitInput, Precision } from '../../../../src/targets/types.js';
import { anyParams } from '../../../models/any-params.js';

const NOTHING: QuantizedGraph['planned'] = {
  plan: new Map(),
  integerNodes: new Set(),
  weightOnlyNodes: new Set(),
  fusedClamps: new Map(),
  floatNodes: new Map(),
};
export const parsed = (graph: string, opset = 17): Model => {
  const model = parseModel(`<ir_version: 10, opset_import: ["" : ${opset}]>\n${graph}`, { randomInitializers: 1 });
  inferShapes(model);
  return model;
};
export const feedOf = (model: Model): Feed => randomFeed(fedInputs(model), 3, 1);

const input = (graph: QuantizedGraph, onnx: Model, precision: Precision): EmitInput => ({
  graph,
  onnx,
  precision,
  example: feedOf(graph.model),
  samples: async function* () {
    // no converter of its own
  },
  latency: new Map(),
  name: 'case',
});

/** A float model as it is. */
export const floating = (model: Model, precision: Precision = 'float32'): EmitInput =>
  input({ model, planned: NOTHING, params: new Map(), seed: 0 }, model, precision);

/**
 * Puts a product by the unit matrix before each input and behind each output: what stands between them works on codes,
 * which planning gives to no operator that stands alone.
 */
export function betweenProducts(model: Model): Model {
  const b = new GraphBuilder(model);
  const { graph } = model;
  const product = (v: Value): Value => {
    const size = Number(v.shape?.at(-1));
    const unit = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
    return b.op('MatMul', [v, b.constant(Tensor.f32(unit, [size, size]), 'unit')], { name: `${v.name}_product` });
  };
  const isFloat = (v: Value): boolean => v.dtype === 'float32' && (v.shape?.length ?? 0) > 1;
  for (const v of graph.inputs.filter((i) => !i.data && isFloat(i))) {
    const readers = [...v.uses];
    const made = product(v);
    for (const u of readers) u.node.setInput(u.index, made);
  }
  graph.outputs.forEach((v, i) => {
    if (isFloat(v)) graph.setOutput(i, product(v));
  });
  return model;
}

const channelwise = { ...litert.defaults.weights, granularity: 'channel', observer: 'minmax' } as const;
const tensorwise = { granularity: { kind: 'tensor' }, observer: 'minmax', perChannel: false } as const;
/** A model planned for LiteRT with ranges of −4 to 4, and the ONNX model of the same codes. */
export function quantized(model: Model): EmitInput {
  const planned = planQuantization(model, {
    activations: { ...litert.defaults.activations, ...tensorwise },
    weights: channelwise,
    include: [],
    exclude: [],
    target: litert,
  });
  const graph = { model, planned, params: anyParams(planned), seed: 0 };
  return input(graph, writeModel(qdq, graph, litert).model, 'float32');
}

/**
 * A model whose products read floats beside weights in codes: quantized as they come, or turned back where `stored`.
 * Compare with the float model: kernels choose the scales of what comes.
 */
export function dynamic(model: Model, stored = false): EmitInput {
  const weightOnly = stored ? [...new Set([...model.graph.nodes].map((n) => n.op))].map((opType) => ({ opType })) : [];
  const o = { weights: channelwise, include: [], exclude: [], conv: true, embeddings: true, weightOnly };
  const planned = planDynamic(model, o);
  return input({ model, planned, params: anyParams(planned), seed: 0 }, model, 'float32');
}
