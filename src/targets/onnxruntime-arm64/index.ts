import { onnxruntimeCpu } from '../onnxruntime-cpu/index.js';
import type { Target } from '../types.js';

export const onnxruntimeArm64 = {
  ...onnxruntimeCpu,
  name: 'onnxruntime-arm64',
  aliases: ['arm64', 'arm'],
  doc:
    'ONNX Runtime, CPU execution provider on ARM64. Weights use all of int8; numbers are simulated ' +
    'where this is no ARM64.',
  source:
    'https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8',
  host: 'simulated',
  hardware: 'ARM64 CPUs with or without dot-product instructions',
  u8s8: 'exact',
  quirks: onnxruntimeCpu.quirks.filter((q) => !['U8S8_SATURATION', 'SIGNED_ACTIVATIONS'].includes(q.code)),
} satisfies Target;
