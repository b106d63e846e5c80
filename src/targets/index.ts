import { mindspore } from './mindspore/index.js';
import { mnn } from './mnn/index.js';
import { ncnn } from './ncnn/index.js';
import { litert } from './litert/index.js';
import { onnxruntimeArm64 } from './onnxruntime-arm64/index.js';
import { onnxruntimeCpu } from './onnxruntime-cpu/index.js';
import { onnxruntimeCpuVnni } from './onnxruntime-cpu-vnni/index.js';
import { onnxruntimeCuda } from './onnxruntime-cuda/index.js';
import { onnxruntimeQnn } from './onnxruntime-qnn/index.js';
import { onnxruntimeWeb } from './onnxruntime-web/index.js';
import { openvino } from './openvino/index.js';
import { paddle } from './paddle/index.js';
import { pytorch } from './pytorch/index.js';
import { tensorrt } from './tensorrt/index.js';
import { triton } from './triton/index.js';
import { tvm } from './tvm/index.js';
import type { Target } from './types.js';

/** Every target, by name in recipes. */
export const targets: readonly Target[] = [
  onnxruntimeCpu,
  onnxruntimeCpuVnni,
  onnxruntimeArm64,
  onnxruntimeWeb,
  onnxruntimeCuda,
  onnxruntimeQnn,
  openvino,
  tensorrt,
  ncnn,
  mnn,
  paddle,
  pytorch,
  tvm,
  mindspore,
  triton,
  litert,
];
