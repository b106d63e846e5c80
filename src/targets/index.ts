import { mnn } from './mnn/index.js';
import { ncnn } from './ncnn/index.js';
import { onnxruntimeCpu } from './onnxruntime-cpu/index.js';
import { onnxruntimeCpuVnni } from './onnxruntime-cpu-vnni/index.js';
import { openvino } from './openvino/index.js';
import { paddle } from './paddle/index.js';
import { tensorrt } from './tensorrt/index.js';
import type { Target } from './types.js';

/** Every target, by name in recipes. */
export const targets: readonly Target[] = [onnxruntimeCpu, onnxruntimeCpuVnni, openvino, tensorrt, mnn, ncnn, paddle];
