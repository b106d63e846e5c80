import type { Target } from '../types.js';

const WIKI = 'https://github.com/Tencent/ncnn/wiki/quantized-int8-inference';
const SOURCE = 'https://github.com/Tencent/ncnn/tree/master/src/layer';

/** Files are what ncnn's own quantizer writes; numbers are simulated in onnxruntime. */
export const ncnn = {
  name: 'ncnn',
  aliases: ['tencentncnn'],
  doc:
    'ncnn, CPU: int8 convolutions and inner products with symmetric inputs; everything between them is float. Numbers ' +
    'are simulated in onnxruntime.',
  source: WIKI,
  host: 'simulated',
  hardware: 'ARM and x64 CPUs, RISC-V, LoongArch',
  artefact: 'files',
  formats: ['qdq', 'float16'],
  maxOpset: 22,
  // Codes are rounded away from zero and cut to −127..127: src/layer/quantize.cpp, float2int8.
  defaults: {
    activations: { dtype: 'int8', symmetric: true, narrow: true },
    weights: { dtype: 'int8', symmetric: true, narrow: true },
    weightGranularity: 'channel',
  },
  // Products are added in int32 (x86: pmaddwd of int16), src/layer/x86/convolution_3x3_int8.h and others.
  u8s8: 'exact',
  ports: {
    activation: { types: ['int8'], symmetric: true, narrow: true, granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, narrow: true, granularity: ['tensor', 'axis'] },
  },
  beyondPorts: 'refused',
  bias: 'float',
  fusions: ['Conv Gemm > Relu Clip'],
  // Layers dequantize their results: only what the next one reads becomes codes, src/layer/convolution.cpp.
  integerOps: { Conv: { floatOutput: true }, Gemm: { floatOutput: true }, MatMul: { floatOutput: true, channelAxes: 2 } },
  passthroughOps: ['Relu', 'Clip'],
  onCodes: [],
  byteCodes: [],
  ownOps: [],
  quirks: [
    {
      code: 'SYMMETRIC_ONLY',
      text: 'There are no zero points, and the code −128 is not used.',
      source: WIKI,
    },
    {
      code: 'NO_BATCH_AXIS',
      text: 'A tensor has no batch axis: files are for one sample, and a program gives samples one after the other.',
      source: 'https://github.com/Tencent/ncnn/wiki/element-packing',
    },
    {
      code: 'INT8_STAYS_ON',
      text: 'A file with int8 weights needs opt.use_int8_inference (the default): without it, weights are misread.',
      source: SOURCE,
    },
  ],
} satisfies Target;
