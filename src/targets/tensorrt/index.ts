import type { Target } from '../types.js';
import { emitter } from './emit.js';

const SOURCE = 'https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-quantized-types.html';
const PARSER = 'https://github.com/onnx/onnx-tensorrt/blob/release/10.1-GA/onnxOpImporters.cpp';

/** Written from what NVIDIA documents and what the source of its ONNX parser checks: no model was tried in TensorRT. */
export const tensorrt = {
  name: 'tensorrt',
  aliases: ['trt'],
  doc:
    'NVIDIA TensorRT 10 and 11, explicit quantization by Q/DQ pairs (written from its documentation ' +
    'and the source of its ' +
    'parser, tried in no TensorRT). Numbers are simulated in onnxruntime.',
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
  // No pair between a convolution and the sum of a residual: the other operand has one, and both run as one kernel.
  fusedSums: ['Conv > Add'],
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
  emitter,
  usage: [
    { language: 'Shell', code: ['trtexec --onnx={model} --saveEngine=model.plan --stronglyTyped'] },
    {
      language: 'Python',
      code: [
        'import tensorrt as trt',
        'logger = trt.Logger()',
        'builder = trt.Builder(logger)',
        'network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))',
        "trt.OnnxParser(network, logger).parse_from_file('{model}')",
        'plan = builder.build_serialized_network(network, builder.create_builder_config())',
      ],
    },
  ],
  quirks: [
    {
      code: 'SYMMETRIC_ONLY',
      text: 'Zero points must be 0 and codes int8: the parser refuses models with others.',
      source: PARSER,
      rules: ['zero-points', 'code-types', 'scale-values', 'scale-axes'],
    },
    {
      code: 'FLOAT_BIASES',
      text: 'DequantizeLinear takes int8, int4 and float8 only: biases stay float.',
      source: PARSER,
      rules: ['biases', 'on-codes', 'foreign-operators'],
    },
    {
      code: 'EXPLICIT_ONLY',
      text: 'TensorRT 11 has no calibrators: Q/DQ pairs are the only way in. Up to 10 a calibration cache works too.',
      source: 'https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration-guide.html',
    },
    {
      code: 'PLANS_BY_GPU',
      text: 'A plan is for one compute capability and one version: build it on the machine that it will run on.',
      source: SOURCE,
    },
  ],
} satisfies Target;
