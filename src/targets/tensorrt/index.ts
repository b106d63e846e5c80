import type { Target } from '../types.js';

const SOURCE = 'https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-quantized-types.html';
const PARSER = 'https://github.com/onnx/onnx-tensorrt/blob/main/docs/operators.md';

/** A draft, written from what NVIDIA documents: no model was tried in TensorRT. */
export const tensorrt = {
  name: 'tensorrt',
  aliases: ['trt'],
  doc:
    'NVIDIA TensorRT, explicit quantization (draft: written from its documentation, tried in no TensorRT). Numbers are ' +
    'simulated in onnxruntime.',
  source: SOURCE,
  host: 'simulated',
  hardware: 'NVIDIA GPUs',
  artefact: 'onnx',
  formats: ['qdq', 'float16'],
  maxOpset: 22,
  defaults: {
    activations: { dtype: 'int8', symmetric: true },
    weights: { dtype: 'int8', symmetric: true },
    weightGranularity: 'channel',
  },
  u8s8: 'exact',
  // The parser rejects uint8 and zero points other than 0; scales by axis are for weights only.
  ports: {
    activation: { types: ['int8'], symmetric: true, granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, granularity: ['tensor', 'axis'] },
  },
  beyondPorts: 'refused',
  // Biases stay in float: DequantizeLinear takes no int32.
  bias: 'float',
  fusions: ['* > Relu'],
  integerOps: {
    Conv: {},
    Gemm: { floatOutput: true },
    MatMul: { floatOutput: true, channelAxes: 2 },
    Add: {},
    AveragePool: {},
    GlobalAveragePool: {},
  },
  passthroughOps: ['MaxPool', 'Reshape', 'Flatten', 'Transpose', 'Squeeze', 'Unsqueeze', 'Slice', 'Split', 'Relu'],
  onCodes: [],
  byteCodes: [],
  ownOps: [],
  quirks: [
    {
      code: 'SYMMETRIC_ONLY',
      text: 'Zero points must be 0 and codes int8: the parser refuses models with others.',
      source: PARSER,
    },
  ],
} satisfies Target;
