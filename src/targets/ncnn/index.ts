import type { Target } from '../types.js';
import { emit, refuses } from './emit.js';

const WIKI = 'https://github.com/Tencent/ncnn/wiki/quantized-int8-inference';
const SOURCE = 'https://github.com/Tencent/ncnn/tree/master/src/layer';

/** Files are what ncnn's own quantizer writes; numbers are simulated in onnxruntime. */
export const ncnn = {
  name: 'ncnn',
  aliases: ['tencentncnn'],
  doc:
    'ncnn, CPU: int8 convolutions and inner products with symmetric inputs; everything between them is float. ' +
    'Numbers are simulated in onnxruntime.',
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
  zeroPointsBetween: ['Conv', 'Gemm', 'MatMul'],
  bias: 'float',
  fusions: ['Conv Gemm > Relu Clip'],
  // Layers dequantize their results: only what the next one reads becomes codes, src/layer/convolution.cpp.
  integerOps: {
    Conv: { floatOutput: true },
    Gemm: { floatOutput: true },
    MatMul: { floatOutput: true, channelAxes: 2 },
  },
  passthroughOps: ['Relu', 'Clip'],
  floatReads: 'values',
  onCodes: [],
  byteCodes: [],
  ownOps: [],
  quirks: [
    {
      code: 'SYMMETRIC_ONLY',
      text:
        'There are no zero points, and the code −128 is not used. Of tensors between convolutions and inner products ' +
        'they are folded into biases, so that what lies behind a Relu has all codes.',
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
  emitter: { precisions: ['float32', 'float16'], refuses, emit },
  adapter: { kind: 'python', packages: ['ncnn'] },
  usage: [
    {
      language: 'Cpp',
      code: [
        'const std::string param = "{model}";',
        'ncnn::Net net;',
        'net.load_param(param.c_str());',
        'net.load_model((param.substr(0, param.size() - 5) + "bin").c_str());',
        'ncnn::Extractor ex = net.create_extractor();',
        'ex.input(net.input_names()[0], in);  // an ncnn::Mat of width, height, channels',
        'ncnn::Mat out;',
        'ex.extract(net.output_names()[0], out);',
      ],
    },
    {
      language: 'Python',
      code: [
        'import ncnn',
        'net = ncnn.Net()',
        "net.load_param('{model}')",
        "net.load_model('{model}'.replace('.param', '.bin'))",
        'ex = net.create_extractor()',
        'ex.input(net.input_names()[0], ncnn.Mat(sample).clone())  # float32 [channels, height, width]',
        'result, out = ex.extract(net.output_names()[0])',
      ],
    },
  ],
} satisfies Target;
