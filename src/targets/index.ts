import { onnxruntimeCpu } from './onnxruntime-cpu.js';
import { onnxruntimeCpuVnni } from './onnxruntime-cpu-vnni.js';
import { tensorrt } from './tensorrt.js';
import type { TargetProfile } from './types.js';

/** Every target, by name in recipes. */
export const targets: readonly TargetProfile[] = [onnxruntimeCpu, onnxruntimeCpuVnni, tensorrt];
