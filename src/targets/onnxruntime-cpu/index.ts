import type { Target } from '../types.js';

export const onnxruntimeCpu = {
  name: 'onnxruntime-cpu',
  aliases: ['cpu', 'onnxruntime', 'ort'],
  doc: 'ONNX Runtime, CPU execution provider (x64 and ARM64).',
  source:
    'https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html; kernels checked against ' +
    'the optimized graph of 1.30',
  formats: ['qdq', 'qoperator', 'dynamic', 'coded', 'weight-only', 'float16'],
  maxOpset: 25,
  defaults: {
    activations: { dtype: 'uint8', symmetric: false },
    weights: { dtype: 'int8', symmetric: true },
    weightGranularity: 'channel',
  },
  u8s8: 'pairs',
  host: 'here',
  hardware: 'x64 (AVX2, AVX-512, VNNI) and ARM64 CPUs',
  artefact: 'onnx',
  adapter: { kind: 'npm', packages: ['onnxruntime-node'] },
  usage: [
    {
      language: 'JavaScript',
      code: [
        'import * as ort from "onnxruntime-node";',
        "const session = await ort.InferenceSession.create('{model}');",
        'const outputs = await session.run({ [session.inputNames[0]]: tensor });',
      ],
    },
    {
      language: 'Python',
      code: [
        'import onnxruntime as ort',
        "session = ort.InferenceSession('{model}')",
        'outputs = session.run(None, {session.get_inputs()[0].name: x})',
      ],
    },
  ],
  ports: {
    activation: { types: ['uint8', 'int8'], granularity: ['tensor'] },
    weight: { types: ['int8', 'uint8'], granularity: ['tensor', 'axis'] },
  },
  beyondPorts: 'float',
  bias: 'int32',
  fusions: ['* > Relu Clip'],
  // QLinearMatMul takes scales of [columns] only for weights of two axes ("weight zero point must be a scalar …").
  integerOps: {
    Conv: {},
    Gemm: { floatOutput: true },
    MatMul: { floatOutput: true, channelAxes: 2 },
    Add: {},
    Mul: {},
    Concat: {},
    AveragePool: {},
    GlobalAveragePool: {},
    LeakyRelu: {},
    Sigmoid: {},
    Tanh: {},
    Softmax: {},
    Where: {},
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
  onCodes: ['Pad', 'Clip', 'Relu', 'Expand', 'Tile', 'DepthToSpace', 'SpaceToDepth', 'Slice'],
  quantizesFloat: ['Conv', 'ConvTranspose', 'Gemm'],
  // "Could not find an implementation" for uint16 and int16 in 1.30, opsets 13 to 23.
  byteCodes: ['Pad', 'Clip', 'Relu', 'DepthToSpace', 'SpaceToDepth', 'MaxPool', 'Resize', 'Upsample'],
  ownOps: [
    {
      op: 'com.microsoft:FusedConv',
      source: 'https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedConv',
    },
    {
      op: 'com.microsoft:MatMulNBits',
      source: 'https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits',
    },
    {
      op: 'com.microsoft:GatherBlockQuantized',
      source:
        'https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GatherBlockQuantized',
    },
    {
      op: 'com.microsoft:GroupQueryAttention',
      source:
        'https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention',
    },
  ],
  quirks: [
    {
      code: 'SIGNED_ACTIVATIONS',
      when: { plans: ['static'], activations: ['int8'] },
      text:
        'On x64, int8 activations run slower than float: part of the model stays in float, and where integer ' +
        'kernels are forced they are the slow ones. uint8 with symmetric: true holds the same values and runs ' +
        'fast.',
      source: 'https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html',
    },
    {
      code: 'U8S8_SATURATION',
      text:
        'x64 CPUs with AVX2 or AVX-512 but without VNNI add two products in saturating int16; adjacent large ' +
        'weights of one sign can saturate. Weights are chosen so that they cannot (quantize.weights.saturation).',
      source:
        'https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8',
    },
    {
      code: 'NO_INTEGER_KERNEL',
      when: { plans: ['static'], beyondPorts: true },
      text:
        'There are no integer kernels for 16-bit or per-channel activations, or for weights of types other than ' +
        'int8 and uint8 with one scale per tensor or channel: the values are exact, but such ops run in float. ' +
        'Weights of { dtype: int8, bits: 4 } (or 2 to 6) take as little in the file and run in the 8-bit kernels.',
      source: 'https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html',
    },
    {
      code: 'WEIGHTS_DEQUANTIZED',
      when: { dequantized: {} },
      text:
        'Convolutions, and products or tables whose blocks no kernel takes, turn their weights back into float32 ' +
        'in every run: the file is smaller, but such operators are slower than in float. Blocks of a power of ' +
        'two from 16 to 256 have kernels for products and tables.',
      source: 'https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits',
    },
    {
      code: 'DEQUANTIZED_PRODUCT_FUSED',
      when: { dequantized: { ops: ['MatMul', 'Gemm'], types: ['int4', 'uint4', 'int8', 'uint8'], inputsFirst: true } },
      text:
        'onnxruntime turns DequantizeLinear and MatMul, or Gemm without transB, of 4-bit and 8-bit weights into ' +
        'MatMulNBits with 8-bit inputs (accuracy level 4) of its own accord, so that outputs are exact ' +
        'to about 44 dB ' +
        'and no more; what is measured here has that in it. The session option ' +
        'session.qdq_matmulnbits_accuracy_level = 1 keeps float32.',
      source:
        'https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/session/onnxruntime_session_options_config_keys.h',
    },
    {
      code: 'BATCHED_WEIGHTS',
      when: { plans: ['static'], batchedChannels: true },
      text:
        'Products whose weight has three axes or more run in integers only with one scale for the whole weight: ' +
        'it is written so.',
      source: 'https://github.com/microsoft/onnxruntime/issues/25489',
    },
    {
      code: 'CONVINTEGER_SLOW',
      when: { plans: ['dynamic'], integerOps: ['Conv'] },
      text: 'Dynamic quantization of Conv gives ConvInteger, which is slower than float on CPUs.',
      source: 'https://github.com/microsoft/onnxruntime/issues/12854',
    },
  ],
} satisfies Target;
