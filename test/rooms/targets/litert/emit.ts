/** Models of cases.ts as .tflite, and what they should give. */
import type { Feed } from '../../../../src/ir/feed.js';
import type { Model } from '../../../../src/ir/model.js';
import { parseModel } from '../../../../src/ir/text/parse.js';
import { inferShapes } from '../../../../src/ops/infer.js';
import { fedInputs } from '../../../../src/pipeline/calibration.js';
import { randomFeed } from '../../../../src/pipeline/feeds.js';
import { qdq } from '../../../../src/formats/qdq.js';
import { writeModel } from '../../../../src/formats/write.js';
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

const tensorwise = { granularity: { kind: 'tensor' }, observer: 'minmax', perChannel: false } as const;
/** A model planned for LiteRT with ranges of −4 to 4, and the ONNX model of the same codes. */
export function quantized(model: Model): EmitInput {
  const planned = planQuantization(model, {
    activations: { ...litert.defaults.activations, ...tensorwise },
    weights: { ...litert.defaults.weights, granularity: 'channel', observer: 'minmax' },
    include: [],
    exclude: [],
    target: litert,
  });
  const graph = { model, planned, params: anyParams(planned), seed: 0 };
  return input(graph, writeModel(qdq, graph, litert).model, 'float32');
}
