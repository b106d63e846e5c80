import { onnxruntimeCpu } from '../onnxruntime-cpu/index.js';
import type { Target } from '../types.js';

export const onnxruntimeCpuVnni = {
  ...onnxruntimeCpu,
  name: 'onnxruntime-cpu-vnni',
  aliases: ['vnni'],
  doc:
    'ONNX Runtime, CPU execution provider, on CPUs known to have VNNI or to be ARM64: weights use all of int8, and ' +
    'the files lose accuracy on other x64 CPUs.',
  source:
    'https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8',
  u8s8: 'exact',
  quirks: onnxruntimeCpu.quirks.filter((q) => q.code !== 'U8S8_SATURATION'),
} satisfies Target;
