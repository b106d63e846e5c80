import type { Target } from '../types.js';
import { emitter } from './emitter.js';
import { usage } from './usage.js';

const SPEC = 'https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec';
const KERNELS = 'https://github.com/google-ai-edge/LiteRT/tree/main/tflite/kernels';

export const litert = {
  name: 'litert',
  aliases: ['tflite', 'tensorflowlite'],
  doc:
    'LiteRT (TensorFlow Lite): a .tflite file with int8 activations and weights, channels last. Numbers are ' +
    'simulated in onnxruntime.',
  source: SPEC,
  host: 'simulated',
  hardware: 'Android and iOS phones, ARM64 and x64 CPUs (XNNPACK)',
  artefact: 'files',
  formats: ['qdq', 'dynamic', 'weight-only', 'float16'],
  maxOpset: 25,
  defaults: {
    activations: { dtype: 'int8', symmetric: false },
    weights: { dtype: 'int8', symmetric: true, narrow: true },
    weightGranularity: 'channel',
  },
  u8s8: 'exact',
  ports: {
    activation: { types: ['int8'], granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, granularity: ['tensor', 'axis'] },
  },
  beyondPorts: 'refused',
  bias: 'int32',
  // An average is written with a scale of its own, as MEAN or as a convolution by ones.
  sameScale: ['Concat'],
  fixedOutputs: {
    Softmax: [{ dtype: 'int8', scale: 1 / 256, zeroPoint: -128 }],
    Sigmoid: [{ dtype: 'int8', scale: 1 / 256, zeroPoint: -128 }],
    Tanh: [{ dtype: 'int8', scale: 1 / 128, zeroPoint: 0 }],
  },
  // What has fused_activation_function in the schema, or takes its limits as an operator on codes.
  fusions: ['Conv ConvTranspose Gemm MatMul Add Mul AveragePool > Relu Clip'],
  // FULLY_CONNECTED has scales for each output; BATCH_MATMUL has one for each operand.
  integerOps: {
    Conv: {},
    ConvTranspose: {},
    Gemm: {},
    MatMul: { channelAxes: 2, floatOutput: true },
    Add: {},
    Mul: {},
    Concat: {},
    AveragePool: {},
    GlobalAveragePool: {},
    LeakyRelu: {},
    Sigmoid: {},
    Tanh: {},
    Softmax: {},
  },
  passthroughOps: [
    'MaxPool',
    'Reshape',
    'Flatten',
    'Transpose',
    'Squeeze',
    'Unsqueeze',
    'Slice',
    'Gather',
    'Split',
    'Pad',
    'Expand',
    'Tile',
    'Resize',
    'Upsample',
    'DepthToSpace',
    'SpaceToDepth',
    'Relu',
    'Clip',
  ],
  onCodes: [],
  byteCodes: [],
  ownOps: [],
  quirks: [
    {
      code: 'CHANNELS_LAST',
      text:
        'Kernels take images with channels last. As soon as a model works on images, its inputs and outputs of four ' +
        'axes are [batch, height, width, channels] in the .tflite file.',
      source: 'https://ai.google.dev/edge/litert/conversion/pytorch/overview',
    },
    {
      code: 'FIXED_SIZES',
      text:
        'Sizes are those of the first calibration sample, with one sample in a batch: sentences of other lengths ' +
        'need a file of their own, or padding.',
      source: KERNELS,
    },
    {
      code: 'ROWS_AS_THEY_COME',
      when: { plans: ['static'], integerOps: ['MatMul'] },
      text:
        'A MatMul whose result is needed as numbers is written with weights in codes and a float input, which the ' +
        'kernel quantizes row by row as it comes: finer than the scale that is simulated. Products of two ' +
        'activations run in float there.',
      source: `${KERNELS}/fully_connected.cc`,
    },
    {
      code: 'COMPOSED_IN_FLOAT',
      text:
        'Normalisations, Erf, Softplus and their like have no kernel: they are composed of float operators, with ' +
        'QUANTIZE and DEQUANTIZE around them.',
      source: KERNELS,
    },
    {
      code: 'PLACES_FROM_ZERO',
      text: 'GATHER takes places from 0: those that an input brings must not count from the end.',
      source: `${KERNELS}/gather.cc`,
    },
  ],
  adapter: { kind: 'python', packages: ['ai-edge-litert'] },
  emitter,
  usage,
} satisfies Target;
