import { onnxruntimeCpu } from '../onnxruntime-cpu/index.js';
import type { Target } from '../types.js';

const SOURCE =
  'https://docs.openvino.ai/2025/documentation/openvino-extensibility/openvino-plugin-library/advanced-guides/low-precision-transformations.html';

/** Low precision transformations read Q/DQ pairs as FakeQuantize; placement is that of ONNX Runtime. */
export const openvino = {
  ...onnxruntimeCpu,
  name: 'openvino',
  aliases: ['ov', 'intel'],
  doc: 'OpenVINO, CPU plug-in. It reads ONNX with Q/DQ pairs; numbers are simulated in onnxruntime.',
  source: SOURCE,
  host: 'simulated',
  hardware: 'x64 CPUs from AVX2 on, ARM64 CPUs',
  formats: ['qdq', 'float16'],
  maxOpset: 21,
  u8s8: 'any-pairs',
  beyondPorts: 'float',
  integerOps: {
    ...onnxruntimeCpu.integerOps,
    MatMul: { ...onnxruntimeCpu.integerOps.MatMul, constantWeight: true },
  },
  ownOps: [],
  adapter: { kind: 'python', packages: ['openvino'] },
  usage: [
    {
      language: 'Python',
      code: [
        'import openvino as ov',
        "model = ov.Core().compile_model('{model}', 'CPU')",
        'outputs = model({0: x})  # x: an array in the shape of the first input',
      ],
    },
    {
      language: 'Cpp',
      code: [
        'auto model = ov::Core().compile_model("{model}", "CPU");',
        'auto request = model.create_infer_request();',
      ],
    },
  ],
  quirks: [
    {
      code: 'U8S8_SATURATION',
      text:
        'x64 CPUs with AVX2 or AVX-512 but without VNNI add two products in saturating int16, in an ' +
        'order of their own. Weights get codes of which no two of an output can saturate: 7 bits, but for the ' +
        'largest of each sign (quantize.weights.saturation).',
      source: 'https://oneapi-src.github.io/oneDNN/dev_guide_int8_computations.html',
    },
    {
      code: 'QOPERATOR_REFUSED',
      text:
        'QLinearConv with scales by channel and operators of com.microsoft do not load: only Q/DQ pairs ' +
        'are written.',
      source: SOURCE,
    },
    {
      code: 'ATTENTION_IN_FLOAT',
      text: 'Products of two activations within attention are fused into subgraphs that compute in float.',
      source: SOURCE,
    },
  ],
} satisfies Target;
